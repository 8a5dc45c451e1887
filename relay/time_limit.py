"""Which tasks have taken longer than they may?

What `asyncio.timeout` does for one task, for thousands at a tenth of its cost: all have the same time, so that those
that begin together end together, and one timer does for all.
"""

from __future__ import annotations

import asyncio
from typing import Any

_PARTS = 100
"""The time is kept to one part in so many: a task may have so much more than its time."""


class Turn:
    """One task that must end."""

    __slots__ = ("_passed", "_task", "part")

    def __init__(self, task: asyncio.Task[Any] | None, part: int) -> None:
        self._task = task
        self._passed = False
        self.part = part

    def expire(self) -> None:
        """Cancel the task."""
        assert self._task is not None  # there is one wherever this is awaited
        self._passed = True
        self._task.cancel()

    def is_over(self) -> bool:
        """Whether a cancellation that was caught came of the time alone; it is then undone."""
        return self._passed and self._task is not None and self._task.uncancel() == 0


class TimeLimit:
    """`seconds` for each turn. All of one event loop."""

    def __init__(self, seconds: float) -> None:
        self._part_s = seconds / _PARTS
        self._running: dict[int, set[Turn]] = {}
        """By the part of time in which they must have ended, the soonest first."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Turn:
        """The time of the running task begins; `end` must be called."""
        loop = asyncio.get_running_loop()
        part = int(loop.time() / self._part_s) + _PARTS + 1
        turn = Turn(asyncio.current_task(loop), part)
        together = self._running.get(part)
        if together is None:
            together = self._running[part] = set()
            if self._timer is None:
                self._timer = loop.call_at(part * self._part_s, self._expire)
        together.add(turn)
        return turn

    def end(self, turn: Turn) -> None:
        """It has ended: nothing more happens to its task."""
        together = self._running.get(turn.part)
        if together is not None:
            together.discard(turn)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        # The loop may be a little early.
        now = (loop.time() + self._part_s / 2) / self._part_s
        while self._running and (part := next(iter(self._running))) <= now:
            for turn in self._running.pop(part):
                turn.expire()
        self._timer = None
        if self._running:
            self._timer = loop.call_at(next(iter(self._running)) * self._part_s, self._expire)
