"""How does long work go on beside a worker's sweeps?

One piece at a time in a process, begun by a sweep that does not wait for it. When it fails, nothing is lost: its hint
or its shift runs out, and somebody goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from structlog.typing import FilteringBoundLogger

from relay.errors import StoreError


class Aside:
    """What does such work; `name` is what its failures are logged under."""

    def __init__(self, name: str, log: FilteringBoundLogger) -> None:
        self._name = name
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def _may_begin(self) -> bool:
        return self._task is None and not self._stopping

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._ended)

    async def idle(self) -> None:
        """Wait until nothing is under way here."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self, within_s: float) -> None:
        """End after the part that is under way; another worker goes on."""
        self._stopping = True
        if self._task is not None:
            await asyncio.wait([self._task], timeout=within_s)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StoreError):
            self._log.warning(f"{self._name}.interrupted", error=type(error).__name__)
        elif error is not None:
            self._log.error(f"{self._name}.failed", exc_info=error)
