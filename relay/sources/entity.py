"""What does a transfer of Partner Center mean in the relay's words?

`read` takes the TransferEntity of one partner's view, `merge` two views of the same transfer: the source's,
which names what moves, and the target's, which names what it has become. The status is an open set on the
wire, and documented wrongly: what is not known is kept as it is and means nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from relay.model import EventType, ProductType, Status
from relay.times import to_ns

STATUSES = {
    "active": Status.PENDING,
    "pending": Status.PENDING,
    "inprogress": Status.IN_PROGRESS,
    "complete": Status.COMPLETED,
    "completed": Status.COMPLETED,
    "partiallycomplete": Status.PARTIALLY_COMPLETED,
    "partiallycompleted": Status.PARTIALLY_COMPLETED,
    "failed": Status.FAILED,
    "expired": Status.EXPIRED,
    "cancel": Status.CANCELED,
    "canceled": Status.CANCELED,
    "cancelled": Status.CANCELED,
}
"""Statuses as they are on the wire, without regard to case, hyphens and spaces."""
_PRODUCTS = {
    "onlineservicesnce": ProductType.ONLINE_SERVICES_NCE,
    "azuresubscription": ProductType.AZURE_SUBSCRIPTION,
    "azurereservation": ProductType.AZURE_RESERVATION,
    "azuresavingsplan": ProductType.AZURE_SAVINGS_PLAN,
}
_ADDRESS = re.compile(r"[^\s@]{1,64}@[^\s@]{1,190}")
_OUTCOMES = frozenset({Status.COMPLETED, Status.FAILED})
_MOST_ITEMS = 200


@dataclass(frozen=True, slots=True)
class Who:
    """A partner or a customer: its tenant and its name."""

    tenant: str
    name: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line item of one partner's view. `place` tells lines of two views apart."""

    place: str
    subscription: str | None
    name: str | None
    quantity: int | None
    product: str | None
    status: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A transfer as it was fetched. `said` is its status on the wire; times are RFC 3339."""

    id: str
    said: str
    status: Status | None
    created_at: str
    moved_at: str | None
    expires_at: str | None
    source: Who
    target: Who
    customer: Who
    contact: str | None
    reseller: str | None
    products: tuple[ProductType, ...]
    lines: tuple[Line, ...]


class Unusable(Exception):
    """The answer lacks what an event cannot do without; says what."""


def read(value: Any) -> Fetched:
    """A TransferEntity. Raises Unusable."""
    if not isinstance(value, dict):
        raise Unusable("not a JSON object")
    fields = {name.casefold(): one for name, one in value.items()}
    source = _who(fields, "sourcepartner")
    # In some samples the creator, who is the target, is only in `partnertenantid`.
    target = _who(fields, "targetpartner", _text(fields, "partnertenantid"))
    customer = _who(fields, "customer")
    created = _time(fields.get("createdtime"))
    lacking = [
        name
        for name, there in (
            ("id", _text(fields, "id")), ("createdTime", created), ("sourcePartnerTenantId", source.tenant),
            ("targetPartnerTenantId", target.tenant), ("customerTenantId", customer.tenant),
        )
        if not there
    ]  # fmt: skip
    if lacking or created is None:
        raise Unusable(f"without {', '.join(lacking)}")
    said, email = _text(fields, "status"), _text(fields, "customeremailid")
    lines = fields.get("lineitems")
    products = fields.get("targetproducttypes")
    return Fetched(
        id=_text(fields, "id"),
        said=said,
        status=STATUSES.get(_plain(said)),
        created_at=created,
        moved_at=_time(fields.get("completedtime")) or _time(fields.get("lastmodifiedtime")),
        expires_at=_time(fields.get("expirationtime")),
        source=source,
        target=target,
        customer=customer,
        contact=email if _ADDRESS.fullmatch(email) else None,
        reseller=_text(fields, "partneronrecord") or None,
        products=_products(products if isinstance(products, list) else []),
        lines=tuple(
            _line(place, one)
            for place, one in enumerate(lines[:_MOST_ITEMS] if isinstance(lines, list) else [])
            if isinstance(one, dict)
        ),
    )


def canonical(
    fetched: Fetched, other: Fetched | None, status: Status, parties: tuple[str, str]
) -> dict[str, Any]:
    """The `transfer` of an event that moves it to `status`, from the source's view and, where there is one,
    the target's (`other`); `parties` are the ids of the source and the target with the relay."""
    transfer: dict[str, Any] = {
        "id": fetched.id,
        "kind": "subscription",
        "status": status.value,
        "created_at": fetched.created_at,
        "source": {"id": parties[0], "name": fetched.source.name, "tenant_id": fetched.source.tenant},
        "target": {"id": parties[1], "name": fetched.target.name, "tenant_id": fetched.target.tenant},
        "customer": {"id": fetched.customer.tenant, "name": fetched.customer.name},
    }
    if fetched.expires_at is not None:
        transfer["expires_at"] = fetched.expires_at
    if fetched.contact is not None:
        transfer["customer"]["contacts"] = [{"email": fetched.contact}]
    if fetched.reseller is not None:
        transfer["reseller"] = {"id": fetched.reseller}
    if fetched.products:
        transfer["product_types"] = [product.value for product in fetched.products]
    # The source chooses the items when it submits: until then there are none, whatever is there by now.
    if status not in (Status.PENDING, Status.EXPIRED, Status.CANCELED):
        transfer["items"] = _items(fetched, other, ended=status is not Status.IN_PROGRESS)
    return transfer


def _items(fetched: Fetched, other: Fetched | None, *, ended: bool) -> list[dict[str, Any]]:
    results = {} if other is None else {line.place: line for line in other.lines}
    items = []
    for line in fetched.lines:
        status = line.status if ended else Status.IN_PROGRESS.value
        item: dict[str, Any] = {
            "id": line.subscription, "name": line.name, "product_type": line.product, "quantity": line.quantity,
            "status": status,
        }  # fmt: skip
        result = results.get(line.place)
        if ended and result is not None and status == Status.COMPLETED.value:
            item["result_id"] = result.subscription
        if ended and line.error is not None:
            item["error"] = {"message": line.error}
        items.append({name: value for name, value in item.items() if value is not None})
    return items


def of_target(fetched: Fetched) -> Fetched:
    """The target's view alone, as the source's would be: what it sees are results, under their new ids."""
    return replace(fetched, lines=tuple(replace(line, subscription=None) for line in fetched.lines))


def type_of(status: Status) -> EventType:
    """The type of event that moves a transfer to this status."""
    return {
        Status.PENDING: EventType.CREATED,
        Status.IN_PROGRESS: EventType.UPDATED,
    }.get(status) or EventType(f"transfer.{status.value}")


def _line(place: int, value: dict[str, Any]) -> Line:
    fields = {name.casefold(): one for name, one in value.items()}
    said, quantity, error = _text(fields, "status"), fields.get("quantity"), fields.get("transfererror")
    product = _text(fields, "producttype")
    known = STATUSES.get(_plain(said))
    if isinstance(error, dict):  # documented as a text; the type that the SDK has for it is an object
        error = next((text for name, text in error.items() if name.casefold() in ("description", "message")), None)
    number = fields.get("id")
    return Line(
        place=str(number) if isinstance(number, (int, str)) and number != "" else str(place),
        subscription=_text(fields, "subscriptionid") or None,
        name=_text(fields, "friendlyname") or _text(fields, "offerid") or None,
        quantity=quantity if type(quantity) is int and quantity >= 0 else None,
        product=(_PRODUCTS.get(_plain(product)) or product)[:512] or None,
        status=known.value if known is not None else said[:512] or None,
        error=error[:4096] if isinstance(error, str) and error else None,
    )


def _who(fields: dict[str, Any], prefix: str, instead: str = "") -> Who:
    tenant = _text(fields, f"{prefix}tenantid") or instead
    return Who(tenant, (_text(fields, f"{prefix}name") or tenant)[:512])


def _products(named: list[Any]) -> tuple[ProductType, ...]:
    """Those that the relay has a word for. When there is none, all of them may move."""
    found = (_PRODUCTS.get(_plain(name)) for name in named if isinstance(name, str))
    return tuple(dict.fromkeys(product for product in found if product is not None))


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]", "", text).casefold()


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value.strip() if isinstance(value, str) else ""


def _time(value: Any) -> str | None:
    """RFC 3339; without a zone it is UTC. What stands for no time (the year 1) is none."""
    if not isinstance(value, str):
        return None
    for candidate in (value, f"{value}Z"):
        try:
            return candidate if to_ns(candidate) > 0 else None
        except ValueError:
            continue
    return None
