"""What may each caller see of transfers, deliveries, activity and the feed?"""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from relay.engine.engine import Engine
from relay.engine.fanout import FanOut
from relay.engine.registered import Registrations
from relay.services import Services
from relay.store.hints import Hint
from tests.calling import Api, Receiver

URL = "https://hooks.partner-webhooks.com/in"
TARGETS_PERSON = "planted-actor@fabrikam.example"
ID = "43FB1D3A-79fe-45a9-863e-9a4acf17b630"


def event(number: int, type_: str, status: str, **items: Any) -> dict[str, Any]:
    return {
        "id": f"evt-{number}",
        "type": f"transfer.{type_}",
        "occurred_at": f"2026-11-21T01:02:0{number}Z",
        "actor": {"role": "admin_agent"} | ({"email": TARGETS_PERSON} if type_ == "created" else {}),
        "transfer": {
            "id": ID if number % 2 else ID.lower(),
            "kind": "subscription",
            "status": status,
            "created_at": "2026-11-20T01:02:03Z",
            "source": {"id": "Contoso", "name": "=Contoso"},
            "target": {"id": "fabrikam", "name": "Fabrikam"},
            "customer": {
                "id": "relecloud",
                "name": "=1+1",
                "contacts": [{"email": "planted-contact@relecloud.example"}],
            },
            "planted-unknown-field": "planted-unknown",
            **items,
        },
    }


ITEM = {
    "id": "planted-source-item",
    "name": "E3",
    "status": "completed",
    "result_id": "planted-result",
}


@dataclass(frozen=True)
class Life:
    """A transfer that was told, and the partners in it."""

    operator: Api
    source: Api
    target: Api
    other: Api
    endpoint: str


@pytest.fixture
def plan(services: Services) -> Callable[[], Awaitable[None]]:
    """Carries out what was accepted, as a worker would."""
    fan_out = FanOut(
        services.store,
        services.config,
        Registrations(services.store.registry),
        services.clock,
        services.log,
        wake=lambda channel, to: None,
    )

    async def run() -> None:
        await services.store.hints.make_due(Hint.PLAN, [(ID.lower(), services.clock())])
        await fan_out.run()

    return run


@pytest.fixture
async def life(operator: Api, plan: Callable[[], Awaitable[None]]) -> Life:
    source, target = await operator.partner("contoso"), await operator.partner("fabrikam")
    made = await source.ask("POST", "/v1/partners/contoso/endpoints", {"url": URL}, expect=201)
    await target.ask("POST", "/v1/partners/fabrikam/endpoints", {"url": URL}, expect=201)
    agents = [{"email": "agent@contoso.example", "name": "A"}]
    await source.ask("PUT", "/v1/partners/contoso/admin-agents", {"admin_agents": agents})
    answers = await operator.ask(
        "POST",
        "/v1/events",
        [
            event(1, "created", "pending"),
            event(2, "updated", "in_progress", items=[ITEM | {"status": "in_progress"}]),
            event(3, "completed", "completed", items=[ITEM]),
            event(4, "canceled", "canceled"),
        ],
        expect=207,
    )
    assert [answer["code"] for answer in answers] == [202, 202, 202, 409]
    await plan()
    return Life(operator, source, target, await operator.partner("northwind"), made["id"])


async def everything(caller: Api, partner: str) -> str:
    """All that a caller can read, as one text."""
    texts: list[Any] = []
    logs = ("endpoints", "events", "activity", "activity?format=csv")
    lists = [f"/v1/partners/{partner}/{what}" for what in logs]
    for path in [*lists, "/v1/transfers", f"/v1/transfers/{ID}", f"/v1/transfers/{ID}/deliveries"]:
        texts.append(await caller.ask("GET", path))
    for delivery in (await caller.ask("GET", f"/v1/transfers/{ID}/deliveries"))["data"]:
        texts.append(await caller.ask("GET", f"/v1/deliveries/{delivery['id']}"))
    return str(texts)


async def test_no_role_sees_what_it_may_not(life: Life) -> None:
    source = await everything(life.source, "contoso")
    assert "planted-source-item" in source
    for planted in ("planted-result", "planted-contact", "planted-unknown", "planted-actor"):
        assert planted not in source
    target = await everything(life.target, "fabrikam")
    assert "planted-result" in target
    assert "planted-contact" in target
    for planted in ("planted-source-item", "agent@contoso", "planted-unknown"):
        assert planted not in target


async def test_a_transfer_is_not_there_for_who_is_not_in_it(life: Life) -> None:
    for path in (f"/v1/transfers/{ID}", f"/v1/transfers/{ID}/deliveries"):
        await life.other.ask("GET", path, expect=404)
    assert (await life.other.ask("GET", "/v1/transfers"))["data"] == []
    (delivery, *_) = (await life.source.ask("GET", f"/v1/transfers/{ID}/deliveries"))["data"]
    for caller in (life.other, life.target):
        await caller.ask("GET", f"/v1/deliveries/{delivery['id']}", expect=404)
        await caller.ask("POST", f"/v1/deliveries/{delivery['id']}/resend", expect=404)


async def test_a_transfer_is_found_in_any_case_with_its_timeline_and_refusals(life: Life) -> None:
    seen = await life.source.ask("GET", f"/v1/transfers/{ID.upper()}")
    assert (seen["id"], seen["status"], seen["role"], seen["sequence"]) == (ID, "completed", "source", 3)
    steps = [entry["type"].partition(".")[2] for entry in seen["timeline"]]
    assert steps == ["created", "updated", "completed"]
    (first, *_) = seen["timeline"]
    assert {(one["channel"], one["email"]) for one in first["told"]} == {
        ("webhook", None), ("email", "agent@contoso.example"),
    }  # fmt: skip
    assert first["customer_told"] == 1
    assert [(one["event_id"], one["status"]) for one in seen["refusals"]] == [("evt-4", "completed")]
    target = await life.target.ask("GET", f"/v1/transfers/{ID}")
    skipped = {(one["channel"], one["reason"]) for one in target["timeline"][0]["skipped"]}
    assert ("email", "policy") in skipped
    assert all(one["audience"] == "target" for entry in target["timeline"] for one in entry["skipped"])
    operator = await life.operator.ask("GET", f"/v1/transfers/{ID}")
    assert operator["role"] is None
    assert "planted-contact@relecloud.example" in str(operator["timeline"][0]["told"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", True), ("?role=source", True), ("?role=target", False), ("?status=completed", True),
        ("?status=pending", False), ("?kind=sim", False), ("?customer=RELECLOUD", True),
        ("?customer=x", False),
    ],
)  # fmt: skip
async def test_transfers_are_found_by_what_is_asked(life: Life, query: str, found: bool) -> None:
    assert bool((await life.source.ask("GET", f"/v1/transfers{query}"))["data"]) is found


async def test_e_mail_to_the_customer_is_the_operators_to_see(life: Life) -> None:
    every = (await life.operator.ask("GET", "/v1/deliveries?channel=email&limit=500"))["data"]
    assert {one["audience"] for one in every} == {"source", "customer"}
    own = (await life.source.ask("GET", f"/v1/transfers/{ID}/deliveries?channel=email"))["data"]
    assert {one["email"] for one in own} == {"agent@contoso.example"}
    customers = next(one for one in every if one["audience"] == "customer")
    for caller in (life.source, life.target):
        await caller.ask("GET", f"/v1/deliveries/{customers['id']}", expect=404)


async def test_an_endpoints_deliveries_go_on_page_by_page(life: Life) -> None:
    path = f"/v1/partners/contoso/endpoints/{life.endpoint}/deliveries"
    seen: list[str] = []
    after = ""
    while True:
        page = await life.source.ask("GET", f"{path}?limit=2{after}")
        seen += [one["event_id"] for one in page["data"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert sorted(seen) == ["evt-1", "evt-2", "evt-3"]
    assert len((await life.source.ask("GET", f"{path}?type=transfer.created"))["data"]) == 1
    assert (await life.source.ask("GET", f"{path}?status=delivered"))["data"] == []
    (one,) = (await life.source.ask("GET", f"{path}?type=transfer.created"))["data"]
    detail = await life.source.ask("GET", f"/v1/deliveries/{one['id']}")
    assert (detail["status"], detail["attempts"], detail["attempt_count"]) == ("pending", [], 0)


async def test_polling_the_feed_misses_nothing_and_ends(life: Life) -> None:
    seen: list[str] = []
    after = ""
    while True:
        page = await life.target.ask("GET", f"/v1/partners/fabrikam/events?limit=1{after}")
        if page["next"] is None:
            assert page["data"] == []
            break
        (item,) = page["data"]
        assert item["cursor"] == page["next"]
        assert item["data"]["role"] == "target"
        seen.append(item["id"])
        after = f"&after={page['next']}"
    assert seen == ["evt-1", "evt-2", "evt-3"]


async def test_the_activity_log_is_a_table_too(life: Life) -> None:
    log = await life.source.ask("GET", "/v1/partners/contoso/activity?type=transfer.completed")
    (record,) = log["data"]
    assert (record["audit"], record["customer_told"], record["transfer"]) == (False, 1, ID)
    log = await life.source.ask("GET", "/v1/partners/contoso/activity?type=transfer.updated")
    assert [record["audit"] for record in log["data"]] == [True]
    by_transfer = await life.source.ask("GET", f"/v1/partners/contoso/activity?transfer={ID.lower()}&limit=2")
    assert len(by_transfer["data"]) == 2
    text = await life.source.ask("GET", "/v1/partners/contoso/activity", headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["event_id"] for row in rows] == ["evt-3", "evt-2", "evt-1"]
    assert rows[0]["customer_name"] == "'=1+1"
    named = {"Accept": "text/csv", "Host": "relay.test:99999"}
    assert await life.source.ask("GET", "/v1/partners/contoso/activity?limit=1", headers=named)
    wrong = "/v1/partners/contoso/activity?since=yesterday&limit=0"
    problem = await life.source.ask("GET", wrong, expect=422)
    assert {error["pointer"] for error in problem["errors"]} == {"/since", "/limit"}


async def test_a_delivery_is_sent_again_under_the_same_id(life: Life) -> None:
    path = f"/v1/partners/contoso/endpoints/{life.endpoint}/deliveries"
    (one,) = (await life.source.ask("GET", f"{path}?type=transfer.created"))["data"]
    again = await life.source.ask("POST", f"/v1/deliveries/{one['id']}/resend", expect=202)
    assert (again["id"], again["status"]) == (one["id"], "pending")


async def test_what_a_disabled_endpoint_is_owed_is_held_and_released(life: Life) -> None:
    path = f"/v1/partners/contoso/endpoints/{life.endpoint}"
    disabled = await life.source.ask("PATCH", path, {"state": "disabled"})
    assert (disabled["state"], disabled["disabled_reason"]) == ("disabled", "requested")
    held = (await life.source.ask("GET", f"{path}/deliveries"))["data"]
    assert {(one["status"], one["held"]) for one in held} == {("pending", True)}
    enabled = await life.source.ask("POST", f"{path}/enable")
    assert (enabled["state"], enabled["disabled_reason"]) == ("enabled", None)
    released = (await life.source.ask("GET", f"{path}/deliveries"))["data"]
    assert {one["held"] for one in released} == {False}
    log = (await life.source.ask("GET", "/v1/partners/contoso/activity?limit=2"))["data"]
    assert [record["type"] for record in log] == ["endpoint.recovered", "endpoint.disabled"]


async def test_a_replay_finds_the_deliveries_of_its_span(life: Life) -> None:
    path = f"/v1/partners/contoso/endpoints/{life.endpoint}"
    body = {"since": "2020-01-01T00:00:00Z", "event_types": ["transfer.created", "transfer.updated"]}
    made = await life.source.ask("POST", f"{path}/replay", body, expect=202)
    assert made["count"] == 2
    shown = await life.source.ask("GET", f"{path}/replays/{made['id']}")
    assert shown == made
    await life.source.ask("GET", f"{path}/replays/rpl_absent", expect=404)
    backwards, unknown = body | {"until": "2019-01-01T00:00:00Z"}, body | {"event_types": ["x"]}
    for wrong in ({}, {"since": "soon"}, backwards, unknown):
        await life.source.ask("POST", f"{path}/replay", wrong, expect=422)


async def test_who_registers_late_is_told_what_was_kept(
    services: Services, operator: Api, plan: Callable[[], Awaitable[None]]
) -> None:
    await operator.partner("contoso")
    await operator.ask("POST", "/v1/events", event(1, "created", "pending"), expect=202)
    await plan()
    fabrikam = await operator.partner("fabrikam")
    await plan()
    feed = await fabrikam.ask("GET", "/v1/partners/fabrikam/events")
    assert [item["id"] for item in feed["data"]] == ["evt-1"]


async def test_a_delivery_shows_each_attempt_with_the_very_bytes_sent(
    services: Services, operator: Api, receiver: Receiver
) -> None:
    contoso = await operator.partner("contoso")
    body = {"url": receiver.url, "headers": {"X-Api-Key": "planted-value"}}
    made = await contoso.ask("POST", "/v1/partners/contoso/endpoints", body, expect=201)
    receiver.status = 500
    await operator.ask("POST", "/v1/events", event(1, "created", "pending"), expect=202)
    engine = Engine(services)
    await engine.sweep()
    await engine.idle()
    path = f"/v1/partners/contoso/endpoints/{made['id']}"
    (one,) = (await contoso.ask("GET", f"{path}/deliveries?status=pending"))["data"]
    assert (one["attempt_count"], one["last_outcome"]) == (1, "server_error")
    assert one["next_attempt_at"] is not None
    (attempt,) = (await contoso.ask("GET", f"/v1/deliveries/{one['id']}"))["attempts"]
    ((headers, raw),) = receiver.came
    assert attempt["request"]["body"] == raw.decode()
    assert (attempt["request"]["method"], attempt["request"]["url"]) == ("POST", receiver.url)
    assert attempt["request"]["headers"]["webhook-signature"] == headers["webhook-signature"]
    assert (attempt["number"], attempt["outcome"], attempt["status"]) == (1, "server_error", 500)
    assert attempt["duration_ms"] is not None
    assert attempt["answer"]["body"] == "planted-answer"
    assert "planted-value" not in str(attempt)
    shown = await contoso.ask("GET", path)
    assert shown["failing_since"] is not None
    await engine.stop(1.0)
    counted = await operator.ask("GET", "/metrics")
    assert 'relay_attempts_total{channel="webhook",outcome="server_error"} 1' in counted
    assert 'relay_events_total{status="accepted"} 1' in counted
