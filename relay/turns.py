"""Whose turn is it?

Those who name the same key go one after the other, in the order they came; others do not wait. Where nobody
waits, as nearly always, a turn costs two look-ups and no object but an empty queue.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """The turns of one process, by key. Every turn that was begun or awaited must be ended."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]] | None] = {}

    def begin(self, key: str) -> bool:
        """Take the turn if nobody has it; if not, `await_turn`."""
        if key in self._waiting:
            return False
        self._waiting[key] = None
        return True

    async def await_turn(self, key: str) -> None:
        """Wait until everybody before has ended. Whoever is canceled while waiting has no turn to end."""
        turn = asyncio.get_running_loop().create_future()
        queue = self._waiting[key]
        if queue is None:
            queue = self._waiting[key] = deque()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.end(key)  # it had just been given
            raise

    def end(self, key: str) -> None:
        """Give the turn to the next who still waits."""
        queue = self._waiting[key]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[key]
