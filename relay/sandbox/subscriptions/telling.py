"""Whom does the system tell of a change, and how?

Each of the two partners that has registered a URL for the event: thinly, and as it was seen in practice, with
the transfer's id in the audit record's name only. Nobody of a cancellation or a partial outcome: there are no
such events. Audit records: to the target when it creates, to the source when it submits, to both of an
outcome. Pure.
"""

from __future__ import annotations

import json
from typing import Final

import msgspec

from relay.sandbox.subscriptions.views import entity
from relay.sandbox.subscriptions.world import MOST_AUDITS, Audit, Transfer, World
from relay.sandbox.system import Call
from relay.times import from_ms

EVENTS: Final = ("create-transfer", "update-transfer", "complete-transfer", "fail-transfer", "expire-transfer")
TEST: Final = "test-created"
OWN_HEADER: Final = "x-ms-signature"
OTHERS: Final = ("subscription-updated", "usagerecords-thresholdExceeded", "referral-created", "referral-updated")
"""Names that exist beside those about transfers, and are never told here."""
_EPOCH_TICKS: Final = 621_355_968_000_000_000
_AUDITED: Final = {
    "create-transfer": ("target",),
    "update-transfer": ("source",),
    "complete-transfer": ("source", "target"),
    "fail-transfer": ("source", "target"),
}


def told(world: World, event: str, transfer: Transfer, now_ms: int, *, by: str, url: str) -> tuple[World, tuple[Call, ...]]:
    """The world with its audit records, and the calls that are owed. `by` is who did it; `url` is the API's."""
    calls = []
    for role, tenant in (("target", transfer.target), ("source", transfer.source)):
        record = audit_id(tenant, transfer, event, now_ms)
        if role in _AUDITED.get(event, ()):
            world = _audited(world, record, tenant, event, transfer, now_ms, by)
        registration = world.registrations.get(tenant)
        if registration is None or event not in registration.events:
            continue
        partner = world.partners.get(tenant)
        body = {
            "EventName": event,
            "ResourceUri": f"{url}/v1/customers/{transfer.customer}",
            "ResourceName": "Transfer",
            "AuditUri": f"{url}/auditactivity/v1/auditrecords/{record}",
            "ResourceChangeUtcDate": callback_time(now_ms),
        }
        calls.append(
            Call(
                id=record,
                url=registration.url,
                event=event,
                about=transfer.id,
                to=partner.relay_id if partner else tenant,
                body=json.dumps(body),
                headers={"Content-Type": "application/json"},
                scheme=OWN_HEADER if registration.in_own_header else "",
                due_ms=now_ms,
            )
        )
    return world, tuple(calls)


def audit_id(tenant: str, transfer: Transfer, event: str, now_ms: int) -> str:
    """`<partner>_<customer>_<transfer>_<operation>_<.NET ticks>`."""
    operation = event.replace("-", "")
    return f"{tenant}_{transfer.customer}_{transfer.id}_{operation}_{_EPOCH_TICKS + now_ms * 10_000}"


def callback_time(now_ms: int) -> str:
    """With six fractional digits and an offset."""
    return f"{from_ms(now_ms):%Y-%m-%dT%H:%M:%S}.{now_ms % 1000:03d}000+00:00"


def _audited(
    world: World, id_: str, tenant: str, event: str, transfer: Transfer, now_ms: int, by: str
) -> World:
    verb, _, noun = event.partition("-")
    value = {name[:1].upper() + name[1:]: one for name, one in entity(transfer, tenant).items()}
    record = Audit(
        id=id_,
        partner=tenant,
        customer=transfer.customer,
        customer_name=transfer.customer_name,
        operation=f"{verb}_{noun}",
        by=by,
        at_ms=now_ms,
        value=json.dumps(value, ensure_ascii=False),
    )
    return msgspec.structs.replace(world, audits=(*world.audits, record)[-MOST_AUDITS:])
