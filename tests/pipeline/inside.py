"""How does a test move the relay's clock?

The web application and the engine of a worker in this process, over a real database, real sockets and a
real mail server. Nothing happens by itself: `sweep` does what a worker's second does, and `to` moves the
clock that both of them go by.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, web

from relay.app import create_app
from relay.clock import Clock
from relay.config import load
from relay.engine.engine import Engine
from relay.logs import open_log
from relay.services import Services, open_services
from relay.times import to_ns
from tests.fakes.partner import Partner
from tests.fakes.smtp import SmtpFake
from tests.pipeline.caller import Caller
from tests.pipeline.rig import environment

_MOST_ROUNDS = 50


@dataclass
class Inside:
    """The relay inside this process; `api` is called as the operator."""

    services: Services
    engine: Engine
    api: Caller
    hooks: Partner
    mail: SmtpFake

    @property
    def clock(self) -> Clock:
        """The clock of all of it."""
        clock = self.services.clock
        assert isinstance(clock, Clock)
        return clock

    async def sweep(self) -> None:
        """Sweeps until a sweep finds nothing more to do."""
        for _ in range(_MOST_ROUNDS):
            before = len(self.hooks.requests), len(self.mail.messages)
            await self.engine.sweep()
            await self.engine.idle()
            await self.engine.sweep()
            await self.engine.idle()
            if before == (len(self.hooks.requests), len(self.mail.messages)):
                return
        raise AssertionError("it goes on and on")

    def pass_time(self, seconds: float) -> None:
        """It is later now."""
        self.clock.offset_ms += round(seconds * 1000)

    async def to(self, time: str) -> None:
        """It is this time now, or right after it, and a worker has swept."""
        self.clock.offset_ms += to_ns(time) // 1_000_000 - self.clock() + 1
        await self.sweep()

    async def delivery(self, event_id: str, path: str = "") -> Any:
        """The one webhook delivery of an event, with its attempts."""
        found = [
            d for d in await self.api.all("/v1/deliveries?channel=webhook") if d["event_id"] == event_id
        ]
        assert len(found) == 1, found
        return await self.api.ask("GET", f"/v1/deliveries/{found[0]['id']}")


@asynccontextmanager
async def inside(store_url: str, *, port: int = 0, **settings: str) -> AsyncIterator[Inside]:
    """Opens all of it; on any free `port`, unless somebody must know it beforehand."""
    async with AsyncExitStack() as stack:
        hooks = await stack.enter_async_context(Partner(real_time=False))
        mail = await stack.enter_async_context(SmtpFake())
        config = load(None, environment(store_url, **({"RELAY_MAIL__URL": mail.url} | settings)))
        services = await stack.enter_async_context(open_services(config, open_log(config.log)))
        engine = Engine(services)
        runner = web.AppRunner(create_app(services), auto_decompress=False, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        http = await stack.enter_async_context(ClientSession())
        yield Inside(services, engine, Caller(http, f"http://127.0.0.1:{runner.addresses[0][1]}"), hooks, mail)
        await engine.stop(5)
