"""Does a token do what it was made for and nothing else, and is one replaced by another without a gap?"""

from __future__ import annotations

import time

import pytest

from relay.api.routes import ROUTES
from relay.signing import HmacKey, sign
from tests.calling import Api
from tests.integration.test_api_access import path_of, sent
from tests.pipeline.events import step


async def test_a_token_that_may_read_changes_nothing_and_is_shown_no_secret(operator: Api) -> None:
    full = await operator.partner("contoso")
    made = await operator.ask("POST", "/v1/partners/contoso/tokens", {"scope": "read", "name": "BI"}, expect=201)
    assert (made["scope"], made["name"], made["expires_at"]) == ("read", "BI", None)
    reader = operator.of(made["token"])
    assert await reader.ask("GET", "/v1/partners/contoso") == await full.ask("GET", "/v1/partners/contoso")
    for route in ROUTES:
        if route.method != "GET" or route.reveals:
            await reader.ask(route.method, path_of(route, "contoso"), sent(route), expect=403)
    assert "getSecret" in {route.name for route in ROUTES if route.reveals}


@pytest.mark.parametrize("scope", ["read", "metrics"])
async def test_the_operators_lesser_tokens_post_nothing(operator: Api, scope: str) -> None:
    made = await operator.ask("POST", "/v1/tokens", {"scope": scope}, expect=201)
    less = operator.of(made["token"])
    assert "relay_events_total" in await less.ask("GET", "/metrics")
    await less.ask("POST", "/v1/events", step("tr-1", "created", 1), expect=403)
    await less.ask("POST", "/v1/tokens", {}, expect=403)
    await less.ask("GET", "/v1/partners", expect=200 if scope == "read" else 403)
    await operator.ask("DELETE", f"/v1/tokens/{made['id']}", expect=204)
    await less.ask("GET", "/metrics", expect=401)


async def test_another_operators_token_does_everything(operator: Api) -> None:
    made = await operator.ask("POST", "/v1/tokens", {"name": "second"}, expect=201)
    assert made["token"].startswith("rlo_")
    second = operator.of(made["token"])
    await second.ask("POST", "/v1/events", step("tr-1", "created", 1), expect=202)
    (listed,) = (await second.ask("GET", "/v1/tokens"))["data"]
    assert "token" not in listed and listed["name"] == "second"


@pytest.mark.parametrize(
    "body", [{"expires_at": "2020-01-01T00:00:00Z"}, {"not_before": "2090-01-01T00:00:00Z", "expires_at": "2080-01-01T00:00:00Z"},
             {"scope": "metrics"}, {"scope": "some"}, {"expires_at": "tomorrow"}],
)  # fmt: skip
async def test_a_token_that_never_works_is_not_made(operator: Api, body: dict[str, str]) -> None:
    await operator.partner("contoso")
    await operator.ask("POST", "/v1/partners/contoso/tokens", body, expect=422)


async def test_a_producer_changes_its_token_without_a_gap(operator: Api) -> None:
    producer = await operator.ask("POST", "/v1/producers", {"name": "Centre"}, expect=201)
    at = f"/v1/producers/{producer['id']}/tokens"
    fresh = await operator.ask("POST", at, {"name": "2027"}, expect=201)
    for number, token in enumerate((producer["token"], fresh["token"]), 1):
        await operator.of(token).ask("POST", "/v1/events", step(f"tr-{number}", "created", 1), expect=202)
    old = next(one["id"] for one in (await operator.ask("GET", at))["data"] if one["id"] != fresh["id"])
    await operator.ask("DELETE", f"{at}/{old}", expect=204)
    await operator.of(producer["token"]).ask("POST", "/v1/events", step("tr-3", "created", 1), expect=401)
    await operator.of(fresh["token"]).ask("POST", "/v1/events", step("tr-3", "created", 1), expect=202)


async def test_a_producer_changes_its_secret_without_a_gap(operator: Api) -> None:
    producer = await operator.ask("POST", "/v1/producers", {"name": "Centre"}, expect=201)
    at = f"/v1/producers/{producer['id']}/secrets"
    fresh = await operator.ask("POST", at, {"previous_expires_in_seconds": 3600}, expect=201)

    async def posts(secret: str, number: int, expect: int) -> None:
        import orjson

        body, now = orjson.dumps(step(f"tr-{number}", "created", 1)), int(time.time())
        signature = sign("m", now, body, [HmacKey.parse(secret)])
        headers = {"webhook-id": "m", "webhook-timestamp": str(now), "webhook-signature": signature}
        answer = await operator._client.post("/v1/events", data=body, headers=headers)
        assert answer.status == expect, await answer.text()

    await posts(producer["secret"], 1, 202)
    await posts(fresh["secret"], 2, 202)
    new, old = (await operator.ask("GET", at))["data"]
    if new["id"] != fresh["id"]:
        new, old = old, new
    assert (new["expires_at"], "secret" in old) == (None, False) and old["expires_at"] is not None
    await operator.ask("DELETE", f"{at}/{old['id']}", expect=204)
    await posts(producer["secret"], 3, 401)
    await posts(fresh["secret"], 3, 202)
    await operator.ask("DELETE", f"{at}/{old['id']}", expect=404)
    for _ in range(9):
        await operator.ask("POST", at, {}, expect=201)
    await operator.ask("POST", at, {}, expect=409)


async def test_a_conflict_reveals_nothing_of_what_another_producer_posted(operator: Api) -> None:
    first, second = [
        operator.of((await operator.ask("POST", "/v1/producers", {"name": "Centre"}, expect=201))["token"]) for _ in range(2)
    ]
    await first.ask("POST", "/v1/events", step("tr-1", "created", 1, id="evt-1"), expect=202)
    own = await first.ask("POST", "/v1/events", step("tr-2", "created", 1, id="evt-1"), expect=409)
    others = await second.ask("POST", "/v1/events", step("tr-3", "created", 1, id="evt-1"), expect=409)
    assert own == others and "tr-1" not in str(others)
    same = await second.ask("POST", "/v1/events", step("tr-1", "created", 1, id="evt-1"), expect=403)
    other = await second.ask("POST", "/v1/events", step("tr-1", "updated", 2, id="evt-2"), expect=403)
    assert {**same, "id": ""} == {**other, "id": ""}, "whether it is the same event is not said either"
