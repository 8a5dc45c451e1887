"""What is asked of an endpoint before it is relied on, through the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.signing import new_secret
from tests.calling import Api
from tests.fakes.partner import Answer, Partner

ENDPOINTS = "/v1/partners/contoso/endpoints"


class Consenting:
    """A receiver that answers OPTIONS with `headers`, and takes what is posted."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.asked: list[dict[str, str]] = []
        self.posted: list[dict[str, str]] = []
        self.url = ""

    async def options(self, request: web.Request) -> web.Response:
        self.asked.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(status=405, headers=self.headers)

    async def post(self, request: web.Request) -> web.Response:
        self.posted.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response()


@pytest.fixture
async def consenting() -> AsyncIterator[Consenting]:
    made = Consenting()
    app = web.Application()
    app.router.add_route("OPTIONS", "/in", made.options)
    app.router.add_post("/in", made.post)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/in"))
        yield made


@pytest.fixture
async def contoso(operator: Api) -> Api:
    return await operator.partner("contoso")


# --- the pre-flight ---------------------------------------------------------------------------------


async def test_a_preflight_says_a_sentence_a_finding(contoso: Api) -> None:
    async with Partner() as partner:
        made = await contoso.ask("POST", ENDPOINTS, {"url": partner.url()}, expect=201)
        said = await contoso.ask("POST", f"{ENDPOINTS}/{made['id']}/preflight")
        assert said["ok"] is True
        assert [one["check"] for one in said["findings"]] == ["connect", "tls", "ping", "latency"]
        assert all(one["detail"].endswith(".") for one in said["findings"])
        assert said["attempt"]["request"]["body"].encode() == partner.requests[0].body
        partner.always(Answer(500))
        said = await contoso.ask("POST", f"{ENDPOINTS}/{made['id']}/preflight", {"forgery": True})
        assert said["ok"] is False
        assert said["findings"][-1] == {
            "check": "ping", "level": "problem",
            "detail": said["attempt"]["explanation"],
        }  # fmt: skip


async def test_of_who_is_not_reached_the_outcome_is_all_and_comes_at_a_full_second(
    operator: Api, contoso: Api, unused_tcp_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/"
    made = await contoso.ask("POST", ENDPOINTS, {"url": url}, expect=201)
    loop = asyncio.get_running_loop()
    for path, body in ((f"{ENDPOINTS}/{made['id']}/preflight", {}), (f"{ENDPOINTS}/{made['id']}/test", {})):
        began = loop.time()
        said = await contoso.ask("POST", path, body)
        assert loop.time() - began >= 1.0
        assert "ms" not in str(said.get("findings", ""))
    assert said["explanation"].startswith("No connection could be made.")
    assert (said["outcome"], said["duration_ms"], said["detail"]) == ("connection_refused", None, "")
    known = await operator.ask("POST", f"{ENDPOINTS}/{made['id']}/preflight")
    assert known["ok"] is False


async def test_with_verify_nothing_is_stored_unless_the_preflight_finds_no_problem(contoso: Api) -> None:
    secret = new_secret()
    async with Partner(secret=secret) as partner:
        problem = await contoso.ask("POST", ENDPOINTS, {"url": partner.url(), "verify": True}, expect=422)
        ((pointer, detail),) = [(one["pointer"], one["detail"]) for one in problem["errors"]]
        assert (pointer, "400" in detail) == ("/url", True)
        assert detail.endswith("Nothing is stored.")
        assert (await contoso.ask("GET", ENDPOINTS))["data"] == []
        partner.problems.clear()
        # Who verifies a ping that comes before the secret is known gives a secret of its own.
        made = await contoso.ask("POST", ENDPOINTS, {"url": partner.url(), "verify": True, "secret": secret}, expect=201)
        assert made["secret"] == secret
        assert {one["level"] for one in made["findings"]} == {"ok", "warning"}
        partner.answers(Answer(401))
        problem = await contoso.ask("POST", ENDPOINTS, {"url": partner.url(), "verify": True, "secret": secret}, expect=422)
        assert "give a `secret` of your own" in problem["errors"][0]["detail"]


@pytest.mark.parametrize("secret", ["planted", "whsec_cGxhbnRlZA==", "whsec_planted!", "whpk_" + "A" * 44])
async def test_a_secret_of_ones_own_is_one_of_the_standard(contoso: Api, secret: str) -> None:
    body = {"url": "https://hooks.fabrikam.com/", "secret": secret}
    problem = await contoso.ask("POST", ENDPOINTS, body, expect=422)
    assert [one["pointer"] for one in problem["errors"]] == ["/secret"]
    assert "planted" not in str(problem)


async def test_who_has_as_many_endpoints_as_it_may_is_not_pinged_any_more(contoso: Api) -> None:
    async with Partner() as partner:
        for _ in range(3):  # as many as these tests allow
            await contoso.ask("POST", ENDPOINTS, {"url": partner.url()}, expect=201)
        for asked in ({"verify": True}, {"handshake": True}, {}):
            await contoso.ask("POST", ENDPOINTS, {"url": partner.url(), **asked}, expect=409)
        assert partner.requests == []


async def test_checks_are_limited_because_they_go_where_a_partner_says(operator: Api, contoso: Api) -> None:
    async with Partner() as partner:
        made = await contoso.ask("POST", ENDPOINTS, {"url": partner.url()}, expect=201)
        test = f"{ENDPOINTS}/{made['id']}/test"
        seen = await asyncio.gather(*(contoso.status("POST", test) for _ in range(120)))
        assert set(seen) == {200, 429}
        assert seen.count(200) >= 60
        assert len(partner.requests) == seen.count(200)


# --- consent ----------------------------------------------------------------------------------------


async def test_an_endpoint_that_consents_is_told_who_sends_and_no_faster_than_it_allows(
    contoso: Api, consenting: Consenting
) -> None:
    consenting.headers = {"WebHook-Allowed-Origin": "relay.test", "WebHook-Allowed-Rate": "120"}
    body: dict[str, Any] = {"url": consenting.url, "handshake": True, "rate_limit": 600}
    made = await contoso.ask("POST", ENDPOINTS, body, expect=201)
    assert (made["handshake"], made["allowed_rate"], made["rate_limit"]) == (True, 120, 120)
    (asked,) = consenting.asked
    assert (asked["webhook-request-origin"], asked["webhook-request-rate"]) == ("relay.test", "600")
    assert consenting.posted == []
    await contoso.ask("POST", f"{ENDPOINTS}/{made['id']}/test")
    assert consenting.posted[0]["webhook-request-origin"] == "relay.test"

    path = f"{ENDPOINTS}/{made['id']}"
    problem = await contoso.ask("PATCH", path, {"rate_limit": 121}, expect=422)
    assert problem["errors"][0]["pointer"] == "/rate_limit"
    assert (await contoso.ask("PATCH", path, {"rate_limit": 60}))["rate_limit"] == 60
    assert (await contoso.ask("PATCH", path, {"rate_limit": None}))["rate_limit"] == 120
    assert len(consenting.asked) == 1


async def test_without_a_rate_none_is_asked_for_and_none_is_set(contoso: Api, consenting: Consenting) -> None:
    consenting.headers = {"WebHook-Allowed-Origin": "*"}
    made = await contoso.ask("POST", ENDPOINTS, {"url": consenting.url, "handshake": True}, expect=201)
    assert (made["handshake"], made["allowed_rate"], made["rate_limit"]) == (True, None, None)
    assert "webhook-request-rate" not in consenting.asked[0]


@pytest.mark.parametrize("headers", [{}, {"WebHook-Allowed-Origin": "other.com"}, {"WebHook-Allowed-Rate": "5"}])
async def test_an_answer_without_consent_stores_nothing(
    contoso: Api, consenting: Consenting, headers: dict[str, str]
) -> None:
    consenting.headers = headers
    problem = await contoso.ask("POST", ENDPOINTS, {"url": consenting.url, "handshake": True}, expect=422)
    assert "WebHook-Allowed-Origin: relay.test" in problem["errors"][0]["detail"]
    assert (await contoso.ask("GET", ENDPOINTS))["data"] == []


async def test_a_new_url_is_asked_again_and_who_refuses_stays_where_it_was(
    contoso: Api, consenting: Consenting, unused_tcp_port: int
) -> None:
    consenting.headers = {"WebHook-Allowed-Origin": "*"}
    made = await contoso.ask("POST", ENDPOINTS, {"url": consenting.url, "handshake": True}, expect=201)
    path = f"{ENDPOINTS}/{made['id']}"
    async with Partner() as never_asked:
        await contoso.ask("PATCH", path, {"url": never_asked.url()}, expect=422)
        assert [request.method for request in never_asked.requests] == ["OPTIONS"]
        await contoso.ask("PATCH", path, {"url": f"http://127.0.0.1:{unused_tcp_port}/"}, expect=422)
        assert (await contoso.ask("GET", path))["url"] == consenting.url
        changed = await contoso.ask("PATCH", path, {"url": never_asked.url(), "handshake": False})
        assert (changed["url"], changed["handshake"]) == (never_asked.url(), False)
        await contoso.ask("POST", f"{path}/test")
        assert "webhook-request-origin" not in never_asked.requests[-1].headers
    moved = await contoso.ask("PATCH", path, {"url": consenting.url, "handshake": True})
    assert (moved["url"], moved["handshake"]) == (consenting.url, True)
