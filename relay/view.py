"""What may each role see of a transfer?

The one place that says it (contract, section 3), for webhook bodies, e-mails, the API, the portal and
the pull feed alike. A view is built up from what a role may see, never cut down from the whole, so that
a field added to the model is hidden until somebody lists it here. Unknown fields of an event are passed
on to nobody. The acceptance link is in no view: it goes only into the mail to the target's root user.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

import orjson

from relay.model import Audience, Event, EventType, Item, Kind, Party, Status, Transfer

_ACTING: dict[tuple[Kind, EventType], Audience] = {
    (Kind.SUBSCRIPTION, EventType.CREATED): Audience.TARGET,
    (Kind.SUBSCRIPTION, EventType.CANCELED): Audience.TARGET,
    (Kind.SUBSCRIPTION, EventType.UPDATED): Audience.SOURCE,
    (Kind.SIM, EventType.CREATED): Audience.SOURCE,
    (Kind.SIM, EventType.UPDATED): Audience.SOURCE,
    (Kind.SIM, EventType.CANCELED): Audience.SOURCE,
    (Kind.SIM, EventType.COMPLETED): Audience.TARGET,
    (Kind.SIM, EventType.PARTIALLY_COMPLETED): Audience.TARGET,
}
"""Whose person acts in each step. For the others nobody is known to have acted, and an e-mail address
of an actor is then shown to neither party."""

_PARTIES = frozenset({Audience.SOURCE, Audience.TARGET})
"""Between whom it moves: what the contract shows to both is theirs, and not a reseller's."""


def transfer_as(audience: Audience, transfer: Transfer) -> dict[str, Any]:
    """The transfer as JSON-ready values, as `audience` may see it."""
    seen: dict[str, Any] = {
        "id": transfer.id,
        "kind": transfer.kind,
        "status": transfer.status,
        "created_at": transfer.created_at,
    }
    if transfer.expires_at is not None:
        seen["expires_at"] = transfer.expires_at
    partner = audience is not Audience.CUSTOMER
    sim = transfer.kind is Kind.SIM
    seen["source"] = _party(transfer.source, with_tenant=partner)
    seen["target"] = target = _party(transfer.target, with_tenant=partner)
    if sim and audience in _PARTIES and transfer.target.email is not None:
        target["email"] = transfer.target.email
    if transfer.reseller is not None and partner:
        seen["reseller"] = {"id": transfer.reseller.id}
        if transfer.reseller.name is not None:
            seen["reseller"]["name"] = transfer.reseller.name
    if transfer.customer is not None:
        seen["customer"] = {
            key: value
            for key, value in (("id", transfer.customer.id), ("name", transfer.customer.name))
            if value is not None
        }
        if audience is Audience.TARGET and transfer.customer.contacts:
            seen["customer"]["contacts"] = [
                _known(contact, "email", "name", "locale") for contact in transfer.customer.contacts
            ]
    if not sim:
        seen["product_types"] = [product.value for product in transfer.product_types or ()]
    if transfer.replaces is not None and partner:
        seen["replaces"] = transfer.replaces
    if transfer.effective_on is not None:
        seen["effective_on"] = transfer.effective_on.isoformat()
    seen["items"] = items_as(audience, transfer)
    return seen


def items_as(audience: Audience, transfer: Transfer) -> list[dict[str, Any]]:
    """The items as `audience` may see them; to a subscription's target none until one is completed."""
    items = transfer.items or ()
    if audience is Audience.CUSTOMER:
        return [_known(item, "name", "product_type", "quantity", "status") for item in items]
    if transfer.kind is Kind.SIM:
        if audience is Audience.RESELLER:
            return [_known(item, "name", "status") for item in items]
        return [_known(item, "imsi", "iccid", "sim_id", "name", "status") for item in items]
    match audience:
        case Audience.SOURCE:
            return [_source_item(item) for item in items]
        case Audience.TARGET:
            return [_target_item(item) for item in items if item.status == Status.COMPLETED.value]
        case Audience.RESELLER:
            return [_known(item, "name", "product_type", "quantity", "status") for item in items]
        case _:
            assert_never(audience)


def actor_as(audience: Audience, event: Event) -> dict[str, str] | None:
    """The person who acted: the role to both partners, the e-mail address to their own partner only."""
    if event.actor is None or audience not in _PARTIES:
        return None
    seen: dict[str, str] = {}
    if event.actor.role is not None:
        seen["role"] = event.actor.role
    if event.actor.email is not None and _ACTING.get((event.transfer.kind, event.type)) is audience:
        seen["email"] = event.actor.email
    return seen or None


def message(
    audience: Audience, event: Event, *, sequence: int, late: bool, derived: bool, gap: bool
) -> bytes:
    """The body that this audience is sent: the bytes are fixed here, then stored, signed and sent."""
    return messages([audience], event, sequence=sequence, late=late, derived=derived, gap=gap)[audience]


def messages(
    audiences: Iterable[Audience], event: Event, *, sequence: int, late: bool, derived: bool, gap: bool
) -> dict[Audience, bytes]:
    """The same for several audiences; what both parties of a SIM transfer see of it is written once."""
    written: dict[Audience | None, orjson.Fragment] = {}
    made: dict[Audience, bytes] = {}
    for audience in audiences:
        shared = None if event.transfer.kind is Kind.SIM and audience in _PARTIES else audience
        transfer = written.get(shared)
        if transfer is None:
            transfer = orjson.Fragment(orjson.dumps(transfer_as(audience, event.transfer)))
            written[shared] = transfer
        data: dict[str, Any] = {"role": audience, "sequence": sequence, "late": late, "derived": derived}
        if gap:
            data["gap"] = True
        actor = actor_as(audience, event)
        if actor is not None:
            data["actor"] = actor
        data["transfer"] = transfer
        made[audience] = orjson.dumps({"type": event.type, "timestamp": event.occurred_at, "data": data})
    return made


def _party(party: Party, *, with_tenant: bool) -> dict[str, Any]:
    seen = {"id": party.id, "name": party.name}
    if with_tenant and party.tenant_id is not None:
        seen["tenant_id"] = party.tenant_id
    return seen


def _known(of: object, *fields: str) -> dict[str, Any]:
    return {field: value for field in fields if (value := getattr(of, field)) is not None}


def _source_item(item: Item) -> dict[str, Any]:
    seen = _known(item, "id", "name", "product_type", "quantity", "status")
    seen["error"] = None if item.error is None else _known(item.error, "code", "message")
    return seen


def _target_item(item: Item) -> dict[str, Any]:
    seen = {} if item.result_id is None else {"id": item.result_id}
    return seen | _known(item, "name", "product_type", "quantity", "status")
