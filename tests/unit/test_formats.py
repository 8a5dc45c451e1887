"""Is an endpoint told in the words that it asked for, and always the same ones?"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import jsonschema
import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import given
from hypothesis import strategies as st

from relay import view
from relay.api.openapi import document
from relay.api.routes import ALL
from relay.formats import MEDIA, has_word_for, ping, written
from relay.model import Audience, Channel, Event, EventType, Recipient, WebhookFormat
from relay.sources import callback
from relay.times import to_ns
from tests.events import least, whole

PARTNER, CUSTOMER = "b7d51f66-66a6-4e15-8244-e69bfd3344e2", "4cfba01c-47d4-4b91-9559-740129e7352b"
TRANSFER = "bf8c56ab-7094-4429-847e-73f019e4ab7c"
API = "https://api.partnercenter.microsoft.com"


def to(format: WebhookFormat, origin: str = "https://relay.example") -> Recipient:
    return Recipient(id="ep_1", channel=Channel.WEBHOOK, audience=Audience.TARGET, format=format, origin=origin)


def planned(value: dict[str, Any], audience: Audience = Audience.TARGET) -> bytes:
    return view.message(audience, Event.model_validate(value), sequence=1, late=False, derived=False, gap=False)


def callback_of(value: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = orjson.loads(written(to(WebhookFormat.PARTNER_CENTER, API), "evt-1", planned(value)))
    return made


def test_the_standard_body_is_sent_as_it_was_planned() -> None:
    body = planned(least())
    assert written(to(WebhookFormat.STANDARD), "evt-1", body) is body


def test_a_callback_is_the_one_that_partner_center_was_seen_to_send() -> None:
    # What somebody received in December 2024, letter by letter but for the white space.
    value = least(
        id=TRANSFER, occurred_at="2024-12-12T14:44:18.627854Z", customer={"id": CUSTOMER, "name": "R"},
        target={"id": "fabrikam", "name": "F", "tenant_id": PARTNER},
    )  # fmt: skip
    value["transfer"]["id"] = TRANSFER
    assert callback_of(value) == {
        "EventName": "create-transfer",
        "ResourceUri": f"{API}/v1/customers/{CUSTOMER}",
        "ResourceName": "Transfer",
        "AuditUri": f"{API}/auditactivity/v1/auditrecords/{PARTNER}_{CUSTOMER}_{TRANSFER}_createtransfer_638696114586278540",
        "ResourceChangeUtcDate": "2024-12-12T14:44:18.627854+00:00",
    }


WORDS = {"created": "create", "updated": "update", "completed": "complete", "failed": "fail", "expired": "expire"}


@pytest.mark.parametrize("type_", list(EventType))
@pytest.mark.parametrize("kind", ["subscription", "sim"])
def test_what_partner_center_has_no_event_for_has_no_word(kind: str, type_: EventType) -> None:
    name = type_.value.removeprefix("transfer.")
    value = least(kind, "transfer.created")
    value["type"] = type_.value
    event = Event.model_validate(value)
    assert has_word_for(WebhookFormat.PARTNER_CENTER, event) == (kind == "subscription" and name in WORDS)
    assert has_word_for(WebhookFormat.STANDARD, event) and has_word_for(WebhookFormat.CLOUDEVENTS, event)
    if has_word_for(WebhookFormat.PARTNER_CENTER, event):
        assert callback_of(value)["EventName"] == f"{WORDS[name]}-transfer"


times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC).isoformat())


@given(st.uuids(), st.uuids(), st.uuids(), times, st.sampled_from(sorted(WORDS)))
def test_who_listens_to_partner_center_reads_it_as_ever(
    partner: object, customer: object, transfer: object, at: str, name: str
) -> None:
    value = least("subscription", f"transfer.{name}", id="evt-1", occurred_at=at, customer={"id": str(customer), "name": "R"})
    value["transfer"] |= {"id": str(transfer), "target": {"id": "f", "name": "F", "tenant_id": str(partner)}}
    raw = orjson.dumps(callback_of(value))
    said = callback.read(raw)
    assert said is not None and said.is_transfer and said.says == f"transfer.{name}"
    assert (said.customer, said.transfer) == (str(customer), str(transfer))
    assert to_ns(said.occurred_at or "") == to_ns(at)
    # The habit of its consumers: the parts between underscores.
    parts = json.loads(raw)["AuditUri"].rpartition("/")[2].split("_")
    assert parts[:4] == [str(partner), str(customer), str(transfer), f"{callback_of(value)['EventName'].split('-')[0]}transfer"]


def test_ids_that_are_no_guids_keep_the_parts_apart() -> None:
    value = least("subscription", "transfer.created", customer={"id": "re_le/cloud", "name": "R"})
    value["transfer"]["id"] = "tr_1?"
    parts = callback_of(value)["AuditUri"].rpartition("/")[2].split("_")
    assert parts[:4] == ["fabrikam", "re%5Fle%2Fcloud", "tr%5F1%3F", "createtransfer"]


@pytest.mark.parametrize(("fraction", "shown"), [("", ""), (".5", ".5"), (".1234567", ".1234567"), (".123456789", ".1234567"), (".000000", "")])
def test_times_are_ticks(fraction: str, shown: str) -> None:
    made = callback_of(least(occurred_at=f"2026-11-21T10:02:03{fraction}+09:00"))
    assert made["ResourceChangeUtcDate"] == f"2026-11-21T01:02:03{shown}+00:00"


@pytest.mark.parametrize("kind", ["subscription", "sim"])
@pytest.mark.parametrize("audience", [Audience.SOURCE, Audience.TARGET, Audience.RESELLER])
def test_a_cloud_event_says_all_that_the_standard_body_says(kind: str, audience: Audience) -> None:
    body = planned(whole(kind), audience)
    raw = written(to(WebhookFormat.CLOUDEVENTS), "evt-1", body)
    read = from_http_event(HTTPMessage({"content-type": MEDIA[WebhookFormat.CLOUDEVENTS]}, raw))
    standard = orjson.loads(body)
    assert (read.get_id(), read.get_source(), read.get_type()) == ("evt-1", "https://relay.example", "transfer.created")
    assert (read.get_specversion(), read.get_subject()) == ("1.0", standard["data"]["transfer"]["id"])
    assert read.get_time() == datetime.fromisoformat(standard["timestamp"])
    assert read.get_data() == standard["data"]


def test_a_ping_is_one_of_the_format() -> None:
    body = orjson.dumps({"type": "relay.ping", "timestamp": "2026-11-21T01:02:03.456Z", "data": {"endpoint": "ep_1"}})
    assert ping(WebhookFormat.STANDARD, "", "ping-1", body) is body
    event = from_http_event(
        HTTPMessage({"content-type": "application/cloudevents+json"}, ping(WebhookFormat.CLOUDEVENTS, "https://r.example", "ping-1", body))
    )
    assert (event.get_id(), event.get_type(), event.get_data()) == ("ping-1", "relay.ping", {"endpoint": "ep_1"})
    said = callback.read(ping(WebhookFormat.PARTNER_CENTER, API, "ping-1", body))
    assert said is not None and said.is_test and not said.is_transfer and said.occurred_at is not None


@pytest.mark.parametrize("type_", [EventType.CREATED, EventType.COMPLETED, EventType.CANCELED])
def test_the_document_describes_the_cloud_event_that_is_sent(type_: EventType) -> None:
    described = document(ALL)["webhooks"][type_.value]["post"]["requestBody"]["content"]["application/cloudevents+json"]["schema"]
    raw = written(to(WebhookFormat.CLOUDEVENTS), "evt-1", planned(whole("subscription", type_.value)))
    jsonschema.Draft202012Validator(described).validate(orjson.loads(raw))
