"""How many may do this at a time?

What `asyncio.Semaphore` does, for thousands: there each who leaves looks past all who were let in and have not gone in
yet, which is many where many leave at once.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Gate:
    """`most` may be inside at a time; the others go in by turn. Used with `async with`."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def room(self) -> int:
        """How many may go in now."""
        return self._free

    async def __aenter__(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._leave()  # it had just been let in
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
