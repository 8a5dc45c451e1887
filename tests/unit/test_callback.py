"""Is a callback of Partner Center understood, however it is written?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.model import EventType
from relay.sources.callback import dedupe_key, read
from relay.times import to_ns

CUSTOMER = "4cfba01c-47d4-4b91-9559-740129e7352b"
TRANSFER = "bf8c56ab-7094-4429-847e-73f019e4ab7c"
PARTNER = "b7d51f66-66a6-4e15-8244-e69bfd3344e2"
API = "https://api.partnercenter.microsoft.com"
TICKS = 638696114586278540
AUDIT = f"{API}/auditactivity/v1/auditrecords/{PARTNER}_{CUSTOMER}_{TRANSFER}_createtransfer_{TICKS}"
AT = "2024-12-12T14:44:18.627854+00:00"
REAL: dict[str, Any] = {
    "EventName": "create-transfer",
    "ResourceUri": f"{API}/v1/customers/{CUSTOMER}",
    "ResourceName": "Transfer",
    "AuditUri": AUDIT,
    "ResourceChangeUtcDate": AT,
}
DOCUMENTED = f"{API}/webhooks/v1/customers/{CUSTOMER}/transfers/{TRANSFER}"


def _raw(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in {**REAL, **changes}.items() if value is not ...}).encode()


VARIATIONS = {
    "the real one": _raw(),
    "seven digits": _raw(ResourceChangeUtcDate="2024-12-12T14:44:18.6278540+00:00"),
    "six digits and Z": _raw(ResourceChangeUtcDate="2024-12-12T14:44:18.627854Z"),
    "no zone": _raw(ResourceChangeUtcDate="2024-12-12T14:44:18.627854"),
    "no time, ticks only": _raw(ResourceChangeUtcDate=None),
    "time missing": _raw(ResourceChangeUtcDate=...),
    "time that is none": _raw(ResourceChangeUtcDate="yesterday"),
    "as documented": _raw(ResourceUri=DOCUMENTED),
    "as documented, no audit": _raw(ResourceUri=DOCUMENTED, AuditUri=None),
    "plain http": _raw(ResourceUri=DOCUMENTED.replace("https", "http")),
    "ResourceUri null": _raw(ResourceUri=None),
    "ResourceUri missing": _raw(ResourceUri=...),
    "ResourceName missing": _raw(ResourceName=...),
    "ResourceName lower case": _raw(ResourceName="transfer"),
    "other audit path": _raw(AuditUri=AUDIT.replace("/auditactivity/v1", "/v1")),
    "audit with upper case ids": _raw(AuditUri=AUDIT.replace(CUSTOMER, CUSTOMER.upper())),
    "audit escaped": _raw(AuditUri=AUDIT.replace("_", "%5F")),
    "audit with a query": _raw(AuditUri=AUDIT + "?api-version=1"),
    "camel case names": json.dumps({name[0].lower() + name[1:]: one for name, one in REAL.items()}).encode(),
    "more fields": _raw(ResourceVersion=7, Nested={"a": [1, None]}),
    "the name null": _raw(EventName=None),
    "the name the other way round": _raw(EventName="transfer-created"),
    "the name in capitals": _raw(EventName="Create-Transfer"),
    "with a byte order mark": b"\xef\xbb\xbf" + _raw(),
    "with white space": json.dumps(REAL, indent=2).encode(),
}


@pytest.mark.parametrize("raw", VARIATIONS.values(), ids=VARIATIONS.keys())
def test_every_variation_names_the_transfer_and_the_step(raw: bytes) -> None:
    found = read(raw)
    assert found is not None
    assert found.is_transfer
    assert not found.is_test
    assert found.says is EventType.CREATED
    assert found.transfer == TRANSFER
    assert found.customer is not None
    assert found.customer.lower() == CUSTOMER
    if found.occurred_at is not None:
        assert to_ns(found.occurred_at) == to_ns(AT)


def test_at_least_twenty_variations_are_tried() -> None:
    assert len(VARIATIONS) > 20


@pytest.mark.parametrize(
    ("name", "says", "is_transfer"),
    [
        ("create-transfer", EventType.CREATED, True),
        ("update-transfer", EventType.UPDATED, True),
        ("complete-transfer", EventType.COMPLETED, True),
        ("fail-transfer", EventType.FAILED, True),
        ("expire-transfer", EventType.EXPIRED, True),
        ("cancel-transfer", EventType.CANCELED, True),
        ("transfer-cancelled", EventType.CANCELED, True),
        ("reprocess-transfer", None, True),
        ("subscription-updated", None, False),
        ("usagerecords-thresholdExceeded", None, False),
        ("azure-fraud-event-detected", None, False),
        ("", None, False),
    ],
)
def test_a_name_says_a_step_or_passes(name: str, says: EventType | None, is_transfer: bool) -> None:
    found = read(json.dumps({"EventName": name, "AuditUri": None, "ResourceUri": None}).encode())
    assert found is not None
    assert (found.says, found.is_transfer) == (says, is_transfer)


def test_an_event_of_another_kind_names_no_transfer_step() -> None:
    audit = f"{API}/v1/auditrecords/{PARTNER}_{CUSTOMER}_resellerrelationshipacceptedbycustomer_{TICKS}"
    found = read(_raw(EventName="reseller-relationship-accepted-by-customer", ResourceName="Customer", AuditUri=audit))
    assert found is not None
    assert (found.is_transfer, found.says, found.transfer) == (False, None, None)


def test_a_test_event_is_known_as_one() -> None:
    found = read(b'{"EventName": "test-created", "ResourceName": "test", "AuditUri": null}')
    assert found is not None
    assert found.is_test


@pytest.mark.parametrize(
    "uri", [f"{API}/v1/customers/a/transfers/..%2F..%2Fx", f"{API}/v1/customers/x%00/transfers/b%20c", f"{API}/v1/customers/é/transfers/ü"]
)
def test_an_id_that_could_lead_elsewhere_is_none(uri: str) -> None:
    found = read(_raw(ResourceUri=uri, AuditUri=None))
    assert found is not None
    assert found.transfer is None


def test_the_same_callback_has_the_same_key_and_another_one_has_not() -> None:
    again = _raw(ResourceName="transfer", ResourceChangeUtcDate=None)
    other = _raw(AuditUri=AUDIT[:-1] + "1")
    assert dedupe_key(_raw()) == dedupe_key(again) != dedupe_key(other)
    nameless = _raw(AuditUri=None)
    assert dedupe_key(nameless) == dedupe_key(nameless) != dedupe_key(_raw(AuditUri=None, EventName="update-transfer"))


@given(st.binary(max_size=400) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(
        st.sampled_from(["EventName", "ResourceUri", "AuditUri", "ResourceName", "ResourceChangeUtcDate"]) | st.text(), inner
    ), max_leaves=12).map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_read_or_is_none(raw: bytes) -> None:
    read(raw)
    assert len(dedupe_key(raw)) == 32
