"""How are the web process and the worker process put together, started and stopped?

Both wait for the database to be reachable, refuse to run on one that would lose what was acknowledged
(unless told to), and end cleanly on SIGTERM and SIGINT: the web process answers what it has begun, the
worker finishes what is in flight and gives back its leases.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import uvloop
from aiohttp import web
from redis.exceptions import RedisError
from structlog.typing import FilteringBoundLogger

from relay.api import add_routes
from relay.api.ses_bounces import opened as ses_opened
from relay.auth import AUTH
from relay.config import Config, missing_secrets
from relay.door import Door
from relay.engine.engine import Engine
from relay.errors import ConfigError, StoreError, StoreUnavailable
from relay.jobs import create_worker
from relay.listener import listening
from relay.logs import open_log
from relay.nudge import open_pool
from relay.places import shown
from relay.pressure import Pressure
from relay.receive import Receiver
from relay.record import Recorder
from relay.services import SERVICES, Services, connect, open_services
from relay.sources.listening import add_sources, hearing
from relay.store.durability import (
    durability_problems,
    durability_unknown,
    replicas_short,
    room_notices,
    room_problems,
)
from relay.store.hints import Hint

_LOOK_AGAIN_S = 1.0
_PRESSURE: web.AppKey[Pressure] = web.AppKey("pressure", Pressure)
_SAY_AGAIN_S = 0.2
_CLOSING_S = 5.0
_SOCKETS = 65_536


def serve(config: Config, *, unsafe_durability: bool = False) -> int:
    """Run the web process until it is told to stop; the exit code."""
    return uvloop.run(_main(config, unsafe_durability, _serve))


def work(config: Config, *, unsafe_durability: bool = False) -> int:
    """Run a worker process until it is told to stop; the exit code."""
    return uvloop.run(_main(config, unsafe_durability, _work))


def create_app(services: Services) -> web.Application:
    """The web application over opened services: the door for events, the API and the pages."""
    config = services.config
    app = web.Application(client_max_size=config.server.max_request_bytes)
    app[SERVICES] = services
    add_routes(app)
    recorder = Recorder(services.log, services.store.counters)
    door = Door(services.store, services.vault, recorder, services.nudge_fan_out, services.clock)
    pressure = Pressure(
        most_unplanned=config.limits.most_unplanned, rate=config.limits.events_per_second
    )
    app[_PRESSURE] = pressure
    receiver = Receiver(
        door,
        recorder,
        services.clock,
        most_request=config.server.max_request_bytes,
        most_event=config.server.max_event_bytes,
        body_timeout_s=config.server.body_timeout_seconds,
        pressure=pressure,
    )
    app.router.add_post("/v1/events", receiver.post)
    app.cleanup_ctx.append(_counting)
    app.cleanup_ctx.append(ses_opened)
    add_sources(app)
    return app


async def _counting(app: web.Application) -> AsyncIterator[None]:
    """Once a second, write this process's counts and learn how much waits to be planned."""
    store, log, pressure = app[SERVICES].store, app[SERVICES].log, app[_PRESSURE]

    async def go() -> None:
        while True:
            await asyncio.sleep(1)
            try:
                await store.counters.flush()
                await app[AUTH].write_used()
                pressure.learn(await store.hints.count(Hint.PLAN))
            except StoreError as error:
                log.warning("counters.kept", error=type(error).__name__, detail=str(error))

    task = asyncio.get_running_loop().create_task(go())
    yield
    task.cancel()
    await store.counters.flush()


async def _main(
    config: Config,
    unsafe_durability: bool,
    run: Callable[[Services, asyncio.Event], Coroutine[Any, Any, None]],
) -> int:
    _may_open_many()
    # What was imported stays for good, and what is made goes when nothing refers to it: neither requests nor deliveries,
    # failed ones included, leave cycles. Looking for some among all that is in flight cost a tenth of them.
    gc.collect()
    gc.freeze()
    gc.set_threshold(500_000, 20, 100)
    log = open_log(config.log)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, stop, config.worker.drain_seconds + _CLOSING_S, log)
    problems = missing_secrets(config)
    if problems:
        raise ConfigError(problems)
    async with AsyncExitStack() as stack:
        while await _until_reachable(config, stop, log):
            try:
                await _refuse_to_lose(config, unsafe_durability, log)
                services = await stack.enter_async_context(open_services(config, log))
            except StoreUnavailable as error:
                # It went away again before all was open.
                log.warning("database.awaited", detail=str(error))
                await _sleep(_LOOK_AGAIN_S, stop)
            else:
                await run(services, stop)
                break
    return 0


def _end(stop: asyncio.Event, within_s: float, log: FilteringBoundLogger) -> None:
    """Told to end: begin, and be gone in any case when a supervisor's patience would be at its end."""
    if not stop.is_set():
        stop.set()
        asyncio.get_running_loop().call_later(within_s, _give_up, log)


def _give_up(log: FilteringBoundLogger) -> None:
    waiting = sorted({getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks()})
    log.error("stop.overdue", waiting=waiting)
    logging.shutdown()
    os._exit(1)


def _may_open_many() -> None:
    """As many sockets as the system lets this user have: the usual first limit of 1,024 is less than a worker
    has out."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _SOCKETS if hard == resource.RLIM_INFINITY else min(hard, _SOCKETS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def _until_reachable(config: Config, stop: asyncio.Event, log: FilteringBoundLogger) -> bool:
    client = connect(config)
    try:
        while not stop.is_set():
            try:
                await client.plain.ping()
            except StoreUnavailable as error:
                log.warning("database.awaited", url=shown(config.store.url), detail=str(error))
                await _sleep(_LOOK_AGAIN_S, stop)
            else:
                return True
    finally:
        await client.close()
    return False


async def _refuse_to_lose(config: Config, unsafe_durability: bool, log: FilteringBoundLogger) -> None:
    client = connect(config)
    try:
        problems = await durability_problems(client)
        for unknown in await durability_unknown(client):
            log.warning("durability.unknown", detail=unknown)
        for short in await replicas_short(client, config.store.wait_replicas):
            log.warning("durability.short", detail=short)
        for little in [*await room_problems(client), *await room_notices(client)]:
            log.warning("database.room", detail=little)
    finally:
        await client.close()
    if problems and not (unsafe_durability or config.store.unsafe_durability):
        raise ConfigError([*problems, "start with --unsafe-durability to run nevertheless"])
    for problem in problems:
        log.warning("durability.unsafe", detail=problem)


async def _serve(services: Services, stop: asyncio.Event) -> None:
    server = services.config.server
    async with listening(create_app(services), server):
        services.log.info("web.listening", url=server.base_url)
        await _keep_time(services, stop, stop.wait())


async def _work(services: Services, stop: asyncio.Event) -> None:
    if services.mailer is None:
        services.log.warning("mail.off", detail="RELAY_MAIL__URL is not set: e-mail waits until it is")
    engine = Engine(services)
    async with hearing(services) as sources:
        listener = asyncio.create_task(sources.work(stop))
        try:
            await _keep_time(services, stop, _woken(services, engine, sources.due.set, stop))
        finally:
            await asyncio.gather(engine.stop(services.config.worker.drain_seconds), asyncio.wait([listener], timeout=_CLOSING_S))
            listener.cancel()


async def _woken(services: Services, engine: Engine, heard: Callable[[], None], stop: asyncio.Event) -> None:
    """Be woken by arq until told to stop. arq's worker ends when its database goes away; a new one is
    made until it is back."""
    store = services.config.store
    while not stop.is_set():
        pool = open_pool(store.arq_url or store.url)
        worker = create_worker(engine, heard, pool)
        running = asyncio.ensure_future(worker.async_run())
        stopped = asyncio.ensure_future(stop.wait())
        services.log.info("worker.ready")
        await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        while not running.done():
            # A cancellation that comes while arq speaks to its database may be swallowed there, and arq
            # then polls on for ever: it is told again.
            running.cancel()
            await asyncio.wait([running], timeout=_SAY_AGAIN_S)
        try:
            await running
        except asyncio.CancelledError:
            pass
        except (RedisError, OSError, TimeoutError) as error:
            services.log.warning("worker.waits", error=type(error).__name__)
        try:
            # arq waits here for its jobs, which carry nothing and may be cut.
            async with asyncio.timeout(_CLOSING_S):
                await worker.close()
        except (RedisError, OSError, TimeoutError, asyncio.CancelledError) as error:
            services.log.debug("worker.closed", error=type(error).__name__)
        if not stop.is_set():
            await _sleep(_LOOK_AGAIN_S, stop)
            await _sweep_without_arq(services, engine)


async def _sweep_without_arq(services: Services, engine: Engine) -> None:
    """arq's server may be another than that of the data: while it alone is away, work goes on, a second later."""
    try:
        await engine.sweep()
    except StoreError as error:
        services.log.debug("sweep.waits", error=type(error).__name__)


async def _keep_time(services: Services, stop: asyncio.Event, until: Awaitable[Any]) -> None:
    """Follow the database's clock, a minute at a time, until `until` is done."""
    clock: Any = services.clock

    async def follow() -> None:
        while not stop.is_set():
            await _sleep(60, stop)
            try:
                await clock.sync(services.store.client)
            except StoreError as error:
                services.log.debug("clock.kept", error=type(error).__name__)

    task = asyncio.ensure_future(follow())
    try:
        await until
    finally:
        task.cancel()


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
