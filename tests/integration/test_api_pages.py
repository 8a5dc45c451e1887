"""What is open to anybody, and what does a person see?"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from relay.api.routes import ALL
from relay.app import create_app
from relay.services import Services
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
    pages = {pair for pair in routed if pair[1] == "/" or pair[1].startswith(("/portal", "/preferences", "/static", "/mailbox", "/sandbox"))}
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


async def test_every_page_runs_nothing_loads_nothing_and_stands_in_no_frame(http: Http, operator: Api) -> None:
    await operator.partner("contoso")
    link = (await operator.ask("POST", "/v1/partners/contoso/portal-links", {}, expect=201))["url"]
    signed_in = await http.get(link.removeprefix("http://relay.test"), allow_redirects=False)
    assert "HttpOnly" in signed_in.headers["Set-Cookie"] and "SameSite=Lax" in signed_in.headers["Set-Cookie"]
    http.session.cookie_jar.update_cookies({"relay_portal": signed_in.cookies["relay_portal"].value}, http.make_url("/"))
    pages = {
        route.resource.canonical
        for route in http.app.router.routes()
        if route.resource is not None and route.method == "GET" and route.resource.canonical.startswith(("/portal", "/docs"))
    }
    assert {"/docs", "/portal"} <= pages
    seen = [await http.get(re.sub(r"{\w+}", "absent", path)) for path in sorted(pages)]
    seen.append(await http.post("/portal/sign-out"))
    for page in [signed_in, *seen]:
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert "script-src" not in policy and "form-action 'self'" in policy and "base-uri 'none'" in policy
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["X-Frame-Options"] == "DENY"
        text = await page.text()
        assert not re.search(r"<script|\son\w+=|\sstyle=|javascript:|<style", text), page.url


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200), ({"Sec-Fetch-Site": "same-origin"}, 200), ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://relay.test", "Host": "relay.test"}, 200), ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403), ({"Origin": "http://["}, 403), ({"Sec-Fetch-Site": "cross-site", "Origin": "http://relay.test", "Host": "relay.test"}, 403),
    ],
)  # fmt: skip
async def test_a_form_is_taken_from_a_page_of_ours_only(http: Http, headers: dict[str, str], expected: int) -> None:
    assert (await http.post("/portal/sign-out", headers=headers)).status == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200), ("LOCALHOST:8080", 200), ("127.0.0.1:8080", 200), ("[::1]:8080", 200), ("192.168.1.7", 200),
        ("relay.test", 200), ("relay.test.", 200), ("evil.example", 421), ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421), ("", 421), ("[::1", 421), ("2130706433.nip.example:80", 421),
    ],
)  # fmt: skip
async def test_it_answers_to_its_names_and_to_addresses_only(
    services: Services, aiohttp_client: Any, host: str, expected: int
) -> None:
    server = services.config.server.model_copy(update={"allowed_hosts": ("localhost",)})
    config = services.config.model_copy(update={"server": server})
    client = await aiohttp_client(create_app(dataclasses.replace(services, config=config)))
    for path in ("/healthz", "/docs", "/portal/absent"):
        found = (await client.get(path, headers={"Host": host})).status
        assert found == (404 if path.endswith("absent") and expected == 200 else expected), path


async def test_the_bare_address_leads_to_the_documentation(http: Http) -> None:
    response = await http.get("/")
    assert (response.status, response.url.path) == (200, "/docs")


async def test_health_is_open_and_metrics_are_not(http: Http, operator: Api) -> None:
    for path, said in (("/healthz", {"status": "ok"}), ("/readyz", {"status": "ok", "mail": "off"})):
        response = await http.get(path)
        assert (response.status, await response.json()) == (200, said)
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
