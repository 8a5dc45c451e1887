"""What may a partner ask for, and when is it refused?

The target creates a transfer and may cancel it while it is pending; the source accepts it with items, and may
submit those that failed again when the others were moved. Every rule that can refuse is here, in the order
in which it is asked. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from relay.sandbox.subscriptions import moving, telling, views
from relay.sandbox.subscriptions.refusals import Code
from relay.sandbox.subscriptions.world import (
    AZURE,
    TRANSFERABLE,
    Line,
    PartnerKind,
    Product,
    State,
    Transfer,
    World,
    new_id,
    with_transfer,
)
from relay.sandbox.system import Answer, Note, Step

MOST_ITEMS: Final = 25
LASTS_MS: Final = 30 * 86_400_000
_LONGEST: Final = 512
_CANCELS: Final = frozenset({"cancel", "canceled", "cancelled"})
_PRODUCTS: Final = {product.value.casefold(): product for product in Product}


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the partner of a tenant, as one of its people or (person "") as its application alone."""

    tenant: str
    person: str = ""


def create(world: World, who: Asker, customer: str, body: Any, now_ms: int, url: str) -> Step[World]:
    """`POST /v1/customers/{customer}/transfers`, by the target."""
    fields = _object(body)
    _admin_agent(world, who)
    _may_transfer(world, who.tenant, "the target")
    about = world.customers.get(customer.casefold())
    if about is None:
        raise Code.TENANT_NOT_FOUND.refuse(why=f"there is no customer {customer}")
    source = _source_of(world, who, fields)
    if who.tenant not in about.partners:
        raise Code.NO_RELATIONSHIP.refuse(why="send a relationship request, and have the customer consent")
    if who.tenant not in about.agreed:
        raise Code.NO_AGREEMENT.refuse()
    email = _text(fields, "customerEmailId")
    if "@" not in email:
        raise Code.INVALID.refuse(why="customerEmailId")
    products = _products(fields)
    if any(product in AZURE for product in products) and who.tenant not in about.azure_plans:
        raise Code.NO_AZURE_PLAN.refuse(why="Azure types are named, and the customer has no Azure plan of the target's")
    on_record = _text(fields, "partnerOnRecord")
    if on_record and world.partners[who.tenant].kind is not PartnerKind.INDIRECT_PROVIDER:
        raise Code.NOT_A_RESELLER.refuse(why="only an indirect provider names a partner on record")
    world, id_ = new_id(world)
    transfer = Transfer(
        id=id_,
        customer=about.tenant,
        customer_name=_text(fields, "customerName") or about.name,
        email=email,
        source=source,
        source_name=_text(fields, "sourcePartnerName"),
        target=who.tenant,
        target_name=world.partners[who.tenant].name,
        created_ms=now_ms,
        expires_ms=now_ms + LASTS_MS,
        moved_ms=now_ms,
        products=products,
        target_email=_text(fields, "targetPartnerEmailId"),
        partner_on_record=on_record,
    )
    text = f"{transfer.target_name} asks {transfer.source_name} for subscriptions of {transfer.customer_name}"
    return _moved(world, transfer, "create-transfer", text, who, now_ms, url, status=201)


def change(world: World, who: Asker, transfer: Transfer, body: Any, now_ms: int, url: str) -> Step[World]:
    """`PATCH /v1/customers/{customer}/transfers/{transfer}`: accepted by the source, or canceled."""
    fields = _object(body)
    if _text(fields, "id").casefold() not in ("", transfer.id):
        raise Code.INVALID.refuse(why="the id is another transfer's", about=transfer.id)
    _admin_agent(world, who)
    if _text(fields, "status").casefold() in _CANCELS:
        return _cancel(world, who, transfer, now_ms)
    if "lineItems" in fields:
        return _submit(world, who, transfer, fields["lineItems"], now_ms, url)
    raise Code.INVALID.refuse(why='give lineItems, or "status": "Cancel"', about=transfer.id)


def seen(world: World, who: Asker, customer: str, id_: str) -> Transfer:
    """A transfer that this partner is a side of. Raises Refusal."""
    transfer = world.transfers.get(id_.casefold())
    if transfer is None or transfer.customer != customer.casefold() or not _is_side(transfer, who):
        raise Code.NO_TRANSFER.refuse()
    return transfer


def all_seen(world: World, who: Asker, customer: str) -> list[Transfer]:
    """A customer's transfers that this partner is a side of, oldest first."""
    return [
        one for one in world.transfers.values() if one.customer == customer.casefold() and _is_side(one, who)
    ]


def _cancel(world: World, who: Asker, transfer: Transfer, now_ms: int) -> Step[World]:
    if who.tenant != transfer.target:
        raise Code.NOT_ALLOWED.refuse(why="only the target cancels", about=transfer.id)
    _still(transfer, State.ACTIVE)
    after = msgspec.structs.replace(transfer, status=State.CANCEL, moved_ms=now_ms)
    note = _note(after, f"{transfer.target_name} cancels; there is no event for it", now_ms)
    # Nobody is told: there is neither an event nor an audit record of it.
    return Step(with_transfer(world, after), Answer(200, views.entity(after, who.tenant)), notes=(note,))


def _submit(
    world: World, who: Asker, transfer: Transfer, lines: Any, now_ms: int, url: str
) -> Step[World]:
    if who.tenant != transfer.source:
        raise Code.NOT_ALLOWED.refuse(why="only the source accepts", about=transfer.id)
    _still(transfer, State.ACTIVE, State.PARTIALLY_COMPLETE)
    _may_transfer(world, who.tenant, "the source")
    if not isinstance(lines, list) or not all(isinstance(one, dict) for one in lines):
        raise Code.INVALID.refuse(why="lineItems", about=transfer.id)
    if transfer.status is State.PARTIALLY_COMPLETE:
        after, what = _tried_again(transfer, lines), "tries what failed again"
    else:
        after = msgspec.structs.replace(transfer, lines=_lines(world, transfer, lines))
        what = f"accepts and submits {len(after.lines)} of its subscriptions"
    world, after = moving.begin(world, after, now_ms)
    return _moved(world, after, "update-transfer", f"{transfer.source_name} {what}", who, now_ms, url)


def _lines(world: World, transfer: Transfer, lines: Sequence[dict[str, Any]]) -> tuple[Line, ...]:
    if not 1 <= len(lines) <= MOST_ITEMS:
        raise Code.INVALID.refuse(why=f"a transfer has 1 to {MOST_ITEMS} items", about=transfer.id)
    ids = [_text(one, "subscriptionId").casefold() for one in lines]
    if len(set(ids)) < len(ids):
        raise Code.INVALID.refuse(why="a subscription is named twice", about=transfer.id)
    return tuple(_line(world, transfer, number, id_, one) for number, (id_, one) in enumerate(zip(ids, lines, strict=True)))


def _line(world: World, transfer: Transfer, number: int, id_: str, item: dict[str, Any]) -> Line:
    one, where = world.subscriptions.get(id_), f"lineItems[{number}]"
    if one is None or one.customer != transfer.customer or not one.is_active:
        raise Code.INVALID_SUBSCRIPTION.refuse(why=f"{where}: the customer has no such subscription", about=transfer.id)
    if not one.owner:
        raise Code.INVALID_SUBSCRIPTION.refuse(why=f"{where}: the customer bought it directly", about=transfer.id)
    if one.owner != transfer.source:
        raise Code.INVALID_SUBSCRIPTION.refuse(why=f"{where}: it is another partner's", about=transfer.id)
    if one.product is Product.SAAS:
        raise Code.THIRD_PARTY.refuse(why=where, about=transfer.id)
    if one.product not in TRANSFERABLE:
        raise Code.INVALID_SUBSCRIPTION.refuse(why=f"{where}: {one.product} cannot be transferred", about=transfer.id)
    if _text(item, "productType").casefold() != one.product.value.casefold():
        raise Code.INVALID.refuse(why=f"{where}.productType: give {one.product}", about=transfer.id)
    if transfer.products and one.product not in transfer.products:
        raise Code.INVALID.refuse(why=f"{where}: the target has not asked for {one.product}", about=transfer.id)
    for other in world.transfers.values():
        if other.status is State.IN_PROGRESS and any(line.subscription == id_ for line in other.lines):
            raise Code.IN_PROGRESS.refuse(other.id, why=where, about=transfer.id)
    return Line(number=number, subscription=id_, name=one.name, product=one.product, quantity=one.quantity)


def _tried_again(transfer: Transfer, lines: Sequence[dict[str, Any]]) -> Transfer:
    """With the failed items that are named (all of them, where none is) on their way again."""
    failed = {line.subscription for line in transfer.lines if line.status is State.FAILED}
    named = {_text(one, "subscriptionId").casefold() for one in lines} or failed
    if not named <= failed:
        raise Code.INVALID_SUBSCRIPTION.refuse(why="only items that have failed can be tried again", about=transfer.id)
    again = tuple(
        msgspec.structs.replace(line, status=State.IN_PROGRESS, error="") if line.subscription in named else line
        for line in transfer.lines
    )
    return msgspec.structs.replace(transfer, lines=again)


def _source_of(world: World, who: Asker, fields: dict[str, Any]) -> str:
    source = _text(fields, "sourcePartnerTenantId").casefold()
    if not source or not _text(fields, "sourcePartnerName"):
        raise Code.SOURCE_MISSING.refuse(why="give sourcePartnerTenantId and sourcePartnerName")
    if source == who.tenant:
        raise Code.SAME_PARTNER.refuse()
    if source not in world.partners:
        raise Code.TENANT_NOT_FOUND.refuse(why=f"there is no partner {source}")
    _may_transfer(world, source, "the source")
    if _text(fields, "targetPartnerTenantId").casefold() not in ("", who.tenant):
        raise Code.NOT_ALLOWED.refuse(why="the target creates the transfer itself")
    return source


def _may_transfer(world: World, tenant: str, side: str) -> None:
    """Direct-bill partners and indirect providers, in each direction; a reseller needs its provider."""
    partner = world.partners[tenant]
    if partner.kind is PartnerKind.INDIRECT_RESELLER:
        raise Code.NOT_ENABLED.refuse(why=f"{side} is an indirect reseller; its indirect provider acts for it")
    if not partner.has_agreement:
        raise Code.NOT_ENABLED.refuse(why=f"{side} has not signed the Microsoft Partner Agreement")


def _admin_agent(world: World, who: Asker) -> None:
    people = world.partners[who.tenant].people
    if not any(one.email == who.person and one.role == "admin_agent" for one in people):
        raise Code.NOT_ALLOWED.refuse(why="only an admin agent creates, accepts and cancels transfers")


def _products(fields: dict[str, Any]) -> tuple[Product, ...]:
    named = fields.get("targetProductTypes") or []
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise Code.INVALID.refuse(why="targetProductTypes is a list of names")
    found = tuple(_PRODUCTS.get(one.casefold()) for one in named)
    if not all(one in TRANSFERABLE for one in found):
        raise Code.INVALID.refuse(why=f"targetProductTypes: give any of {', '.join(TRANSFERABLE)}")
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _still(transfer: Transfer, *states: State) -> None:
    if transfer.status in states:
        return
    if transfer.status is State.IN_PROGRESS:
        raise Code.IN_PROGRESS.refuse(transfer.id, about=transfer.id)
    raise Code.CANNOT.refuse(transfer.id, transfer.status.value, about=transfer.id)


def _moved(
    world: World, transfer: Transfer, event: str, text: str, who: Asker, now_ms: int, url: str, *, status: int = 200
) -> Step[World]:
    world, calls = telling.told(with_transfer(world, transfer), event, transfer, now_ms, by=who.person, url=url)
    return Step(world, Answer(status, views.entity(transfer, who.tenant)), calls, (_note(transfer, text, now_ms),))


def _note(transfer: Transfer, text: str, now_ms: int) -> Note:
    return Note(at_ms=now_ms, what="moved", about=transfer.id, text=text, data={"status": transfer.status.value})


def _is_side(transfer: Transfer, who: Asker) -> bool:
    return who.tenant in (transfer.source, transfer.target)


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Code.INVALID.refuse(why="give a JSON object")
    return body


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value.strip()[:_LONGEST] if isinstance(value, str) else ""


