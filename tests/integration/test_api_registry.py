"""What does the API promise about what is registered?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.calling import Api, Receiver

URL = "https://hooks.fabrikam-webhooks.com/in"


def pointers(problem: dict[str, Any]) -> set[str]:
    return {error["pointer"] for error in problem["errors"]}


# --- who may do what --------------------------------------------------------------------------------


async def test_without_a_token_nothing_is_told(operator: Api) -> None:
    problem = await operator.of("nobody").ask("GET", "/v1/partners", expect=401)
    assert problem["title"] == "Unauthorized"
    await operator.of("nobody").ask("GET", "/healthz", expect=200)


async def test_what_is_another_partners_is_not_there(operator: Api) -> None:
    contoso, fabrikam = await operator.partner("contoso"), await operator.partner("fabrikam")
    theirs = await fabrikam.ask("POST", "/v1/partners/fabrikam/endpoints", {"url": URL}, expect=201)
    absent = await contoso.ask("GET", "/v1/partners/nobody/endpoints", expect=404)
    for path in ("/endpoints", f"/endpoints/{theirs['id']}", "/activity", "/events", ""):
        assert await contoso.ask("GET", f"/v1/partners/fabrikam{path}", expect=404) == absent
    await contoso.ask("GET", f"/v1/partners/contoso/endpoints/{theirs['id']}", expect=404)
    await contoso.ask("DELETE", f"/v1/partners/contoso/endpoints/{theirs['id']}", expect=404)
    await fabrikam.ask("GET", f"/v1/partners/FABRIKAM/endpoints/{theirs['id']}")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/partners"),
        ("POST", "/v1/producers"),
        ("GET", "/v1/deliveries"),
        ("GET", "/metrics"),
        ("PUT", "/v1/partners/contoso"),
        ("POST", "/v1/partners/contoso/tokens"),
        ("POST", "/v1/partners/contoso/portal-links"),
    ],
)
async def test_what_is_the_operators_is_refused_to_partners(operator: Api, method: str, path: str) -> None:
    contoso = await operator.partner("contoso")
    await contoso.ask(method, path, {} if method != "GET" else None, expect=403)


async def test_a_producers_token_opens_nothing_here(operator: Api) -> None:
    made = await operator.ask("POST", "/v1/producers", {"name": "Centre"}, expect=201)
    producer = operator.of(made["token"])
    await producer.ask("GET", "/v1/partners", expect=403)
    await producer.ask("GET", "/v1/transfers", expect=403)
    await operator.ask("DELETE", f"/v1/producers/{made['id']}", expect=204)
    await producer.ask("GET", "/v1/transfers", expect=401)
    listed = await operator.ask("GET", "/v1/producers")
    assert listed == {"data": [], "next": None}


async def test_a_revoked_token_is_refused_at_once(operator: Api) -> None:
    contoso = await operator.partner("contoso")
    await contoso.ask("GET", "/v1/partners/contoso")
    (token,) = (await operator.ask("GET", "/v1/partners/contoso/tokens"))["data"]
    assert "token" not in token
    await operator.ask("DELETE", f"/v1/partners/contoso/tokens/{token['id']}", expect=204)
    await contoso.ask("GET", "/v1/partners/contoso", expect=401)


# --- partners ---------------------------------------------------------------------------------------


async def test_a_partner_keeps_its_own_list_of_people(operator: Api) -> None:
    contoso = await operator.partner("contoso")
    agents = [
        {"email": "aoi@contoso.example", "name": "葵", "locale": "ja"},
        {"email": "AOI@contoso.example", "name": "again"},
    ]
    partner = await contoso.ask("PUT", "/v1/partners/contoso/admin-agents", {"admin_agents": agents})
    assert [agent["name"] for agent in partner["admin_agents"]] == ["葵"]
    assert await operator.ask("GET", "/v1/partners/Contoso") == partner


async def test_everything_wrong_with_a_body_is_told_at_once(operator: Api) -> None:
    agents = [{"email": "no", "name": "A"}, {"email": "a@b.example"}]
    body = {"nmae": "x", "locale": "!", "admin_agents": agents}
    problem = await operator.ask("PUT", "/v1/partners/contoso", body, expect=422)
    assert pointers(problem) == {
        "/nmae", "/name", "/locale", "/admin_agents/0/email", "/admin_agents/1/name",
    }  # fmt: skip


@pytest.mark.parametrize("raw", [b"{", b"[1", b"\xff", b'{"name": NaN}', b'"\\ud800"'])
async def test_what_is_not_json_is_422_at_the_root(operator: Api, raw: bytes) -> None:
    problem = await operator.ask("PUT", "/v1/partners/contoso", data=raw, expect=422)
    assert pointers(problem) == {""}


async def test_lists_go_on_where_they_ended(operator: Api) -> None:
    for name in ("a", "b", "c"):
        await operator.partner(name)
    seen, after = [], ""
    while True:
        page = await operator.ask("GET", f"/v1/partners?limit=1{after}")
        seen += [partner["id"] for partner in page["data"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert sorted(seen) == ["a", "b", "c"]
    other = await operator.ask("GET", f"/v1/producers{after.replace('&', '?')}", expect=422)
    assert pointers(other) == {"/after"}


# --- endpoints --------------------------------------------------------------------------------------


async def test_an_endpoint_is_shown_as_it_was_given_and_its_secrets_are_not(operator: Api) -> None:
    contoso = await operator.partner("contoso")
    body: dict[str, Any] = {
        "url": URL,
        "event_types": ["transfer.completed"],
        "filter": {"role": "source", "kind": "subscription", "product_types": ["azure_reservation"]},
        "description": "the ERP",
        "ordering": "none",
        "headers": {"X-Api-Key": "planted-value"},
        "rate_limit": 60,
        "asymmetric": True,
    }
    made = await contoso.ask("POST", "/v1/partners/contoso/endpoints", body, expect=201)
    secret, public = made.pop("secret"), made.pop("public_key")
    assert secret.startswith("whsec_")
    assert public.startswith("whpk_")
    assert made["headers"] == ["X-Api-Key"]
    assert made["filter"] == body["filter"] | {"customer": None}
    assert made["state"] == "enabled"
    path = f"/v1/partners/contoso/endpoints/{made['id']}"
    assert await contoso.ask("GET", path) == made
    listed = await contoso.ask("GET", "/v1/partners/contoso/endpoints")
    assert listed["data"] == [made]
    for shown in (listed, await contoso.ask("GET", path)):
        assert "planted-value" not in str(shown)
        assert secret not in str(shown)
    again = await contoso.ask("GET", path + "/secret")
    assert (again["secret"], again["public_key"]) == (secret, public)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/url"),
        ({"url": "ftp://a.example.com/"}, "/url"),
        ({"url": "http://169.254.169.254/latest"}, "/url"),
        ({"url": URL, "event_types": ["transfer.exploded"]}, "/event_types/0"),
        ({"url": URL, "event_types": []}, "/event_types"),
        ({"url": URL, "headers": {"Host": "x"}}, "/headers/Host"),
        ({"url": URL, "headers": {"X-A": "a\r\nX-B: b"}}, "/headers/X-A"),
        ({"url": URL, "headers": {"webhook-id": "x"}}, "/headers/webhook-id"),
        ({"url": URL, "rate_limit": 0}, "/rate_limit"),
        ({"url": URL, "ordering": "random"}, "/ordering"),
        ({"url": URL, "filter": {"role": "customer"}}, "/filter/role"),
        ({"url": URL, "event_type": ["transfer.created"]}, "/event_type"),
        ({"url": URL, "format": "xml"}, "/format"),
    ],
)
async def test_an_endpoint_that_cannot_be_is_told_why(
    operator: Api, body: dict[str, Any], pointer: str
) -> None:
    contoso = await operator.partner("contoso")
    problem = await contoso.ask("POST", "/v1/partners/contoso/endpoints", body, expect=422)
    assert pointer in pointers(problem)
    assert (await contoso.ask("GET", "/v1/partners/contoso/endpoints"))["data"] == []


async def test_a_partner_has_only_so_many_endpoints(operator: Api) -> None:
    contoso = await operator.partner("contoso")
    for _ in range(3):
        await contoso.ask("POST", "/v1/partners/contoso/endpoints", {"url": URL}, expect=201)
    problem = await contoso.ask("POST", "/v1/partners/contoso/endpoints", {"url": URL}, expect=409)
    assert "3" in problem["detail"]


async def test_patch_changes_what_is_named_and_null_resets(operator: Api) -> None:
    contoso = await operator.partner("contoso")
    body = {"url": URL, "rate_limit": 5, "headers": {"X-A": "1"}, "event_types": ["transfer.created"]}
    made = await contoso.ask("POST", "/v1/partners/contoso/endpoints", body, expect=201)
    path = f"/v1/partners/contoso/endpoints/{made['id']}"
    changed = await contoso.ask("PATCH", path, {"description": "new", "event_types": None})
    assert (changed["description"], changed["event_types"]) == ("new", None)
    assert (changed["rate_limit"], changed["headers"], changed["url"]) == (5, ["X-A"], URL)
    changed = await contoso.ask("PATCH", path, {"rate_limit": None, "headers": None})
    assert (changed["rate_limit"], changed["headers"]) == (None, [])
    for wrong in ({"url": None}, {"url": "http://10.0.0.1/"}, {"state": "x"}):
        await contoso.ask("PATCH", path, wrong, expect=422)
    await contoso.ask("DELETE", path, expect=204)
    await contoso.ask("PATCH", path, {"description": "gone"}, expect=404)


async def test_changes_at_the_same_time_are_all_kept(operator: Api) -> None:
    contoso = await operator.partner("contoso")
    made = await contoso.ask("POST", "/v1/partners/contoso/endpoints", {"url": URL}, expect=201)
    path = f"/v1/partners/contoso/endpoints/{made['id']}"
    await asyncio.gather(
        contoso.ask("PATCH", path, {"description": "d"}),
        contoso.ask("PATCH", path, {"rate_limit": 7}),
        contoso.ask("POST", path + "/secret/rotate"),
        contoso.ask("POST", path + "/secret/rotate"),
    )
    now = await contoso.ask("GET", path)
    assert (now["description"], now["rate_limit"]) == ("d", 7)


async def test_a_rotation_answers_the_new_secret_and_when_the_old_one_ends(operator: Api) -> None:
    contoso = await operator.partner("contoso")
    made = await contoso.ask("POST", "/v1/partners/contoso/endpoints", {"url": URL}, expect=201)
    path = f"/v1/partners/contoso/endpoints/{made['id']}/secret"
    rotated = await contoso.ask("POST", path + "/rotate", {"overlap_seconds": 60})
    assert rotated["secret"] != made["secret"]
    shown = await contoso.ask("GET", path)
    assert shown["secret"] == rotated["secret"]
    assert shown["previous_expires_at"] == rotated["previous_expires_at"] is not None
    at_once = await contoso.ask("POST", path + "/rotate", {"overlap_seconds": 0})
    assert at_once["previous_expires_at"] is None
    await contoso.ask("POST", path + "/rotate", {"overlap_seconds": -1}, expect=422)


async def test_at_most_ten_secrets_live_at_a_time(operator: Api) -> None:
    contoso = await operator.partner("contoso")
    made = await contoso.ask("POST", "/v1/partners/contoso/endpoints", {"url": URL}, expect=201)
    path = f"/v1/partners/contoso/endpoints/{made['id']}/secret"
    for _ in range(9):
        await contoso.ask("POST", path + "/rotate")
    before = await contoso.ask("GET", path)
    await contoso.ask("POST", path + "/rotate", expect=409)
    assert await contoso.ask("GET", path) == before


async def test_a_test_sends_one_ping_that_verifies(operator: Api, receiver: Receiver) -> None:
    contoso = await operator.partner("contoso")
    body = {"url": receiver.url, "headers": {"X-Api-Key": "planted-value"}}
    made = await contoso.ask("POST", "/v1/partners/contoso/endpoints", body, expect=201)
    assert receiver.came == []
    attempt = await contoso.ask("POST", f"/v1/partners/contoso/endpoints/{made['id']}/test")
    assert (attempt["outcome"], attempt["status"], attempt["number"]) == ("accepted", 204, 1)
    ((headers, raw),) = receiver.came
    lowered = {name.lower(): value for name, value in headers.items()}
    assert Webhook(made["secret"]).verify(raw, lowered)["type"] == "relay.ping"
    assert lowered["x-api-key"] == "planted-value"
    assert "planted-value" not in str(attempt)
    receiver.status = 500
    attempt = await contoso.ask("POST", f"/v1/partners/contoso/endpoints/{made['id']}/test")
    assert (attempt["outcome"], attempt["status"]) == ("server_error", 500)


async def test_verify_stores_nothing_unless_the_ping_is_taken(operator: Api, receiver: Receiver) -> None:
    contoso = await operator.partner("contoso")
    body = {"url": receiver.url, "verify": True}
    receiver.status = 302
    problem = await contoso.ask("POST", "/v1/partners/contoso/endpoints", body, expect=422)
    assert pointers(problem) == {"/url"}
    assert "302" in problem["errors"][0]["detail"]
    assert (await contoso.ask("GET", "/v1/partners/contoso/endpoints"))["data"] == []
    receiver.status = 200
    await contoso.ask("POST", "/v1/partners/contoso/endpoints", body, expect=201)


async def test_of_an_address_that_is_not_reached_a_partner_learns_nothing(
    operator: Api, unused_tcp_port: int
) -> None:
    contoso = await operator.partner("contoso")
    body = {"url": f"http://127.0.0.1:{unused_tcp_port}/"}
    made = await contoso.ask("POST", "/v1/partners/contoso/endpoints", body, expect=201)
    path = f"/v1/partners/contoso/endpoints/{made['id']}/test"
    seen = await contoso.ask("POST", path)
    assert (seen["outcome"], seen["duration_ms"], seen["detail"]) == ("connection_refused", None, "")
    known = await operator.ask("POST", path)
    assert known["duration_ms"] is not None
    assert known["detail"]
