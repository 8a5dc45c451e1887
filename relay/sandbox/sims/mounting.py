"""How is SORACOM's part of the sandbox opened at its place?

With its keys, the relay's settings to stand in the path of its operators, and what a person may do in it
beside its API, under `/sandbox/soracom`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec
from aiohttp import web

from relay.model import Record
from relay.sandbox.box import Box
from relay.sandbox.control import read_body, refused
from relay.sandbox.mount import Place, System, respond
from relay.sandbox.sims import assisted, billing, requests
from relay.sandbox.sims.api import SoracomApi
from relay.sandbox.sims.model import NAME, Sims
from relay.sandbox.sims.refusals import Code
from relay.sandbox.sims.sign_in import Keys
from relay.sandbox.sims.world import COVERAGES, SOURCE, TARGET, World, first, put, with_new_sims
from relay.sandbox.system import Answer, Call, Step

_MOST_NEW = 50


class SimsBody(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New SIMs of an operator's that nobody has used."""

    owner: str = SOURCE
    count: int = 3
    coverage: str = "jp"


class OperatorBody(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`has_payment`: it has set a payment method, or has none."""

    has_payment: bool


def open_system(place: Place) -> System:
    """The system at this place."""
    url, keys = f"{place.url}/{NAME}", Keys(place.secret)

    def api(box: Box[World]) -> web.Application:
        return SoracomApi(box, keys).app()

    def control(box: Box[World]) -> list[web.RouteDef]:
        return _control(box, keys)

    return System(Sims(url), api, control, _unsigned, _settings(url, keys))


def _unsigned(call: Call, raw: bytes) -> Mapping[str, str]:
    """An Event Handler signs nothing."""
    return {}


def _settings(url: str, keys: Keys) -> dict[str, str]:
    names = {one.id: one.name for one in first("", 0).operators.values()}
    operators = [
        {"coverage": coverage, "operator_id": id_, "name": names[id_], "key": keys.facade(coverage, id_)}
        for id_ in (SOURCE, TARGET)
        for coverage in COVERAGES
    ]
    values = {
        "OPERATORS": json.dumps(operators, ensure_ascii=False),
        "JP_URL": f"{url}/v1",
        "G_URL": f"{url}/g/v1",
        "REQUESTS_PER_MINUTE": "600",
    }
    return {f"RELAY_SOURCES__SORACOM__{name}": value for name, value in values.items()}


def _control(box: Box[World], keys: Keys) -> list[web.RouteDef]:
    async def new_sims(request: web.Request) -> web.Response:
        body = await read_body(request, SimsBody)
        return respond(await box.ask(lambda world, now: _new_sims(world, body, now)))

    async def change_operator(request: web.Request) -> web.Response:
        body, id_ = await read_body(request, OperatorBody), request.match_info["operator"]
        return respond(await box.ask(lambda world, now: _changed(world, id_, body)))

    async def go_online(request: web.Request) -> web.Response:
        imsi = request.match_info["imsi"]
        return respond(await box.ask(lambda world, now: requests.go_online(world, imsi, now)))

    async def apply(request: web.Request) -> web.Response:
        body = await read_body(request, assisted.Form)
        return respond(await box.ask(lambda world, now: assisted.apply(world, body, now)))

    async def accept(request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        return respond(await box.ask(lambda world, now: assisted.accept(world, id_, now)))

    async def bill(request: web.Request) -> web.Response:
        since, until = _day(request, "from"), _day(request, "to")
        return web.json_response({"days": await box.look(lambda world, now: billing.bill(world, since, until))})

    async def credentials(request: web.Request) -> web.Response:
        return web.json_response({"data": await box.look(lambda world, now: _credentials(world, keys))})

    path = f"/sandbox/{NAME}"
    return [
        web.post(f"{path}/sims", new_sims),
        web.post(f"{path}/sims/{{imsi}}/connect", go_online),
        web.post(f"{path}/operators/{{operator}}", change_operator),
        web.post(f"{path}/assisted", apply),
        web.post(f"{path}/assisted/{{id}}/accept", accept),
        web.get(f"{path}/bill", bill),
        web.get(f"{path}/credentials", credentials),
    ]


def _new_sims(world: World, body: SimsBody, now_ms: int) -> Step[World]:
    if body.owner not in world.operators:
        raise Code.NO_OPERATOR.refuse(body.owner)
    if not 1 <= body.count <= _MOST_NEW or body.coverage not in COVERAGES:
        raise Code.INVALID.refuse(f"count: 1 to {_MOST_NEW}; coverage: {' or '.join(COVERAGES)}")
    world, made = with_new_sims(world, body.owner, body.count, now_ms, body.coverage)
    return Step(world, Answer(201, {"imsis": [one.imsi for one in made]}))


def _changed(world: World, id_: str, body: OperatorBody) -> Step[World]:
    found = world.operators.get(id_)
    if found is None:
        raise Code.NO_OPERATOR.refuse(id_)
    after = msgspec.structs.replace(found, has_payment=body.has_payment)
    value = {"id": id_, "has_payment": body.has_payment}
    return Step(msgspec.structs.replace(world, operators=put(world.operators, id_, after)), Answer(200, value))


def _credentials(world: World, keys: Keys) -> list[dict[str, Any]]:
    """With what each operator signs in, and by which key it calls through the relay."""
    return [
        {
            "id": one.id, "email": one.email, "password": keys.password(one.id),
            "facade_keys": {coverage: keys.facade(coverage, one.id) for coverage in COVERAGES},
        }
        for one in world.operators.values()
    ]  # fmt: skip


def _day(request: web.Request, name: str) -> date:
    try:
        return date.fromisoformat(request.query.get(name, ""))
    except ValueError:
        raise refused(f"{name}: give a day, such as 2026-12-01") from None
