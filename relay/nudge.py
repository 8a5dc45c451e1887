"""How does a worker learn at once that there is work?

The fast path from the receiver to the workers: an arq job that carries nothing. Nudges that come close
together are one. A lost nudge costs a second, until the sweep comes round, and never a delivery.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError
from structlog.typing import FilteringBoundLogger

from relay.store.address import pool_of

FAN_OUT = "fan_out"
DELIVER = "deliver"
HEAR = "hear"
_GAP_S = 0.02
_MANY = 40
"""Wanted so often within a gap, the workers are at work anyway: the next nudge may wait three gaps."""


def to_bytes(job: dict[str, Any]) -> bytes:
    """arq's jobs as JSON: they carry names and nothing else."""
    return orjson.dumps(job, default=repr)


def from_bytes(raw: bytes) -> dict[str, Any]:
    """Back from JSON."""
    job: dict[str, Any] = orjson.loads(raw)
    return job


def open_pool(url: str) -> ArqRedis:
    """arq's own connection, with JSON in place of its pickle."""
    pool = pool_of(url, ConnectionPool, timeout_s=10)
    return ArqRedis(pool_or_conn=pool, job_serializer=to_bytes, job_deserializer=from_bytes)


class Nudge:
    """Call it when something was made due."""

    def __init__(self, pool: ArqRedis, job: str, log: FilteringBoundLogger) -> None:
        self._pool = pool
        self._job = job
        self._log = log
        self._wanted = 0
        self._task: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        """Nudge now, or right after the nudge that was just given."""
        self._wanted += 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._go())

    async def close(self) -> None:
        """Let a nudge that is under way end."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=1)

    async def _go(self) -> None:
        try:
            while self._wanted:
                gap = _GAP_S if self._wanted < _MANY else 3 * _GAP_S
                self._wanted = 0
                try:
                    await self._pool.enqueue_job(self._job)
                except (RedisError, OSError, TimeoutError) as error:
                    self._log.warning("nudge.lost", error=type(error).__name__)
                await asyncio.sleep(gap)
        finally:
            self._task = None
