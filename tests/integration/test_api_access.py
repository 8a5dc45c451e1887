"""Is every route closed to who may not take it, those that are added later included?"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from relay.api.route import Access, Route
from relay.api.routes import ROUTES
from relay.services import Services
from tests.calling import OPERATOR, Api

Http = TestClient[web.Request, web.Application]
EVERY = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)


def path_of(route: Route, partner: str) -> str:
    """The route's path, with `partner` where one belongs and an absent id elsewhere."""
    return re.sub(r"{\w+}", "absent", route.path.replace("{partner}", partner))


def sent(route: Route) -> Any:
    return None if route.method in ("GET", "DELETE") else {}


@EVERY
async def test_nobody_is_let_in_without_a_token(http: Http, route: Route) -> None:
    response = await http.request(route.method, path_of(route, "contoso"), json=sent(route))
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


@EVERY
async def test_a_producer_is_not_let_in(operator: Api, route: Route) -> None:
    made = await operator.ask("POST", "/v1/producers", {"name": "Centre"}, expect=201)
    await operator.of(made["token"]).ask(route.method, path_of(route, "contoso"), sent(route), expect=403)


@EVERY
async def test_a_partner_finds_nothing_of_another(operator: Api, route: Route) -> None:
    contoso = await operator.partner("contoso")
    await operator.partner("fabrikam")
    if route.access is Access.MEMBER and "{" not in route.path:
        return  # a list of the caller's own
    expect = 403 if route.access is Access.OPERATOR else 404
    answered = await contoso.ask(route.method, path_of(route, "fabrikam"), sent(route), expect=expect)
    if expect == 404 and route.access is Access.PARTNER:
        absent = await contoso.ask(route.method, path_of(route, "nobody"), sent(route), expect=404)
        assert answered == absent


@EVERY
async def test_what_is_absent_is_absent_for_the_operator_too(operator: Api, route: Route) -> None:
    if "{" not in route.path or (route.method, route.path) == ("PUT", "/v1/partners/{partner}"):
        return
    status = {404} if route.body is None else {404, 422}
    response = await operator.status(route.method, path_of(route, "nobody"), sent(route))
    assert response in status


async def test_a_removed_partner_can_do_nothing_more(services: Services, operator: Api) -> None:
    contoso = await operator.partner("contoso")
    await operator.ask("DELETE", "/v1/partners/CONTOSO", expect=204)
    await contoso.ask("GET", "/v1/partners/contoso", expect=401)
    await operator.ask("GET", "/v1/partners/contoso", expect=404)
    await operator.ask("DELETE", "/v1/partners/contoso", expect=404)


async def test_without_a_database_the_api_says_try_again(
    services: Services, http: Http, unused_tcp_port: int
) -> None:
    pool = services.store.client.redis.connection_pool
    pool.connection_kwargs["port"] = unused_tcp_port
    await pool.disconnect()
    for path in ("/readyz", "/v1/partners"):
        response = await http.get(path, headers={"Authorization": f"Bearer {OPERATOR}"})
        body = await response.json(content_type="application/problem+json")
        assert (response.status, body["status"]) == (503, 503)
        assert int(response.headers["Retry-After"]) >= 1
    assert (await http.get("/healthz")).status == 200


async def test_the_time_of_an_answer_does_not_tell_what_is_there(operator: Api) -> None:
    contoso = await operator.partner("contoso")
    for path in ("/v1/transfers/tr-1", "/v1/deliveries/dlv_ep_x_1", "/v1/partners/contoso/endpoints/ep_x"):
        began = asyncio.get_running_loop().time()
        await contoso.ask("GET", path, expect=404)
        # A full step, within which both are found out: what is another's and what is not there.
        assert asyncio.get_running_loop().time() - began >= 0.05


@pytest.mark.parametrize("route", [one for one in ROUTES if any(a.many for a in one.answers)], ids=lambda route: route.name)
async def test_a_list_refuses_a_parameter_that_the_document_does_not_have(operator: Api, route: Route) -> None:
    """And names those that it has, which are the document's."""
    contoso = await operator.partner("contoso")
    made = await contoso.ask("POST", "/v1/partners/contoso/endpoints", {"url": "http://127.0.0.1:9/"}, expect=201)
    producer = await operator.ask("POST", "/v1/producers", {"name": "Centre"}, expect=201)
    path = path_of(route, "contoso").replace("endpoints/absent", f"endpoints/{made['id']}")
    path = path.replace("producers/absent", f"producers/{producer['id']}")
    said = await operator.ask("GET", f"{path}?limit=1&nonsense=1", expect=422)
    (fault,) = said["errors"]
    assert fault["pointer"] == "/nonsense"
    assert set(fault["detail"].rpartition("there are ")[2].split(", ")) == {param.name for param in route.query}
