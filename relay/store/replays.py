"""Which replays of an endpoint's deliveries are under way, and how far have they come?

A replay is kept with the endpoint's queue for a week after its last step. Which of them have something left
to do is a hint; a worker that dies in the middle leaves one that another goes on with.
"""

from __future__ import annotations

import msgspec

from relay.model import Delivery, Record
from relay.store.client import Client, Script
from relay.store.hints import Claim, Hint, Hints
from relay.store.stored import dump, reader

_KEPT_S = 7 * 86_400
_DELIVERY = reader(Delivery)


class Replay(Record, frozen=True, kw_only=True):
    """A replay of the deliveries that were planned in [since, until), as far as it has come. Times are Unix
    milliseconds. Of `count` deliveries `processed` have been gone through, in order of their planning, and
    `reopened` were settled and `gone` cannot be sent again, what they carried having left; `after` is the last one."""

    id: str
    endpoint: str
    since_ms: int
    until_ms: int
    event_types: tuple[str, ...] | None
    count: int
    created_at_ms: int
    processed: int = 0
    reopened: int = 0
    gone: int = 0
    after: tuple[str, int] | None = None
    done: bool = False

    @property
    def mark(self) -> str:
        """What tells this run from others: a delivery is reopened once in each."""
        return f"{self.id}-{self.created_at_ms}"


_REPLAY = reader(Replay)


class Span(msgspec.Struct, frozen=True):
    """A part of an endpoint's deliveries: those that are wanted, and where the next part begins (None: at
    the end)."""

    wanted: list[str]
    after: tuple[str, int] | None


class Replays:
    """Keeping replays, and finding what they are about."""

    def __init__(self, client: Client, hints: Hints) -> None:
        self._client = client
        self._hints = hints
        self._metas = Script.read("metas")

    async def get(self, endpoint: str, replay: str) -> Replay | None:
        """A replay that was asked for, or went on, in the last week."""
        raw = await self._client.plain.get(self._client.key(f"r:{endpoint}", replay))
        return None if raw is None else _REPLAY.decode(raw)

    async def keep(self, replay: Replay) -> None:
        """How far it has come."""
        key = self._client.key(f"r:{replay.endpoint}", replay.id)
        await self._client.plain.set(key, dump(replay), ex=_KEPT_S)

    async def begin(self, replay: Replay, now_ms: int) -> None:
        """Keep a new one, for a worker to take up."""
        await self.keep(replay)
        await self.hasten(replay, now_ms)

    async def hasten(self, replay: Replay, now_ms: int) -> None:
        """See that somebody goes on with it."""
        await self._hints.make_due(Hint.REPLAY, [(f"{replay.endpoint}|{replay.id}", now_ms)])

    async def take(self, *, now_ms: int, until: float, most: int) -> list[tuple[Claim, Replay | None]]:
        """Replays with something left to do, hidden from others until `until`."""
        claims = await self._hints.take(Hint.REPLAY, now_ms=now_ms, until=until, most=most)
        return [(claim, await self.get(*claim.member.split("|", 1))) for claim in claims]

    async def give_back(self, claim: Claim, at_ms: int | None) -> None:
        """Due again at a time, or done (None)."""
        await self._hints.give_back(Hint.REPLAY, claim, at_ms)

    async def count(self, replay: Replay, most: int) -> int:
        """How many deliveries it is about; `most` are looked at in one go."""
        if replay.event_types is None:
            key = self._client.key(f"r:{replay.endpoint}", "all")
            return int(await self._client.plain.zcount(key, replay.since_ms, replay.until_ms - 1))
        found, after = 0, None
        while True:
            span = await self.span(replay, after, most)
            found += len(span.wanted)
            if (after := span.after) is None:
                return found

    async def span(self, replay: Replay, after: tuple[str, int] | None, most: int) -> Span:
        """The next part of its deliveries, the oldest first: `most`, and those that were planned in the same moment as
        the last of them. Opened in two parts, a later event of a transfer could go before an earlier one."""
        tag, plain = f"r:{replay.endpoint}", self._client.plain
        key = self._client.key(tag, "all")
        rank = None if after is None else await plain.zrank(key, after[0])
        if rank is not None:
            rows = await plain.zrange(key, rank + 1, rank + most, withscores=True)
        else:
            # What it had come to is no longer kept: what was planned in the same moment comes once more.
            since_ms = replay.since_ms if after is None else after[1]
            rows = await plain.zrangebyscore(
                key, since_ms, replay.until_ms - 1, start=0, num=most, withscores=True
            )
        if len(rows) == most:
            last, at_ms = rows[-1]
            rows += [row for row in await plain.zrangebyscore(key, at_ms, at_ms, withscores=True) if row[0] > last]
        found = [(raw.decode(), int(at)) for raw, at in rows if at < replay.until_ms]
        wanted = [delivery for delivery, _ in found]
        if replay.event_types is not None and found:
            (metas,) = await self._client.run(self._metas, [(tag, *wanted)])
            wanted = [
                delivery
                for delivery, meta in zip(wanted, metas, strict=True)
                if meta and _DELIVERY.decode(meta).type in replay.event_types
            ]
        return Span(wanted, found[-1] if len(found) >= most else None)
