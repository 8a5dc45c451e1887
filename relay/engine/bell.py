"""When does a pass go on that waits for something to happen?

At once when it is rung; a little later when what happened can wait for more of its kind, so that it is recorded
together; and after a while in any case.
"""

from __future__ import annotations

import asyncio

_LINGER_S = 0.02


class Bell:
    """What one pass waits by."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._lingering: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """Go on now."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self._rung.set()

    def ring_soon(self) -> None:
        """Go on in a moment, if not before."""
        if self._lingering is None:
            self._lingering = asyncio.get_running_loop().call_later(_LINGER_S, self.ring)

    def hush(self) -> None:
        """What it was rung for is known."""
        self._rung.clear()

    async def wait(self, most_s: float) -> None:
        """Until it is rung since it was hushed, but no longer than this."""
        timer = asyncio.get_running_loop().call_later(most_s, self._rung.set)
        try:
            await self._rung.wait()
        finally:
            timer.cancel()
