"""May the relay send to this endpoint, and would it work?

What is sent before an endpoint is relied on: a pre-flight, and the question of CloudEvents' abuse protection
whether it consents. Both go to addresses that a partner typed in, so they are limited, and of one that could
not be reached a partner is not told, not even by the time of the answer, more than the outcome.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from relay import consent
from relay.advice import advise, reached_nobody
from relay.api.limiting import wait_first
from relay.api.problems import Fault, invalid
from relay.api.route import Call
from relay.api.shapes import FindingShape
from relay.config import Config
from relay.limits import Gcra
from relay.model import Attempt, Endpoint, Outcome
from relay.preflight import Report, preflight
from relay.store.registry import RegistryFull

CHECKS: web.AppKey[Gcra | None] = web.AppKey("checks", Gcra)
_WHOLE_S = 1.0


def limit_of(config: Config) -> Gcra | None:
    """How many checks one partner may ask for; None for no limit."""
    a_minute = config.limits.checks_per_minute
    return Gcra(a_minute / 60, a_minute) if a_minute else None


def origin_of(config: Config) -> str:
    """Who the relay says it is when it asks for consent."""
    return config.egress.origin or urlsplit(config.server.base_url).hostname or config.server.host


def allow(call: Call) -> None:
    """Returns when one more message may be sent because this partner asks; TooMany (429) when not."""
    limit = call.request.app[CHECKS]
    wait = 0.0 if limit is None else limit.take(call.partner, asyncio.get_running_loop().time())
    wait_first(wait, "this partner has had its endpoints checked very often")


async def room_for_one_more(call: Call) -> None:
    """Returns when the partner may have another endpoint: asked before anything is sent to it."""
    most = call.services.config.limits.endpoints_per_partner
    if len(await call.services.store.registry.list_endpoints(call.partner)) >= most:
        raise RegistryFull(f"this partner has {most} endpoints, which is as many as it may have")


async def check(call: Call, endpoint: Endpoint, *, forgery: bool = False) -> Report:
    """A pre-flight of this endpoint, stored or not."""
    allow(call)
    began = asyncio.get_running_loop().time()
    is_operator = call.caller.is_operator
    report = await preflight(
        call.services, endpoint, call.now_ms, for_operator=is_operator, forgery=forgery
    )
    if report.unreached:
        await unhurried(call, began)
    return report


async def require(call: Call, endpoint: Endpoint) -> Report:
    """A pre-flight that finds no problem; 422 with each that it finds."""
    report = await check(call, endpoint)
    if report.problems:
        answered = report.ping is not None and report.ping.attempt.status in (401, 403)
        also = (
            " To verify a ping that comes before you know the secret, give a `secret` of your own." if answered else ""
        )
        raise invalid([Fault("/url", f"{one.detail}{also} Nothing is stored.") for one in report.problems])
    return report


async def agreed(call: Call, endpoint: Endpoint, *, changed: bool = True) -> dict[str, Any]:
    """What changes of an endpoint that is asked whether it consents, for its `url` and its `rate_limit`; 422
    when it does not. Asked again only when it `changed`."""
    origin = origin_of(call.services.config)
    if not changed and endpoint.consent_origin == origin:
        allowed = endpoint.allowed_rate
        if allowed is not None and (endpoint.rate_limit or allowed) > allowed:
            raise invalid([Fault("/rate_limit", f"the endpoint consented to {allowed} requests a minute")])
        return {"rate_limit": endpoint.rate_limit or allowed}
    allow(call)
    began = asyncio.get_running_loop().time()
    given = await consent.ask(call.services.sender, endpoint.url, origin, endpoint.rate_limit)
    if not given.given:
        why = given.detail
        if given.outcome is not Outcome.ACCEPTED:
            failed = Attempt(number=1, at_ms=call.now_ms, duration_ms=0, outcome=given.outcome, detail=given.detail)
            why = advise(failed, quiet=reached_nobody(failed) and not call.caller.is_operator) or ""
            if reached_nobody(failed):
                await unhurried(call, began)
        raise invalid([Fault("/url", f"The endpoint does not consent to be sent webhooks. {why} Nothing is stored.")])
    rates = [rate for rate in (endpoint.rate_limit, given.rate) if rate is not None]
    return {"consent_origin": origin, "allowed_rate": given.rate, "rate_limit": min(rates, default=None)}


async def unhurried(call: Call, began: float) -> None:
    """Wait for the next full second since `began`, unless the operator asks: how soon an address is known not
    to answer tells how far away it is, and what stands before it."""
    if not call.caller.is_operator:
        passed = asyncio.get_running_loop().time() - began
        await asyncio.sleep(_WHOLE_S - passed % _WHOLE_S)


def shown(report: Report) -> list[FindingShape]:
    """The findings as the API shows them."""
    return [FindingShape(check=one.check, level=one.level, detail=one.detail) for one in report.findings]
