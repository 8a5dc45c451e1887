"""In which words is an endpoint told?

The body that was planned is the standard one (contract, section 4); an endpoint may ask for another form of it.
Pure: the planned body and what the plan noted give the bytes that are sent, so that every attempt of a
delivery sends the same.

`cloudevents`: CloudEvents 1.0 in the structured mode of its HTTP binding. `partner_center`: what Partner Center
posts to the one URL that a tenant registers, shaped as those callbacks really are (docs/sources.md): thin, the
transfer's id in the last segment of `AuditUri` only.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Any, Final

import orjson

from relay.model import PING, Event, EventType, Kind, Recipient, WebhookFormat
from relay.times import from_ns, to_ns

MEDIA: Final = {
    WebhookFormat.STANDARD: "application/json",
    WebhookFormat.CLOUDEVENTS: "application/cloudevents+json",
    WebhookFormat.PARTNER_CENTER: "application/json",
}
"""The Content-Type of each format."""

_VERBS: Final = {
    EventType.CREATED.value: "create",
    EventType.UPDATED.value: "update",
    EventType.COMPLETED.value: "complete",
    EventType.FAILED.value: "fail",
    EventType.EXPIRED.value: "expire",
}
"""What Partner Center calls the changes that it tells of; a cancellation and a partial completion it does not."""
_EPOCH_TICKS: Final = 621_355_968_000_000_000
_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9.~-]")
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"


def has_word_for(format: WebhookFormat, event: Event) -> bool:
    """Whether the format has an event of this kind."""
    if format is not WebhookFormat.PARTNER_CENTER:
        return True
    return event.transfer.kind is Kind.SUBSCRIPTION and event.type.value in _VERBS


def written(to: Recipient, event_id: str, body: bytes) -> bytes:
    """The bytes that this recipient is sent: the planned `body`, in the format that its plan noted."""
    match to.format:
        case WebhookFormat.STANDARD:
            return body
        case WebhookFormat.CLOUDEVENTS:
            return _cloud_event(to.origin, event_id, orjson.loads(body))
        case WebhookFormat.PARTNER_CENTER:
            return _callback(to.origin, orjson.loads(body))


def ping(format: WebhookFormat, origin: str, message_id: str, body: bytes) -> bytes:
    """The test message of the format; `body` is the standard one."""
    if format is WebhookFormat.CLOUDEVENTS:
        return _cloud_event(origin, message_id, orjson.loads(body))
    if format is WebhookFormat.PARTNER_CENTER:
        # What Partner Center itself sends to whoever asks for a validation event.
        id_ = uuid.UUID(bytes=hashlib.blake2b(message_id.encode(), digest_size=16).digest())
        return orjson.dumps(
            {
                "EventName": "test-created",
                "ResourceUri": f"{origin}/webhooks/v1/registration/validationEvents/{id_}",
                "ResourceName": "test",
                "AuditUri": None,
                "ResourceChangeUtcDate": _moment(to_ns(orjson.loads(body)["timestamp"])),
            }
        )
    return body


def _cloud_event(source: str, event_id: str, message: dict[str, Any]) -> bytes:
    data = message["data"]
    envelope = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": message["type"],
        "time": message["timestamp"],
        "datacontenttype": "application/json",
    }
    if message["type"] != PING:
        envelope["subject"] = data["transfer"]["id"]
    return orjson.dumps({**envelope, "data": data})


def _callback(api_url: str, message: dict[str, Any]) -> bytes:
    data = message["data"]
    transfer, verb, changed = data["transfer"], _VERBS[message["type"]], to_ns(message["timestamp"])
    party = transfer.get(data["role"], {})
    customer = _segment(transfer.get("customer", {}).get("id"))
    ticks = _EPOCH_TICKS + changed // 100
    audit = "_".join(
        (_segment(party.get("tenant_id") or party.get("id")), customer, _segment(transfer["id"]), f"{verb}transfer", str(ticks))
    )
    return orjson.dumps(
        {
            "EventName": f"{verb}-transfer",
            "ResourceUri": f"{api_url}/v1/customers/{customer}",
            "ResourceName": "Transfer",
            "AuditUri": f"{api_url}/auditactivity/v1/auditrecords/{audit}",
            "ResourceChangeUtcDate": _moment(changed),
        }
    )


def _segment(id_: str | None) -> str:
    """An id as one part of an audit record's name, whose parts are split at each underscore."""
    if not id_:
        return _NOBODY
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], id_.encode()).decode()


def _moment(ns: int) -> str:
    """A time as Partner Center writes it: UTC, in ticks of 100 ns, without zeros at the end."""
    fraction = re.sub(r"0+$", "", f"{ns % 1_000_000_000 // 100:07d}")
    return f"{from_ns(ns):%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}+00:00"


__all__ = ["MEDIA", "has_word_for", "ping", "written"]
