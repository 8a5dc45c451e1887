"""How do partners receive, and how do they misbehave?

Receivers on real sockets, each with a temper: mostly sound, so that the load goes through, and now and then
as bad as real ones. What they do next is drawn from the run's seed.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Self

import standardwebhooks
from aiohttp import web

from chaos.tally import Arrival, Tally


@dataclass(frozen=True, slots=True)
class Temper:
    """Shares of the requests that go wrong in each way, and how long an answer takes (seconds, at most)."""

    name: str
    slow_s: float = 0.0
    fails: float = 0.0
    throttles: float = 0.0
    cuts: float = 0.0
    hangs: float = 0.0
    garbles: float = 0.0
    endless: float = 0.0


TEMPERS = (
    Temper("sound"),
    Temper("slow", slow_s=0.4),
    Temper("failing", fails=0.15),
    Temper("throttling", throttles=0.05),
    Temper("cutting", cuts=0.1, slow_s=0.05),
    Temper("hanging", hangs=0.02),
    Temper("garbling", garbles=0.08, endless=0.02),
    Temper("moody", slow_s=0.2, fails=0.05, throttles=0.01, cuts=0.05, hangs=0.005, garbles=0.02),
)


class Receivers:
    """One server for the endpoints of all partners, as an async context manager; a path is a partner's."""

    def __init__(self, tally: Tally, seed: str) -> None:
        self._tally = tally
        self._chance = Random(f"{seed}-partners")
        self._secrets: dict[str, str] = {}
        self._tempers = {temper.name: temper for temper in TEMPERS}
        self._behaving = False
        self.base = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=8 << 20)
        app.router.add_post("/{name}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def expect(self, name: str, secret: str) -> None:
        """What is sent to `name` is signed with this `whsec_…`."""
        self._secrets[name] = secret

    def behave(self) -> None:
        """The storm is over: everybody answers 200 at once."""
        self._behaving = True

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        name, body = request.match_info["name"], await request.read()
        try:
            standardwebhooks.Webhook(self._secrets[name]).verify(body, dict(request.headers))
        except (standardwebhooks.WebhookVerificationError, KeyError, ValueError) as error:
            self._tally.problems.append(f"{name}: {type(error).__name__} {error}")
            return web.Response(status=400)
        data = json.loads(body)["data"]
        one = Arrival(name, data["transfer"]["id"], data["sequence"], request.headers["webhook-id"], body)
        self._tally.arrive(one)
        return await self._answer(request, self._tempers[name.partition("-")[0]], one)

    async def _answer(self, request: web.Request, temper: Temper, one: Arrival) -> web.StreamResponse:
        slow_s, fate = self._chance.random() * temper.slow_s, self._chance.random()
        if self._behaving:
            slow_s, fate = 0.0, 1.0
        await asyncio.sleep(slow_s)
        for share, fault in (
            (temper.fails, "fail"),
            (temper.throttles, "throttle"),
            (temper.cuts, "cut"),
            (temper.hangs, "hang"),
            (temper.garbles, "garble"),
            (temper.endless, "endless"),
        ):
            if fate < share:
                return await self._misbehave(request, fault)
            fate -= share
        self._tally.accept(one)
        return web.Response()

    async def _misbehave(self, request: web.Request, fault: str) -> web.StreamResponse:
        assert request.transport is not None
        match fault:
            case "throttle":
                status = self._chance.choice((429, 503))
                return web.Response(status=status, headers={"Retry-After": "1"})
            case "cut":
                request.transport.abort()
            case "hang":
                await asyncio.Event().wait()
            case "garble":
                request.transport.write(b"220 smtp.example ESMTP\r\n")
                request.transport.close()
            case "endless":
                response = web.StreamResponse(status=500)
                await response.prepare(request)
                with suppress(ConnectionError):  # until the relay has had enough
                    while True:
                        await response.write(b"x" * 65_536)
                return response
        return web.Response(status=self._chance.choice((500, 502, 404)))
