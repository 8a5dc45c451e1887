"""How are the sources, and who does Partner Center call?

The operator's side of `relay.sources`: what waits, what is wrong, and the one registration of each tenant.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from aiohttp import web
from pydantic import Field

from relay.api.bodies import Body, read_body
from relay.api.paging import NUMBER, Listing, Query, in_order, listed
from relay.api.problems import Problem, not_found
from relay.api.route import Call, answer
from relay.api.shapes import Shape, Time
from relay.sources.listening import LISTENING
from relay.sources.partner_api import Upstream
from relay.sources.registration import Condition, Registered, Registrar, Taken
from relay.times import format_ms

LISTING = Listing("sources", NUMBER)
_LOOK_S = 1.0
_ASKED_SOON = 429


class TroubleShape(Shape):
    """Something that is wrong with a source. `waits_until`: the system is left alone until then."""

    kind: str
    detail: str
    since: Time
    last_seen: Time
    waits_until: Time | None


class WorkedShape(Shape):
    """How one callback ended: `told`, `known`, `unwanted`, `test`, `absent`, …"""

    at: Time
    event: str
    outcome: str
    transfer: str | None


class SourceShape(Shape):
    """A source: what waits to be worked on, what is wrong, and how the newest callbacks ended. Of SORACOM there
    is one for each operator; what waits and what is wrong is theirs together."""

    source: str
    callback_url: str = Field(description="Where it is called; the key in a façade's path is not shown.")
    waiting: int = Field(description="How many callbacks, or calls through the façade, are not worked on yet.")
    tested_at: Time | None = Field(description="When a validation event last came.")
    troubles: list[TroubleShape]
    past: list[WorkedShape]


class RegistrationShape(Shape):
    """The registration as Partner Center has it; `problem` is empty when it is as it should be."""

    url: str
    events: list[str]
    problem: str


class SourceDetailShape(SourceShape):
    """With the registration; null when Partner Center cannot be asked just now."""

    registration: RegistrationShape | None
    unreachable: str = Field(description="Why Partner Center could not be asked; empty when it could.")


class TestedShape(Shape):
    """How a validation event fared. `arrived`: it came here. `report` is Partner Center's own."""

    correlation_id: str
    arrived: bool
    report: dict[str, Any] | None


class KeptShape(Shape):
    """What a callback is answered: `kept`, or `known` when it came before."""

    status: str


class SoracomFaultShape(Shape):
    """What the façade answers for itself: an error in the shape of SORACOM's own."""

    code: Annotated[str, Field(pattern="^RLY")]
    message: str


class RegisterBody(Body):
    """`replace`: also when somebody else's URL is registered, who is cut off by that."""

    replace: bool = False


class TestBody(Body):
    """`wait_seconds`: for how long the answer waits for the event to come."""

    wait_seconds: Annotated[int, Field(ge=0, le=30)] = 20


async def list_(call: Call) -> web.Response:
    """Every source."""
    query = Query(call.request)
    asked = query.page(LISTING)
    query.check()
    listening = call.request.app[LISTENING]
    conditions = await asyncio.gather(*(one.condition() for one in listening.registrars.values()))
    conditions += await listening.soracom.conditions(call.services.config.server.base_url)
    page = in_order(conditions, asked)
    return answer(listed(LISTING, page, [SourceShape(**_shown(one)) for one in page.data]))


async def get(call: Call) -> web.Response:
    """One tenant's source, with the registration as it is now."""
    registrar = _registrar(call)
    condition = await registrar.condition()
    registration, unreachable = None, ""
    try:
        registration = _registration(await registrar.look())
    except Upstream as error:
        unreachable = error.detail
    return answer(SourceDetailShape(**_shown(condition), registration=registration, unreachable=unreachable))


async def register(call: Call) -> web.Response:
    """Register the callback URL."""
    body = await read_body(call.request, RegisterBody)
    try:
        return answer(_registration(await _registrar(call).register(replace=body.replace)))
    except Taken as taken:
        raise Problem(409, str(taken)) from None
    except Upstream as error:
        raise _away(error) from None


async def test(call: Call) -> web.Response:
    """Ask for a validation event and wait for it."""
    body = await read_body(call.request, TestBody)
    registrar = _registrar(call)
    before = (await registrar.condition()).tested_at
    try:
        id_ = await registrar.test()
        if id_ is None:
            raise Problem(502, "Partner Center granted no validation event; is it registered for test-created?")
        arrived = False
        for _ in range(body.wait_seconds):
            arrived = (await registrar.condition()).tested_at != before
            if arrived:
                break
            await asyncio.sleep(_LOOK_S)
        report = await registrar.test_result(id_)
    except Upstream as error:
        raise _away(error) from None
    return answer(
        TestedShape(correlation_id=id_, arrived=arrived, report=report if isinstance(report, dict) else None)
    )


def _registrar(call: Call) -> Registrar:
    registrar = call.request.app[LISTENING].registrars.get(call.part("tenant"))
    if registrar is None:
        raise not_found("tenant in [[sources.partner_center.tenants]]")
    return registrar


def _away(error: Upstream) -> Problem:
    if error.status == _ASKED_SOON:
        return Problem(429, f"{error.detail}.", headers={"Retry-After": str(error.after_s or 60)})
    return Problem(502, f"{error.detail}.")


def _registration(found: Registered) -> RegistrationShape:
    return RegistrationShape(url=found.url, events=list(found.events), problem=found.problem)


def _shown(condition: Condition) -> dict[str, Any]:
    return {
        "source": condition.source,
        "callback_url": condition.callback_url,
        "waiting": condition.waiting,
        "tested_at": condition.tested_at,
        "troubles": [
            TroubleShape(
                kind=one.kind,
                detail=one.detail,
                since=format_ms(one.since_ms),
                last_seen=format_ms(one.at_ms),
                waits_until=format_ms(one.until_ms) if one.until_ms else None,
            )
            for one in condition.troubles
        ],
        "past": [WorkedShape(**orjson.loads(note)) for note in condition.past],
    }
