"""What is open to anybody, and what does a person see?"""

from __future__ import annotations

import re

from aiohttp import web
from aiohttp.test_utils import TestClient

from relay.api.routes import ALL
from tests.calling import Api

Http = TestClient[web.Request, web.Application]


async def test_the_document_names_the_routes_and_the_router_has_them(http: Http, operator: Api) -> None:
    made = await operator.ask("GET", "/openapi.json")
    described = {(method.upper(), path) for path, by in made["paths"].items() for method in by}
    assert described == {(route.method, route.path) for route in ALL}
    routed = {
        (route.method, route.resource.canonical)
        for route in http.app.router.routes()
        if route.resource is not None and route.method not in ("HEAD", "*")
    }
    pages = {pair for pair in routed if pair[1] == "/" or pair[1].startswith(("/portal", "/static", "/mailbox"))}
    assert routed - pages == described


async def test_the_documentation_loads_nothing_from_elsewhere(http: Http) -> None:
    response = await http.get("/docs")
    text = await response.text()
    assert response.status == 200
    assert "createEndpoint" in text
    assert "<script" not in text
    assert set(re.findall(r'(?:src|href)="([^"#][^"]*)"', text)) == {"/static/portal.css", "/openapi.json"}
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    css = await http.get("/static/portal.css")
    assert css.content_type == "text/css"


async def test_the_bare_address_leads_to_the_documentation(http: Http) -> None:
    response = await http.get("/")
    assert (response.status, response.url.path) == (200, "/docs")


async def test_health_is_open_and_metrics_are_not(http: Http, operator: Api) -> None:
    for path in ("/healthz", "/readyz"):
        response = await http.get(path)
        assert (response.status, await response.json()) == (200, {"status": "ok"})
    assert (await http.get("/metrics")).status == 401
    assert "relay_events_total" in await operator.ask("GET", "/metrics")


async def test_event_types_come_with_schema_and_example(operator: Api) -> None:
    contoso = await operator.partner("contoso")
    types = (await contoso.ask("GET", "/v1/event-types"))["data"]
    assert len(types) == 8
    assert all({"type", "schema", "example"} <= set(one) for one in types)


async def test_a_portal_link_signs_one_person_in_once(http: Http, operator: Api) -> None:
    contoso = await operator.partner("contoso")
    await operator.partner("fabrikam")
    url = "https://hooks.contoso-webhooks.com/<b>in</b>"
    await contoso.ask("POST", "/v1/partners/contoso/endpoints", {"url": url}, expect=201)
    link = await operator.ask("POST", "/v1/partners/contoso/portal-links", expect=201)
    assert link["url"].startswith("http://relay.test/portal/sign-in/")
    path = link["url"].removeprefix("http://relay.test")

    signed = await http.get(path, allow_redirects=False)
    assert (signed.status, signed.headers["Location"]) == (303, "/portal")
    cookie = signed.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie

    page = await http.get("/portal")
    text = await page.text()
    assert page.status == 200
    assert "Contoso" in text
    assert "Fabrikam" not in text
    assert "hooks.contoso-webhooks.com" in text
    assert "<b>in</b>" not in text
    assert "script" not in page.headers["Content-Security-Policy"]

    http.session.cookie_jar.clear()
    again = await http.get(path, allow_redirects=False)
    assert again.status == 403
    assert (await http.get("/portal")).status == 401


async def test_signing_out_ends_the_session(http: Http, operator: Api) -> None:
    await operator.partner("contoso")
    link = await operator.ask("POST", "/v1/partners/contoso/portal-links", expect=201)
    signed = await http.get(link["url"].removeprefix("http://relay.test"), allow_redirects=False)
    session = signed.cookies["relay_portal"].value
    assert (await http.get("/portal")).status == 200
    await http.post("/portal/sign-out")
    http.session.cookie_jar.clear()
    kept = await http.get("/portal", headers={"Cookie": f"relay_portal={session}"})
    assert kept.status == 401
