"""What does arq wake a worker for?

Jobs that carry nothing: `fan_out`, `deliver` and `hear` are nudges from a web process, `sweep` is the clock, every
second in every worker. No policy and no truth is here: a job that arq forgets costs a second.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, cast

from arq.connections import ArqRedis
from arq.cron import cron
from arq.typing import WorkerCoroutine
from arq.worker import Worker, func

from relay.engine.engine import Engine
from relay.errors import StoreError
from relay.nudge import DELIVER, FAN_OUT, HEAR, from_bytes, to_bytes

_JOB_S = 30
_TRIES = 1_000
"""A job cut short by a deploy counts as a try; these can be done any number of times."""
_KEY, _HEARD = "engine", "heard"


async def fan_out(context: dict[str, Any]) -> None:
    """Events were accepted."""
    await _engine(context).fan_out()


async def deliver(context: dict[str, Any]) -> None:
    """Deliveries were made due."""
    await _engine(context).deliver()


async def hear(context: dict[str, Any]) -> None:
    """A transfer system has said something."""
    heard: Callable[[], None] = context[_HEARD]
    heard()


async def sweep(context: dict[str, Any]) -> None:
    """A second has gone by."""
    try:
        await _engine(context).sweep()
    except StoreError:
        # The database is away; the next second asks again.
        return


_NUDGES = {FAN_OUT: fan_out, DELIVER: deliver, HEAR: hear}


def create_worker(engine: Engine, heard: Callable[[], None], pool: ArqRedis) -> Worker:
    """An arq worker around the engine; `heard` is called when a source has something to work on. Signals are the
    caller's."""
    return Worker(
        functions=[func(_job(one), name=name) for name, one in _NUDGES.items()],
        cron_jobs=[
            cron(_job(sweep), second=set(range(60)), unique=False, run_at_startup=True, timeout=_JOB_S, max_tries=_TRIES)
        ],
        redis_pool=pool,
        ctx={_KEY: engine, _HEARD: heard},
        handle_signals=False,
        poll_delay=0.02,
        max_jobs=100,
        # Jobs that run stay in arq's queue; with the default of 500 ids read at a time, a fleet's running
        # ones would hide the new.
        queue_read_limit=10_000,
        job_timeout=_JOB_S,
        max_tries=_TRIES,
        keep_result=0,
        job_serializer=to_bytes,
        job_deserializer=from_bytes,
        log_results=False,
    )


def _job(function: Callable[[dict[str, Any]], Coroutine[Any, Any, None]]) -> WorkerCoroutine:
    """arq's type of a job asks for any arguments; these have none."""
    return cast("WorkerCoroutine", function)


def _engine(context: dict[str, Any]) -> Engine:
    engine: Engine = context[_KEY]
    return engine
