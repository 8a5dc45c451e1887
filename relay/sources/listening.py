"""What does a process hold open to listen to the transfer systems?

One guarded session for all of them, and per configured tenant its API, its health and its registration. A
web process takes what comes in; a worker process works (`Work`), once a second, on what was kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web
from cryptography.x509 import Certificate

from relay.api.limiting import asker_of
from relay.door import Door
from relay.errors import StoreError
from relay.record import Recorder
from relay.services import SERVICES, Services, session_of
from relay.sources.certificates import Certificates, read_authorities
from relay.sources.parties import Parties
from relay.sources.partner_api import PartnerApi, source_of
from relay.sources.partner_center import PartnerCenterDoor
from relay.sources.registration import WATCH, Registrar
from relay.sources.signature import check_certificate
from relay.sources.sims import SOURCE
from relay.sources.soracom import Facade
from relay.sources.trouble import Health
from relay.sources.worker import TenantWorker

_TICK_S = 1.0
_TOKENS = "/v1/sources/soracom/{segment}/v1/subscribers/transfer_token"
_CONNECTIONS = 64
_FIRST_LOOK_MS = 5_000


@dataclass(frozen=True, slots=True)
class Listening:
    """The sources of one process. `due`: set it when one of them has something to work on."""

    services: Services
    partner_center: PartnerCenterDoor
    registrars: dict[str, Registrar]
    workers: dict[str, TenantWorker]
    soracom: Facade
    due: asyncio.Event = field(default_factory=asyncio.Event)

    async def tick(self) -> int:
        """Work on what is due, in every source; how much that was."""
        ticks = [worker.tick() for worker in self.workers.values()]
        if self.services.config.sources.soracom.operators:
            ticks.append(self.soracom.tick())
        return sum(await asyncio.gather(*ticks))

    async def start(self) -> None:
        """Have the registrations looked at from now on."""
        now = self.services.clock()
        for worker in self.workers.values():
            await self.services.store.sources.put(worker.source, WATCH, b"{}", now + _FIRST_LOOK_MS)

    async def work(self, stop: asyncio.Event) -> None:
        """Tick once a second, and when something is due, until told to stop. What fails is tried again: nothing is lost by it."""
        started = False
        while not stop.is_set():
            try:
                if not started:
                    await self.start()
                    started = True
                await self.tick()
            except StoreError as error:
                self.services.log.debug("sources.wait", error=type(error).__name__)
            except Exception:  # what is kept stays kept, and is taken up again when its lease has ended
                self.services.log.exception("sources.failed")
            await self._until_due(stop)

    async def _until_due(self, stop: asyncio.Event) -> None:
        """At most a second."""
        waits = [asyncio.create_task(one.wait()) for one in (stop, self.due)]
        try:
            await asyncio.wait(waits, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        self.due.clear()


LISTENING: web.AppKey[Listening] = web.AppKey("listening", Listening)


@asynccontextmanager
async def hearing(services: Services) -> AsyncIterator[Listening]:
    """Open what the configured sources need. Raises ConfigError."""
    config, store, clock = services.config, services.store, services.clock
    settings = config.sources.partner_center
    longest = max(settings.timeout_seconds, config.sources.soracom.timeout_seconds)
    session = session_of(config, total_timeout_s=longest, limit=_CONNECTIONS)
    try:
        door = Door(store, services.vault, Recorder(services.log, store.counters), services.nudge_fan_out, clock)
        apis = {
            one.name: PartnerApi(session, settings, one, store.sources, services.vault, clock)
            for one in settings.tenants
        }
        healths = {
            one.name: Health(store, services.log, clock, source_of(one), one.partner.casefold())
            for one in settings.tenants
        }
        parties = Parties(store.registry, settings.tenants, clock)
        registrars = {
            one.name: Registrar(
                one, settings, config.server.base_url, apis[one.name], store, healths[one.name], clock
            )
            for one in settings.tenants
        }
        authorities = read_authorities(settings) if settings.tenants else []

        def check(chain: Sequence[Certificate], now: datetime) -> None:
            check_certificate(chain, authorities, settings.organisation, now)

        yield Listening(
            services=services,
            partner_center=PartnerCenterDoor(
                settings,
                Certificates(session, settings.timeout_seconds, check, clock),
                store.sources,
                healths,
                services.nudge_sources,
                clock,
                asker=asker_of(config.server.trusted_proxies),
                body_timeout_s=config.server.body_timeout_seconds,
            ),
            registrars=registrars,
            soracom=Facade(
                session,
                config.sources.soracom,
                store.sources,
                door,
                Health(store, services.log, clock, SOURCE, ""),
                clock,
            ),
            workers={
                one.name: TenantWorker(
                    one, settings, apis, parties, door, store, healths[one.name], registrars[one.name], clock
                )
                for one in settings.tenants
            },
        )
    finally:
        await session.close()


def add_sources(app: web.Application) -> None:
    """Have a web application take what the transfer systems send; its SERVICES must be set."""
    app.cleanup_ctx.append(_opened)
    app.router.add_post("/v1/sources/partner-center/{tenant}", _partner_center)
    app.router.add_post(f"{_TOKENS}/issue", _issue)
    app.router.add_post(f"{_TOKENS}/verify", _verify)
    app.router.add_delete(f"{_TOKENS}/{{token}}", _delete)
    app.router.add_post("/v1/sources/soracom/{segment}/sim-status", _sim_status)


async def _opened(app: web.Application) -> AsyncIterator[None]:
    async with hearing(app[SERVICES]) as sources:
        app[LISTENING] = sources
        yield


async def _partner_center(request: web.Request) -> web.Response:
    return await request.app[LISTENING].partner_center.post(request)


async def _issue(request: web.Request) -> web.Response:
    return await request.app[LISTENING].soracom.issue(request)


async def _verify(request: web.Request) -> web.Response:
    return await request.app[LISTENING].soracom.verify(request)


async def _delete(request: web.Request) -> web.Response:
    return await request.app[LISTENING].soracom.delete(request)


async def _sim_status(request: web.Request) -> web.Response:
    return await request.app[LISTENING].soracom.sim_status(request)
