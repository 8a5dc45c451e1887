"""Where, besides the registrations, is something sealed, and how is it replaced where it is?

The acceptance link of a transfer (`{t:<transfer>}`, field `link`), the message of a delivery that waits to
be tried again (`{r:<recipient>}:d:<delivery>`, field `x`), the addresses of which something is kept
(`{a:<reader key>}`, field `x`), and the refresh token that a source was given (`{src:<source>}:kept`, field
`refresh`, behind a word that says for what it was given). Found by a walk over all keys: no index would name
those that were written a moment ago.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from relay.store.client import Client, Op, Script

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed value, with the context it is bound to and the place it is in. `before` stands there in front of
    it, in the clear."""

    what: str
    context: str
    sealed: str
    tag: str
    rest: str
    field: str
    before: str = ""


class SealedValues:
    """Finds and replaces. Raises `StoreError`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._swap = Script.read("swap")

    async def links(self) -> AsyncIterator[list[Sealed]]:
        """The acceptance links of all transfers, a few hundred at a time."""
        async for keys in self._scan("t:*", ""):
            tags = [_tag(key) for key in keys if key.endswith("}")]
            found = await self._read([(tag, "", "link") for tag in tags])
            yield [
                Sealed("link", f"transfer:{tag[2:]}:link", sealed, tag, "", "link")
                for tag, sealed in zip(tags, found, strict=True)
                if sealed is not None
            ]

    async def messages(self) -> AsyncIterator[list[Sealed]]:
        """The messages that wait, a few hundred at a time."""
        async for keys in self._scan("r:*", ":d:*"):
            places = [(_tag(key), key.rpartition("}:")[2]) for key in keys]
            found = await self._read([(tag, rest, "x") for tag, rest in places])
            yield [
                Sealed("message", f"delivery:{rest[2:]}:message", sealed, tag, rest, "x")
                for (tag, rest), sealed in zip(places, found, strict=True)
                if sealed is not None
            ]

    async def addresses(self) -> AsyncIterator[list[Sealed]]:
        """The addresses of which something is kept, a few hundred at a time."""
        async for keys in self._scan("a:*", ""):
            tags = [_tag(key) for key in keys]
            found = await self._read([(tag, "", "x") for tag in tags])
            yield [
                Sealed("address", f"reader:{tag[2:]}", sealed, tag, "", "x")
                for tag, sealed in zip(tags, found, strict=True)
                if sealed is not None
            ]

    async def refresh_tokens(self) -> AsyncIterator[list[Sealed]]:
        """The refresh tokens that sources keep, a few hundred at a time."""
        async for keys in self._scan("src:*", ":kept"):
            tags = [_tag(key) for key in keys]
            found = await self._read([(tag, "kept", "refresh") for tag in tags])
            yield [
                Sealed("refresh token", f"source:{tag[4:]}:refresh", sealed, tag, "kept", "refresh", given + " ")
                for tag, kept in zip(tags, found, strict=True)
                for given, _, sealed in [(kept or "").partition(" ")]
                if sealed
            ]

    async def replace(self, pairs: Sequence[tuple[Sealed, str]]) -> int:
        """Put each new value in the place of the one that was found; how many were. One that somebody
        changed or removed meanwhile is left as it is now."""
        ops: list[Op] = [(old.tag, old.rest, old.field, old.before + old.sealed, old.before + new) for old, new in pairs]
        return sum(reply == 1 for reply in await self._client.run(self._swap, ops))

    async def _scan(self, tag: str, rest: str) -> AsyncIterator[list[str]]:
        pattern = f"{self._client.prefix}:{{{tag}}}{rest}"
        found: list[str] = []
        for part in await self._client.parts():
            async for key in part.plain.scan_iter(match=pattern, count=_CHUNK):
                found.append(key.decode())
                if len(found) == _CHUNK:
                    yield found
                    found = []
        if found:
            yield found

    async def _read(self, places: Sequence[tuple[str, str, str]]) -> list[str | None]:
        found = await self._client.several([("HGET", self._client.key(tag, rest), field) for tag, rest, field in places])
        return [None if raw is None else raw.decode() for raw in found]


class SealedKey:
    """A key of the installation, sealed: one field of a hash, made when it is first needed. Raises `StoreError`."""

    def __init__(self, client: Client, tag: str, field: str = "key") -> None:
        self._client = client
        self._place = (tag, field)
        self._swap = Script.read("swap")

    async def get(self) -> str | None:
        """The key, where there is one."""
        tag, field = self._place
        raw = await self._client.ask("HGET", self._client.key(tag), field)
        return None if raw is None else raw.decode()

    async def keep(self, sealed: str) -> str:
        """Keep this key unless there is one; the one that is kept."""
        tag, field = self._place
        await self._client.ask("HSETNX", self._client.key(tag), field, sealed)
        kept = await self.get()
        assert kept is not None  # it was written a moment ago, and nothing removes it
        return kept

    async def replace(self, old: str, new: str) -> None:
        """Another in its place; nothing when it is not what was read."""
        tag, field = self._place
        await self._client.run(self._swap, [(tag, "", field, old, new)])


def _tag(key: str) -> str:
    # A transfer's id may have braces itself: the tag ends at the last one that can end it.
    start = key.index("{") + 1
    end = key.rindex("}:d:") if "}:d:" in key else key.rindex("}")
    return key[start:end]
