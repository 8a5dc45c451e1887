"""How does the sandbox run?

One process beside the relay's: an HTTP server with every system mounted at `/<name>` and its control under
`/sandbox`, and a loop that lets time pass and makes the calls that are owed. Over the relay's database, under
keys of its own; nothing here is the relay's, and the relay runs without it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop
from aiohttp import ClientSession, web
from structlog.typing import FilteringBoundLogger

from relay.auth import new_token
from relay.clock import Clock
from relay.config import Config
from relay.embedded import kept_secret
from relay.errors import ConfigError, StoreError
from relay.logs import open_log
from relay.model import TokenHolder
from relay.sandbox import caller, clock, control
from relay.sandbox.box import Box, Busy, Time
from relay.sandbox.mount import Place, System, respond
from relay.sandbox.plays.theatre import Theatre
from relay.sandbox.sims import mounting as sims
from relay.sandbox.subscriptions import mounting as subscriptions
from relay.services import connect, session_of
from relay.store.sandbox import Sandboxes

SYSTEMS: tuple[Callable[[Place], System], ...] = (subscriptions.open_system, sims.open_system)
"""Every system of the sandbox, opened at its place."""
_LONGEST_SLEEP_S: Final = 0.5
_SHORTEST_SLEEP_S: Final = 0.02
_CONNECTIONS: Final = 32


def place_of(config: Config) -> Place:
    """Where the sandbox stands, by the settings; its secret is made with the first call."""
    folder = Path(config.sandbox.folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = kept_secret(folder / "secret", lambda: new_token(TokenHolder.OPERATOR, "sandbox", 0)[1])
    return Place(config.sandbox.base_url, folder, secret.encode())


def settings_of(config: Config) -> dict[str, str]:
    """What the relay must be set to, to listen to this sandbox: names of the environment to values."""
    place = place_of(config)
    return {name: value for open_ in SYSTEMS for name, value in open_(place).relay.items()}


@dataclass(frozen=True)
class Sandbox:
    """The open sandbox."""

    systems: dict[str, System]
    boxes: dict[str, Box[Any]]
    time: Time
    moved: asyncio.Event
    theatre: Theatre
    _session: ClientSession
    _token: str
    _log: FilteringBoundLogger

    def app(self) -> web.Application:
        """What it answers over HTTP."""
        app = web.Application(middlewares=[control.guarded(self._token)])
        # First, so that a system's name is not taken for one of these.
        app.add_routes(self.theatre.routes())
        app.cleanup_ctx.append(self.theatre.closing)
        app.add_routes(control.Control(self.boxes, self.time).routes())
        for name, system in self.systems.items():
            app.add_routes(system.control(self.boxes[name]))
            mounted = system.api(self.boxes[name])
            mounted.middlewares.insert(0, _gate(self.boxes[name]))
            app.add_subapp(f"/{name}", mounted)
        return app

    async def turn(self) -> tuple[int, int | None]:
        """Let time pass in every system and make what calls are due: how many were made, and when (in the
        sandbox's time) there is something to do next."""
        made, moments = 0, []
        for name, box in self.boxes.items():
            calls, due = await box.work()
            made += await caller.make(self._session, box, self.systems[name].sign, calls)
            if due is not None:
                moments.append(due)
        return made, min(moments, default=None)

    async def work(self, stop: asyncio.Event) -> None:
        """Turn until told to stop. What fails is tried again: nothing is lost by it."""
        while not stop.is_set():
            self.moved.clear()
            wait_s = _LONGEST_SLEEP_S
            try:
                made, due = await self.turn()
                if made:
                    continue
                when = None if due is None else clock.real(await self.time.dial(), due)
                if when is not None:
                    wait_s = min(wait_s, max(_SHORTEST_SLEEP_S, (when - self.time.real()) / 1000))
            except (StoreError, Busy) as error:
                self._log.debug("sandbox.waits", error=type(error).__name__)
            except Exception:  # what is kept stays kept, and is taken up again
                self._log.exception("sandbox.failed")
            try:
                await asyncio.wait_for(self.moved.wait(), wait_s)
            except TimeoutError:
                continue


@asynccontextmanager
async def opened(config: Config, log: FilteringBoundLogger) -> AsyncIterator[Sandbox]:
    """Open what the sandbox needs."""
    client = connect(config)
    session = session_of(config, total_timeout_s=config.worker.request_timeout_seconds, limit=_CONNECTIONS)
    try:
        real = Clock()
        await real.sync(client)
        store, moved = Sandboxes(client), asyncio.Event()
        time, place = Time(store, real), place_of(config)
        systems = {one.model.name: one for one in (open_(place) for open_ in SYSTEMS)}
        boxes: dict[str, Box[Any]] = {
            name: Box(system.model, store, time, moved.set) for name, system in systems.items()
        }
        yield Sandbox(systems, boxes, time, moved, Theatre(session, config), session, config.secrets.operator_token, log)
    finally:
        await session.close()
        await client.close()


@asynccontextmanager
async def serving(sandbox: Sandbox, config: Config) -> AsyncIterator[None]:
    """Answer where the settings say, for as long as this lasts."""
    runner = web.AppRunner(sandbox.app(), access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, config.sandbox.host, config.sandbox.port).start()
        yield
    finally:
        await runner.cleanup()


def run(config: Config) -> int:
    """Run the sandbox until it is told to stop; the exit code. Raises ConfigError."""
    if not config.secrets.operator_token:
        raise ConfigError(["RELAY_OPERATOR_TOKEN: set it; who drives the sandbox must give it"])
    return uvloop.run(_main(config))


async def _main(config: Config) -> int:
    log, stop = open_log(config.log), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with opened(config, log) as sandbox, serving(sandbox, config):
        # Where `relay sandbox …` finds it.
        Path(config.sandbox.folder, "url").write_text(config.sandbox.base_url + "\n", "ascii")
        log.info("sandbox.listening", url=config.sandbox.base_url)
        await sandbox.work(stop)
    return 0


def _gate(box: Box[Any]) -> Any:
    @web.middleware
    async def gate(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        answer = await box.gate()
        return await handler(request) if answer is None else respond(answer)

    return gate
