"""How much has the whole installation done?

Counters and histograms that live in the store, so that any process can answer for all. A process notes
what it did and adds it up; the notes are written once a second and at the end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from functools import cache

from relay.model import Channel
from relay.store.client import Client, Script

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the histogram buckets, in seconds."""


_PENDING = {channel.value: f"relay_deliveries_pending|channel={channel}" for channel in Channel}


@cache
def _histogram(name: str) -> tuple[tuple[str, ...], str, str]:
    return tuple(f"{name}:le:{n}" for n in range(len(BUCKETS_S) + 1)), f"{name}:count", f"{name}:us"


class Counters:
    """Noting and reading counters. A name is `metric` or `metric|label=value|…`; a histogram keeps
    `metric:le:<n>`, `metric:count` and `metric:us` (the sum, in microseconds)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._count = Script.read("count")
        self._noted: Counter[str] = Counter()

    def add(self, name: str, by: int = 1) -> None:
        """Note that something happened."""
        self._noted[name] += by

    def observe(self, name: str, seconds: float) -> None:
        """Note how long something took."""
        buckets, count, us = _histogram(name)
        noted = self._noted
        noted[buckets[bisect_left(BUCKETS_S, seconds)]] += 1
        noted[count] += 1
        noted[us] += int(seconds * 1_000_000)

    def owe(self, channel: str, by: int) -> None:
        """Note that so many more (or fewer) deliveries of a channel are pending."""
        self._noted[_PENDING[channel]] += by

    async def mend(self, changes: dict[str, int], gauges: dict[str, int]) -> None:
        """Change counters by what they were found to be off, and set gauges to what they are now."""
        flat = [part for name, by in changes.items() if by for part in (name, by)]
        if flat:
            await self._client.run(self._count, [("counters", *flat)])
        if gauges:
            pairs = [part for pair in gauges.items() for part in pair]
            await self._client.ask("HSET", self._client.key("counters"), *pairs)

    async def flush(self) -> None:
        """Write the notes; those of a write that failed are kept for the next."""
        if not self._noted:
            return
        noted, self._noted = self._noted, Counter()
        flat: list[str | int] = []
        for name, by in noted.items():
            flat += [name, by]
        try:
            await self._client.run(self._count, [("counters", *flat)])
        except BaseException:
            self._noted.update(noted)
            raise

    async def read(self) -> dict[str, int]:
        """All counters, this process's unwritten notes included."""
        stored = await self._client.ask("HGETALL", self._client.key("counters"))
        total = Counter({name.decode(): int(value) for name, value in stored.items()})
        total.update(self._noted)
        return dict(total)
