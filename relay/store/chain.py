"""Where are the heads of the activity logs, and which lines are not under one yet?

`{p:<partner>}:heads` is a list of heads, the first first; `{chain}` a hash with the key that signs them,
sealed, and its public half.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec

from relay.chain import Head, Line
from relay.store.client import Client, Script, translating
from relay.store.sealed import SealedKey
from relay.store.stored import dump

_HEAD = msgspec.json.Decoder(Head)
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a partner's log is chained: how many heads, the last one, and where the log itself ends."""

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

    async def standing(self, partners: Sequence[str]) -> list[Standing]:
        """How far each of these logs is chained."""
        with translating():
            async with self._client.redis.pipeline(transaction=False) as pipe:
                for partner in partners:
                    tag = f"p:{partner}"
                    pipe.llen(self._client.key(tag, "heads"))
                    pipe.lindex(self._client.key(tag, "heads"), -1)
                    pipe.zrevrange(self._client.key(tag, "activity"), 0, 0, withscores=True)
                flat = await pipe.execute()
        found = []
        for at, partner in enumerate(partners):
            count, last, end = flat[3 * at : 3 * at + 3]
            head = None if last is None else _HEAD.decode(last)
            found.append(Standing(partner, count, head, int(end[0][1]) if end else 0))
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

    async def walk(self, partner: str) -> AsyncIterator[Head | Line]:
        """The whole log: each head before its lines, then the lines that are under none."""
        start, after = 0, 0
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
        """Some heads, the first first."""
        key = self._client.key(f"p:{partner}", "heads")
        return [_HEAD.decode(raw) for raw in await self._client.ask("LRANGE", key, start, start + most - 1)]
