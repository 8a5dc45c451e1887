"""Where are the heads of the activity logs, and which lines are not under one yet?

`{p:<partner>}:heads` is a list of heads, the first that is kept first; `{p:<partner>}:ends` says how many
retention has `taken`, and of the last of them what proves that (`taking`); `{chain}` a hash with the key that signs them,
sealed, and its public half.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec

from relay.chain import Head, Line, Taken
from relay.store.client import Arg, Client, Script
from relay.store.sealed import SealedKey
from relay.store.stored import dump

_HEAD, _TAKEN = msgspec.json.Decoder(Head), msgspec.json.Decoder(Taken)
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a partner's log is chained: how many heads were made, the last one, and where the log itself ends."""

    partner: str
    count: int
    last: Head | None
    end: int

    @property
    def is_behind(self) -> bool:
        """Whether there are lines that are not under a head."""
        return self.end > (0 if self.last is None else self.last.last)


class Chains:
    """Reads logs as they are stored, and extends their chains. `key` signs heads. Raises `StoreError`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._append = Script.read("head")
        self._records = Script.read("records")
        self.key = SealedKey(client, "chain", "sealed")
        self._prune = Script.read("prune")

    async def standing(self, partners: Sequence[str]) -> list[Standing]:
        """How far each of these logs is chained."""
        commands: list[tuple[Arg, ...]] = []
        for partner in partners:
            tag = f"p:{partner}"
            commands.append(("LINDEX", self._client.key(tag, "heads"), -1))
            commands.append(("ZREVRANGE", self._client.key(tag, "activity"), 0, 0, "WITHSCORES"))
        flat = await self._client.several(commands)
        found = []
        for at, partner in enumerate(partners):
            last, end = flat[2 * at : 2 * at + 2]
            head = None if last is None else _HEAD.decode(last)
            found.append(Standing(partner, 0 if head is None else head.number, head, int(float(end[1])) if end else 0))
        return found

    async def lines(self, partner: str, after: int, most: int, *, last: int | None = None) -> list[Line]:
        """The next lines behind a position, up to the last one if that is given, in order. A line whose
        record is gone is there, empty."""
        tag = f"p:{partner}"
        end = "+inf" if last is None else str(last)
        rows = await self._client.plain.zrangebyscore(
            self._client.key(tag, "activity"), f"({after}", end, start=0, num=most, withscores=True
        )
        if not rows:
            return []
        (raws,) = await self._client.run(self._records, [(tag, *[row[0] for row in rows])])
        return [  # a position is whole, unless somebody moved it: then it is not what it was
            Line(math.ceil(position), id_.decode(), raw or b"") for (id_, position), raw in zip(rows, raws, strict=True)
        ]

    async def walk(self, partner: str) -> AsyncIterator[Taken | Head | Line]:
        """The whole log: what retention has taken, each head before its lines, then the lines that are under none."""
        start, after = 0, 0
        begun = await self.taken(partner)
        if begun is not None:
            yield begun
            start = begun.head.number
        while heads := await self.heads(partner, start, _CHUNK):
            for head in heads:
                yield head
                async for line in self._between(partner, after, head.last):
                    yield line
                after = max(after, head.last)
            start += len(heads)
        async for line in self._between(partner, after, None):
            yield line

    async def _between(self, partner: str, after: int, last: int | None) -> AsyncIterator[Line]:
        while batch := await self.lines(partner, after, _CHUNK, last=last):
            for line in batch:
                yield line
            after = batch[-1].position

    async def extend(self, partner: str, count: int, head: Head) -> bool:
        """Append the head behind `count` others; False when somebody was faster."""
        (done,) = await self._client.run(self._append, [(f"p:{partner}", count, dump(head))])
        return bool(done)

    async def heads(self, partner: str, start: int, most: int) -> list[Head]:
        """Some heads behind the first `start` that were made, the first that is kept first."""
        tag = f"p:{partner}"
        taken = int(await self._client.ask("HGET", self._client.key(tag, "ends"), "taken") or 0)
        at = max(0, start - taken)
        raws = await self._client.ask("LRANGE", self._client.key(tag, "heads"), at, at + most - 1)
        return [_HEAD.decode(raw) for raw in raws]

    async def taken(self, partner: str) -> Taken | None:
        """What retention has taken of this log; None when nothing."""
        raw = await self._client.ask("HGET", self._client.key(f"p:{partner}", "ends"), "taking")
        return None if raw is None else _TAKEN.decode(raw)

    async def prune(self, partner: str, taking: Taken | None, last: int) -> int:
        """The lines up to this position leave, with the head that they are under, the first that is kept; where nothing is
        chained there is none. How many left."""
        number, kept = (0, b"") if taking is None else (taking.head.number, dump(taking))
        (left,) = await self._client.run(self._prune, [(f"p:{partner}", number, last, kept)])
        return int(left)

    async def length(self, partner: str) -> int:
        """How many lines there are."""
        return int(await self._client.plain.zcard(self._client.key(f"p:{partner}", "activity")))
