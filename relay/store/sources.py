"""What did a source hear that is still to be worked on, and what does it remember?

The keys of one source (`src:<source>`), all under its hash tag:

    at       sorted set: what is to be done, by when it is due (Unix ms); taken as a hint is
    text     hash, task -> what it is about
    seen     sorted set: tasks that are done once for ever, by when they came
    past     list of notes: how the newest tasks ended
    trouble  hash, kind -> JSON of Trouble, while it lasts
    kept     hash, name -> text that the source remembers, changed by compare-and-set
    lead     hash, another name -> the name in `kept` that it leads to
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from relay.model import Record
from relay.store.client import Client, Op, Script

MOST_PAST: Final = 200
_SEEN_MS: Final = 100 * 86_400_000
"""How long a repeat is known: longer than any upstream keeps what it would send again."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something that was taken up. `score` is by what it is known to be still ours."""

    id: str
    text: bytes
    score: float


class Trouble(Record, frozen=True, kw_only=True):
    """Something that is wrong with a source, since when, and what the operator can do. `at_ms`: last seen."""

    kind: str
    detail: str
    since_ms: int
    at_ms: int
    until_ms: int = 0


_TROUBLE = msgspec.json.Decoder(Trouble)
_dump = msgspec.json.Encoder().encode


class Sources:
    """The durable memory of all sources; `source` names one. Raises `StoreError`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._put = Script.read("source_put")
        self._take = Script.read("take")
        self._settle = Script.read("source_settle")
        self._set = Script.read("source_set")

    # --- what is to be done -----------------------------------------------------------------------------

    async def put(self, source: str, task: str, text: bytes, due_ms: int, *, once_at_ms: int | None = None) -> bool:
        """Keep a task until it is done; durable on return. With `once_at_ms`, the time now, it is done once
        for ever; False when it is known already."""
        once, now = ("0", 0) if once_at_ms is None else ("1", once_at_ms)
        op: Op = (f"src:{source}", task, text, due_ms, once, now, max(0, now - _SEEN_MS))
        (kept,) = await self._client.run(self._put, [op])
        return bool(kept)

    async def take(self, source: str, *, now_ms: int, until: float, most: int) -> list[Task]:
        """Up to `most` due tasks, hidden from others until `until` (Unix ms, made unique by a fraction)."""
        tag = f"src:{source}"
        (ids,) = await self._client.run(self._take, [(tag, now_ms, repr(until), most)])
        if not ids:
            return []
        texts = await self._client.ask("HMGET", self._client.key(tag, "text"), *ids)
        return [Task(id_.decode(), text or b"", until) for id_, text in zip(ids, texts, strict=True)]

    async def settle(
        self, source: str, task: Task, *, again_ms: int | None = None, text: bytes = b"", note: bytes = b""
    ) -> bool:
        """A taken task is done, or (`again_ms`) due again then, with another `text`; `note` is kept in the
        past. False when it was not ours any more, which changes nothing."""
        again = "" if again_ms is None else again_ms
        op: Op = (f"src:{source}", task.id, repr(task.score), again, text, note, MOST_PAST)
        (ours,) = await self._client.run(self._settle, [op])
        return bool(ours)

    async def waiting(self, source: str, kind: str = "") -> int:
        """How many tasks are not done whose ids begin with `kind`. Reads the ids of all of them."""
        ids: list[bytes] = await self._client.ask("ZRANGE", self._client.key(f"src:{source}", "at"), 0, -1)
        return sum(id_.startswith(kind.encode()) for id_ in ids)

    async def past(self, source: str, most: int = 20) -> list[bytes]:
        """How the newest tasks ended, newest first."""
        found: list[bytes] = await self._client.ask(
            "LRANGE", self._client.key(f"src:{source}", "past"), 0, most - 1
        )
        return found

    # --- what is wrong ----------------------------------------------------------------------------------

    async def troubled(self, source: str, trouble: Trouble) -> bool:
        """Something is wrong; whether that is news."""
        key = self._client.key(f"src:{source}", "trouble")
        if await self._client.ask("HSETNX", key, trouble.kind, _dump(trouble)):
            return True
        known = await self._client.ask("HGET", key, trouble.kind)
        since = trouble.since_ms if known is None else _TROUBLE.decode(known).since_ms
        await self._client.ask("HSET", key, trouble.kind, _dump(msgspec.structs.replace(trouble, since_ms=since)))
        return False

    async def mended(self, source: str, kind: str) -> Trouble | None:
        """Something is right again; what was wrong, the first time."""
        key = self._client.key(f"src:{source}", "trouble")
        known = await self._client.ask("HGET", key, kind)
        if known is None or not await self._client.ask("HDEL", key, kind):
            return None
        return _TROUBLE.decode(known)

    async def troubles(self, source: str) -> list[Trouble]:
        """All that is wrong, the oldest first."""
        found = await self._client.ask("HVALS", self._client.key(f"src:{source}", "trouble"))
        return sorted((_TROUBLE.decode(raw) for raw in found), key=lambda one: one.since_ms)

    # --- what is remembered -----------------------------------------------------------------------------

    async def kept(self, source: str, name: str) -> bytes:
        """What is remembered by this name; nothing where there is none."""
        found: bytes | None = await self._client.ask("HGET", self._client.key(f"src:{source}", "kept"), name)
        return found or b""

    async def keep(
        self, source: str, name: str, text: bytes, *, read: bytes | None = None, lead: Sequence[str] = ()
    ) -> bool:
        """Remember `text` (nothing: forget) in place of what was `read` (None: whatever it is), with other
        names that lead to it; False when somebody changed it meanwhile, which changes nothing."""
        before = await self.kept(source, name) if read is None else read
        op: Op = (f"src:{source}", name, before, text, *lead)
        (now,) = await self._client.run(self._set, [op])
        return bool(now == text)

    async def led(self, source: str, names: Sequence[str]) -> list[str]:
        """The names that these lead to, each once."""
        if not names:
            return []
        found = await self._client.ask("HMGET", self._client.key(f"src:{source}", "lead"), *names)
        return list(dict.fromkeys(name.decode() for name in found if name))
