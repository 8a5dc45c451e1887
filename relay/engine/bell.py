"""When does a pass go on that waits for something to happen?

At once when it is rung, and a little later when what happened can wait for more of its kind, so that it is recorded
together.
"""

from __future__ import annotations

import asyncio

LINGER_S = 0.02
"""How long what can wait does."""


class Bell:
    """What one pass waits by. Nobody but it does, so that nothing is kept for who does not."""

    __slots__ = ("_lingering", "_rung", "_waiter")

    def __init__(self) -> None:
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None
        self._lingering: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """Go on now."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def ring_soon(self) -> None:
        """Go on in a moment, if not before."""
        if self._lingering is None:
            self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self.ring)

    def hush(self) -> None:
        """What it was rung for is known."""
        self._rung = False

    async def wait(self) -> None:
        """Until it is rung since it was hushed."""
        if self._rung:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
