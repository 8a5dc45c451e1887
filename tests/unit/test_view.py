"""What each role may see: a marker in every field, looked for in the bytes that are sent."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from relay.model import Audience, Event, EventType, Kind
from relay.view import actor_as, items_as, message, transfer_as
from tests.events import event, least, whole

MARK = re.compile(rb"mark-[a-z0-9-]+")

EVERYBODY = {
    "mark-transfer-id", "mark-source-id", "mark-source-name", "mark-target-id", "mark-target-name",
    "mark-customer-id", "mark-customer-name",
}  # fmt: skip
PARTNERS = EVERYBODY | {
    "mark-source-tenant", "mark-target-tenant", "mark-reseller-id", "mark-reseller-name", "mark-replaces",
}  # fmt: skip
PARTIES = PARTNERS | {"mark-actor-role"}
CONTACTS = {"mark-contact", "mark-contact-name"}
BOTH_NAMES = {"mark-completed-name", "mark-failed-name"}
SIMS = {f"mark-{status}-{field}" for status in ("completed", "failed") for field in ("imsi", "iccid", "sim")}
ERRORS = {"mark-error-code", "mark-error-message"}

# Exactly the markers that a body may hold; `mark-actor` is added where the actor is that partner's own.
MAY: dict[tuple[Kind, Audience], set[str]] = {
    (Kind.SUBSCRIPTION, Audience.SOURCE): PARTIES | BOTH_NAMES | ERRORS
    | {"mark-completed-id", "mark-failed-id", "mark-product"},
    (Kind.SUBSCRIPTION, Audience.TARGET): PARTIES | CONTACTS
    | {"mark-completed-result", "mark-completed-name", "mark-product"},
    (Kind.SUBSCRIPTION, Audience.CUSTOMER): EVERYBODY | BOTH_NAMES | {"mark-product"},
    (Kind.SUBSCRIPTION, Audience.RESELLER): PARTNERS | BOTH_NAMES | {"mark-product"},
    (Kind.SIM, Audience.SOURCE): PARTIES | BOTH_NAMES | SIMS | {"mark-root"},
    (Kind.SIM, Audience.TARGET): PARTIES | BOTH_NAMES | SIMS | CONTACTS | {"mark-root"},
    (Kind.SIM, Audience.CUSTOMER): EVERYBODY | BOTH_NAMES | {"mark-product"},
    (Kind.SIM, Audience.RESELLER): PARTNERS | BOTH_NAMES,
}  # fmt: skip
ACTS = {
    (Kind.SUBSCRIPTION, EventType.CREATED): Audience.TARGET,
    (Kind.SUBSCRIPTION, EventType.UPDATED): Audience.SOURCE,
    (Kind.SUBSCRIPTION, EventType.CANCELED): Audience.TARGET,
    (Kind.SIM, EventType.CREATED): Audience.SOURCE,
    (Kind.SIM, EventType.UPDATED): Audience.SOURCE,
    (Kind.SIM, EventType.CANCELED): Audience.SOURCE,
    (Kind.SIM, EventType.COMPLETED): Audience.TARGET,
    (Kind.SIM, EventType.PARTIALLY_COMPLETED): Audience.TARGET,
}
CASES = [
    (kind, type_, audience)
    for kind in Kind
    for type_ in EventType
    if type_ is not EventType.STALLED
    for audience in Audience
]


def _whole(kind: Kind, type_: EventType) -> Event:
    value = whole(kind.value, type_.value)
    value["transfer"].pop("product_types", None)
    return event(value)


def _body(audience: Audience, posted: Event) -> bytes:
    return message(audience, posted, sequence=1, late=False, derived=False, gap=False)


@pytest.mark.parametrize(("kind", "type_", "audience"), CASES)
def test_a_role_sees_its_own_markers_and_no_others(kind: Kind, type_: EventType, audience: Audience) -> None:
    seen = {found.decode() for found in MARK.findall(_body(audience, _whole(kind, type_)))}
    may = set(MAY[kind, audience])
    if ACTS.get((kind, type_)) is audience:
        may.add("mark-actor")
    assert seen == may


def test_every_marker_is_planted() -> None:
    planted = {m.decode() for m in MARK.findall(orjson.dumps(whole()))}
    hidden = {m for m in planted if "unknown" in m} | {"mark-link", "mark-source"}
    assert hidden < planted
    assert not hidden & set().union(*MAY.values())


@pytest.mark.parametrize(("kind", "type_", "audience"), CASES)
def test_the_same_view_shows_nothing_more_through_its_parts(
    kind: Kind, type_: EventType, audience: Audience
) -> None:
    posted = _whole(kind, type_)
    data = orjson.loads(_body(audience, posted))["data"]
    assert data["transfer"] == transfer_as(audience, posted.transfer)
    assert data["transfer"]["items"] == items_as(audience, posted.transfer)
    assert data.get("actor") == actor_as(audience, posted)


# --- items ----------------------------------------------------------------------------------------------


def _items(*items: dict[str, Any]) -> Event:
    return event(least("subscription", "transfer.completed", items=list(items)))


def test_the_target_sees_a_completed_item_under_its_new_id() -> None:
    posted = _items({"id": "old", "name": "E3", "status": "completed", "result_id": "new", "quantity": 2})
    assert items_as(Audience.TARGET, posted.transfer) == [
        {"id": "new", "name": "E3", "quantity": 2, "status": "completed"}
    ]


def test_an_item_without_a_new_id_has_none_for_the_target() -> None:
    posted = _items({"id": "old", "name": "E3", "status": "completed"})
    assert items_as(Audience.TARGET, posted.transfer) == [{"name": "E3", "status": "completed"}]


@pytest.mark.parametrize("status", ["failed", "in_progress", "pending", "Completed", "brand-new"])
def test_the_target_sees_no_item_that_is_not_completed(status: str) -> None:
    posted = _items({"id": "old", "status": status, "result_id": "new"}, {"id": "bare"})
    assert items_as(Audience.TARGET, posted.transfer) == []


def test_the_source_sees_statuses_and_errors_and_never_the_new_id() -> None:
    error = {"code": "E1", "message": "no"}
    posted = _items({"id": "old", "status": "failed", "error": error, "result_id": "new"}, {"id": "b"})
    assert items_as(Audience.SOURCE, posted.transfer) == [
        {"id": "old", "status": "failed", "error": error},
        {"id": "b", "error": None},
    ]


def test_absent_items_are_an_empty_list() -> None:
    for audience in Audience:
        assert items_as(audience, event(least()).transfer) == []


# --- the body ---------------------------------------------------------------------------------------------


def test_the_body_is_that_of_the_contract() -> None:
    posted = event(least(occurred_at="2026-11-21T01:02:03.456789Z"))
    body = message(Audience.TARGET, posted, sequence=1, late=False, derived=False, gap=False)
    assert orjson.loads(body) == {
        "type": "transfer.created",
        "timestamp": "2026-11-21T01:02:03.456789Z",
        "data": {
            "role": "target",
            "sequence": 1,
            "late": False,
            "derived": False,
            "transfer": {
                "id": "tr-1",
                "kind": "subscription",
                "status": "pending",
                "created_at": "2026-11-20T01:02:03Z",
                "source": {"id": "contoso", "name": "Contoso"},
                "target": {"id": "fabrikam", "name": "Fabrikam"},
                "customer": {"id": "relecloud", "name": "Relecloud"},
                "product_types": [],
                "items": [],
            },
        },
    }
    assert body.startswith(b'{"type":"transfer.created","timestamp":')


def test_marks_of_a_step_are_told() -> None:
    body = message(Audience.SOURCE, event(least()), sequence=7, late=True, derived=True, gap=True)
    data = orjson.loads(body)["data"]
    assert (data["sequence"], data["late"], data["derived"], data["gap"]) == (7, True, True, True)
