"""What is kept of each address that mail goes to?

    {a:<reader key>}           hash: `s` JSON of relay.readers.Reader, `x` the address itself, sealed
    {readers}                  hash: `key`, sealed: what reader keys are made with
    {readers}:suppressed       sorted set, by name: "<suppressed, Unix ms>:<reader key>", for listing

The index is written before the thing and removed after it; an entry whose thing is gone, or was suppressed at
another time, is nobody's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.closed import SuppressionReason
from relay.readers import Reader, Suppression
from relay.store.client import Client, Script
from relay.store.group_commit import GroupCommit
from relay.store.records import Page
from relay.store.registry import Contended
from relay.store.sealed import SealedKey
from relay.store.stored import dump, reader

_READER = reader(Reader)
_NOTHING = Reader()
_TRIES = 32
_CHUNK = 200
_MOST_READ = 5_000


@dataclass(frozen=True, slots=True)
class Listed:
    """One suppressed address: the key it is kept under, the address sealed, and why."""

    key: str
    sealed: str
    suppression: Suppression


class Readers:
    """Reads and changes. `fields` is who asks for single fields of hashes, shared with who asks for bodies, so
    that what a pass asks before it sends is one call. `key` is what reader keys are made with. Raises `StoreError`,
    and `Contended`."""

    def __init__(self, client: Client, fields: GroupCommit) -> None:
        self._client = client
        self._fields = fields
        self._swap = Script.read("swap")
        self.key = SealedKey(client, "readers")

    def asked(self, keys: Sequence[str]) -> asyncio.Future[list[list[bytes | None]]]:
        """What is kept of these; asked at once, awaited when wanted, and read by `read`."""
        return self._fields.asked([(f"a:{key}", "s", "x") for key in keys])

    @staticmethod
    def read(reply: Sequence[bytes | None]) -> Reader:
        """One of the replies to `asked`."""
        return _READER.decode(reply[0]) if reply[0] else _NOTHING

    async def change(self, key: str, sealed: str, change: Callable[[Reader], Reader]) -> tuple[Reader, Reader]:
        """Apply `change` to what is kept now; (before, after). It may run several times, and must not depend on
        anything else: when others change the same meanwhile it is given what they made of it."""
        tag = f"a:{key}"
        for _ in range(_TRIES):
            raw = await self._client.ask("HGET", self._client.key(tag), "s")
            before = _READER.decode(raw) if raw else _NOTHING
            after = change(before)
            if after == before:
                return before, before
            await self._list(key, before, after, first=True)
            await self._client.ask("HSETNX", self._client.key(tag), "x", sealed)
            (done,) = await self._client.run(self._swap, [(tag, "", "s", raw or b"", dump(after))])
            if done:
                await self._list(key, before, after, first=False)
                return before, after
        raise Contended

    async def _list(self, key: str, before: Reader, after: Reader, *, first: bool) -> None:
        was, now = before.suppressed, after.suppressed
        index = self._client.key("readers", "suppressed")
        if first and now is not None:
            await self._client.ask("ZADD", index, 0, f"{now.at_ms:013}:{key}")
        if not first and was is not None and (now is None or now.at_ms != was.at_ms):
            await self._client.ask("ZREM", index, f"{was.at_ms:013}:{key}")

    async def suppressed(self, after: str | None, limit: int, reason: SuppressionReason | None) -> Page[Listed]:
        """Suppressed addresses, the newest first; `after` is the position of the last one seen. A page that read
        very many without finding enough ends early, with a cursor."""
        index = self._client.key("readers", "suppressed")
        data: list[Listed] = []
        read = 0
        while True:
            top = f"({after}" if after else "+"
            entries = await self._client.ask("ZREVRANGEBYLEX", index, top, "-", "LIMIT", 0, _CHUNK)
            names = [entry.decode() for entry in entries]
            replies = await self.asked([name.partition(":")[2] for name in names]) if names else []
            for name, reply in zip(names, replies, strict=True):
                at, _, key = name.partition(":")
                now = self.read(reply).suppressed
                if now is not None and now.at_ms == int(at) and reply[1] and reason in (None, now.reason):
                    if len(data) == limit:
                        return Page(data, after)
                    data.append(Listed(key, reply[1].decode(), now))
                after = name
            read += len(names)
            if len(names) < _CHUNK:
                return Page(data, None)
            if read >= _MOST_READ:
                return Page(data, after)
