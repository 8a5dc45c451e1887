"""How do operations that arrive together share a call?

Each waits for its own reply; where there are several servers, those of one wait for none of another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.errors import StoreUnavailable
from relay.store.client import Client, Op, Script

_PATIENCE_S = 0.5
"""A call that fails after this long has waited for an answer in vain; what is refused fails at once."""


@dataclass(slots=True)
class _Lane:
    """What waits to go one way, and how many more calls may be under way there."""

    free: int
    waiting: list[tuple[Sequence[Op], asyncio.Future[list[Any]]]] = field(default_factory=list)


class GroupCommit:
    """Operations that arrive together share one call, one round trip and one fsync, by server where there are several.

    While as many calls as there are `lanes` are under way, the next operations gather; `most` bounds a call. A
    failed call fails each of its operations with the same error: they may or may not have happened, and may be
    sent again.
    """

    def __init__(
        self,
        client: Client,
        script: Script,
        *,
        most: int = 256,
        lanes: int = 1,
        confirm: bool = False,
    ) -> None:
        self._client = client
        self._script = script
        self._confirm = confirm
        self._most = most
        self._at_once = lanes
        self._lanes: dict[Hashable, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, op: Op) -> Any:
        """The reply to one operation."""
        (reply,) = await self.asked((op,))
        return reply

    async def many(self, ops: Sequence[Op]) -> list[Any]:
        """The replies to several operations, which stay together."""
        return await self.asked(ops)

    def asked(self, ops: Sequence[Op]) -> asyncio.Future[list[Any]]:
        """The same, for who has something else to do meanwhile; cancel it when it is not wanted any more."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()
        to = self._client.lane(ops[0]) if len(ops) == 1 else _of_one({self._client.lane(op) for op in ops})
        lane = self._lanes.get(to)
        if lane is None:
            lane = self._lanes[to] = _Lane(self._at_once)
        lane.waiting.append((ops, future))
        if lane.free:
            lane.free -= 1
            task = loop.create_task(self._flush(lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return future

    async def _flush(self, lane: _Lane) -> None:
        try:
            # Whoever is ready in this turn of the loop comes along.
            await asyncio.sleep(0)
            while lane.waiting:
                batch, lane.waiting = lane.waiting[: self._most], lane.waiting[self._most :]
                began = time.monotonic()
                try:
                    together = [op for ops, _ in batch for op in ops]
                    replies = await self._client.run(self._script, together, confirm=self._confirm)
                except Exception as error:
                    # Whatever it is, it is those who wait that are told: nobody reads a task's exception. Those too
                    # who have waited behind a call without an answer: each call of theirs would wait as long again.
                    if isinstance(error, StoreUnavailable) and time.monotonic() - began > _PATIENCE_S:
                        batch, lane.waiting = batch + lane.waiting, []
                    _tell(batch, error)
                    # The error knows this frame: with what is here it would wait for the collector of cycles.
                    batch, together = [], []
                    continue
                at = 0
                for ops, future in batch:
                    if not future.done():
                        future.set_result(replies[at : at + len(ops)])
                    at += len(ops)
        finally:
            lane.free += 1


def _of_one(lanes: set[Hashable]) -> Hashable:
    """The lane of all, or the one of what is for several: that fails with any, and is to fail none but itself."""
    return lanes.pop() if len(lanes) == 1 else None


def _tell(waiting: Sequence[tuple[Sequence[Op], asyncio.Future[list[Any]]]], error: Exception) -> None:
    for _, future in waiting:
        if not future.done():
            future.set_exception(error)
