"""What time is it, for every process alike?

Processes agree on time through the database's clock: each measures how far its own monotonic clock is
from it, so that an operator who sets a machine's wall clock an hour back moves nothing here. Tests move
time by `offset_ms`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from relay.store.client import Client


class Clock:
    """The database's time, read without asking it. Before the first `sync` it is the machine's."""

    def __init__(self, *, offset_ms: int = 0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._zero_s = time.time() - monotonic()
        self.offset_ms = offset_ms

    def __call__(self) -> int:
        """Unix milliseconds."""
        return int((self._monotonic() + self._zero_s) * 1000) + self.offset_ms

    async def sync(self, client: Client) -> None:
        """Ask the database for its time; the answer is taken as of the middle of the round trip."""
        before = self._monotonic()
        seconds, micros = await client.plain.time()
        self._zero_s = seconds + micros / 1_000_000 - (before + self._monotonic()) / 2
