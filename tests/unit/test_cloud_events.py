"""Which event does a CloudEvent bring, and what is said of one that brings none?"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from relay.cloud_events import BATCH, PLAIN, STRUCTURED, Unsupported, form_of
from relay.intake import Invalid, parse
from tests.events import least, whole

FORM = form_of(STRUCTURED, {}, is_signed=False)


def cloud(value: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An event as a CloudEvent."""
    data = {name: one for name, one in value.items() if name not in ("id", "type", "occurred_at")}
    envelope = {
        "specversion": "1.0", "id": value["id"], "source": "https://contoso.example/erp", "type": value["type"],
        "time": value["occurred_at"], "data": data,
    }  # fmt: skip
    made = envelope | changes
    return {name: one for name, one in made.items() if one is not ...}


def said(value: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        FORM.event(value)
    return [(one.pointer, one.detail) for one in refused.value.problems]


@pytest.mark.parametrize("kind", ["subscription", "sim"])
def test_it_is_the_event_that_could_have_been_posted_as_it_is(kind: str) -> None:
    value = whole(kind)
    brought, plain = FORM.event(cloud(value)), parse(value)
    assert (brought.event, brought.fingerprint) == (plain.event, plain.fingerprint)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "com.contoso.transfer.created"}, {"subject": "TR-1"}, {"datacontenttype": "application/json; charset=utf-8"},
        {"datacontenttype": "application/vnd.contoso.transfer+json"}, {"traceparent": "00-1-2-01", "partitionkey": "x"},
        {"dataschema": "https://contoso.example/schema"},
    ],
)  # fmt: skip
def test_what_it_may_have_besides_changes_nothing(changes: dict[str, Any]) -> None:
    assert FORM.event(cloud(least(), **changes)).fingerprint == parse(least()).fingerprint


def test_a_whole_event_as_data_is_taken_when_it_agrees() -> None:
    assert FORM.event(cloud(least(), data=least())).event == parse(least()).event
    assert [pointer for pointer, _ in said(cloud(least(), data=least(id="another")))] == ["/data/id"]


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"specversion": "0.3"}, ["/specversion"]),
    ({"specversion": ..., "source": ""}, ["/specversion", "/source"]),
    ({"id": ...}, ["/id"]),
    ({"id": "no spaces"}, ["/id"]),
    ({"time": ...}, ["/time"]),
    ({"time": "yesterday"}, ["/time"]),
    ({"type": "com.contoso.order.created"}, ["/type"]),
    ({"type": ...}, ["/type"]),
    ({"type": 7}, ["/type"]),
    ({"data": ...}, ["/data"]),
    ({"data": [1]}, ["/data"]),
    ({"data": ..., "data_base64": "e30="}, ["/data"]),
    ({"datacontenttype": "application/xml"}, ["/datacontenttype"]),
    ({"subject": "another"}, ["/subject"]),
    ({"data": {}}, ["/data/transfer"]),
    ({"time": ..., "data": {"transfer": {"id": "x"}}}, ["/time", "/data/transfer/kind", "/data/transfer/status"]),
]


@pytest.mark.parametrize(("changes", "pointers"), WRONG)
def test_everything_that_is_wrong_is_said_at_once_and_where(changes: dict[str, Any], pointers: list[str]) -> None:
    found = [pointer for pointer, _ in said(cloud(least(), **changes))]
    assert set(pointers) <= set(found)
    assert len(pointers) > 2 or found == pointers


def test_rules_that_span_fields_point_into_the_data() -> None:
    value = cloud(least())
    value["data"]["transfer"]["status"] = "failed"
    assert [pointer for pointer, _ in said(value)] == ["/data/transfer/status"]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)
       | st.dictionaries(st.sampled_from(["specversion", "id", "type", "time", "data", "subject", "transfer", "source"]), inner, max_size=6)))
def test_whatever_comes_is_an_event_or_is_said_to_be_none(value: Any) -> None:
    assert said(value)


def sdk_event(value: dict[str, Any]) -> CloudEvent:
    envelope = cloud(value)
    data = envelope.pop("data")
    return CloudEvent(envelope | {"time": datetime.fromisoformat(envelope["time"]), "datacontenttype": "application/json"}, data)


def test_what_the_official_sdk_sends_is_understood_in_both_modes() -> None:
    value = least(id="evt-1")
    message = to_structured_event(sdk_event(value))
    form = form_of(message.headers["content-type"], message.headers, is_signed=False)
    assert form.event(json.loads(message.body)).event == parse(value).event
    message = to_binary_event(sdk_event(value))
    form = form_of(message.headers["content-type"], message.headers, is_signed=False)
    assert (form.takes, form.event(json.loads(message.body)).event) == ("one", parse(value).event)


def test_what_is_wrong_with_a_header_names_it() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "caf%C3%A9", "CE-Type": "transfer.created", "ce-source": "x"}
    with pytest.raises(Invalid) as refused:
        form_of("application/json", headers, is_signed=False).event({"transfer": {}})
    found = {(one.pointer, one.detail.split(":")[0]) for one in refused.value.problems}
    assert {("", "the header ce-id"), ("", "the header ce-time"), ("/transfer/id", "required")} <= found


@pytest.mark.parametrize(
    ("media", "headers", "is_signed"),
    [
        ("application/cloudevents+xml", {}, False), ("application/cloudevents-batch+avro", {}, False), ("application/cloudevents", {}, False),
        ("application/xml", {"ce-specversion": "1.0"}, False), ("text/plain", {"ce-specversion": "1.0"}, False),
        # Whoever repeats a signed body could change what its headers say.
        ("application/json", {"ce-specversion": "1.0"}, True),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_its_headers(media: str, headers: dict[str, str], is_signed: bool) -> None:
    with pytest.raises(Unsupported):
        form_of(media, headers, is_signed=is_signed)


@pytest.mark.parametrize("media", ["", "application/json", "application/json; charset=utf-8", "text/plain", "application/octet-stream"])
def test_without_a_word_of_cloud_events_nothing_changes(media: str) -> None:
    assert form_of(media, {}, is_signed=True) is PLAIN
    assert form_of(f"{BATCH}; charset=utf-8", {}, is_signed=True).takes == "many"
