"""Which server of a cluster has a slot?

The map is read with CLUSTER SLOTS from any server that answers: from those that it has told of, each time from another,
since one that was cut off tells what was, and then from those that the settings name, so that a cluster is found again
though all of its servers got other addresses. Who wants it while it is being read waits for that.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.exceptions import RedisError

from relay.errors import StoreUnavailable

Place = tuple[str, int]
"""Host and port."""


class Slots:
    """The map. `given` are servers to begin with; `ask` gives what one answers to CLUSTER SLOTS."""

    def __init__(self, given: Sequence[Place], ask: Callable[[Place], Awaitable[Any]]) -> None:
        self._given = list(given)
        self._ask = ask
        self._known: list[Place] = []
        self._mute: set[Place] = set()
        self._firsts: list[int] = []
        self._ranges: list[tuple[int, Place]] = []
        self._reading: asyncio.Task[None] | None = None

    @property
    def primaries(self) -> list[Place]:
        """All that have slots."""
        return list(dict.fromkeys(place for _, place in self._ranges))

    @property
    def servers(self) -> list[Place]:
        """All that are known of, those that gave no answer last time at the end."""
        return sorted(self._known, key=self._mute.__contains__)

    def of(self, slot: int) -> Place | None:
        """Who has a slot; None when nobody is known to."""
        at = bisect_right(self._firsts, slot) - 1
        if at < 0:
            return None
        last, place = self._ranges[at]
        return place if slot <= last else None

    async def learn(self, *, again: bool) -> None:
        """Read the map, `again` though there is one. StoreUnavailable when nobody tells it."""
        if self._ranges and not again:
            return
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read())
            self._reading.add_done_callback(self._read_it)
        await asyncio.shield(self._reading)

    def doubt(self, place: Place) -> None:
        """It did not answer: others are asked before it."""
        self._mute.add(place)

    async def close(self) -> None:
        """End a reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _read_it(self, task: asyncio.Task[None]) -> None:
        self._reading = None
        if not task.cancelled():
            task.exception()  # whoever waits is told; somebody may have given up

    async def _read(self) -> None:
        failed: Exception | None = None
        for place in dict.fromkeys((*self.servers, *self._given)):
            try:
                told = await self._ask(place)
            except (RedisError, OSError, TimeoutError) as error:
                self.doubt(place)
                failed = error
                continue
            self._mute.discard(place)
            if told:
                self._keep(place, told)
                return
        why = "its servers have no slots" if failed is None else type(failed).__name__
        raise StoreUnavailable(f"the cluster cannot be reached ({why})") from failed

    def _keep(self, by: Place, told: Any) -> None:
        found: list[tuple[int, int, Place]] = []
        named: list[Place] = []
        for first, last, *servers in told:
            # A server that does not know its own name gives none, or a question mark.
            places = [((host or b"?").decode().replace("?", by[0]), int(port)) for host, port, *_ in servers]
            found.append((int(first), int(last), places[0]))
            named += places
        found.sort()
        self._firsts = [first for first, _, _ in found]
        self._ranges = [(last, place) for _, last, place in found]
        known = [place for place in dict.fromkeys((*self._known, *named)) if place in named and place != by]
        self._known = [*known, by]
        self._mute &= set(self._known)
