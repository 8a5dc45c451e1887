"""How does a partner read a transfer?

A `TransferEntity` in the documented fields, as they really come (docs/sources.md): the status on the wire,
times with seven fractional digits or none, one field in odd capitals. The source sees the items that it
submitted; the target none until an item is complete, and then under its new id. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relay.sandbox.subscriptions.world import State, Subscription, Transfer
from relay.times import from_ms

INCOMING, OUTGOING = 1, 2
_NEW_COMMERCE = 3


def entity(transfer: Transfer, viewer: str) -> dict[str, Any]:
    """The transfer as the partner of tenant `viewer` reads it."""
    is_source = viewer == transfer.source
    value: dict[str, Any] = {
        "id": transfer.id,
        "status": transfer.status.value,
        "transferType": _NEW_COMMERCE,
        "transferDirection": OUTGOING if is_source else INCOMING,
        "customerEmailId": transfer.email,
        "customerName": transfer.customer_name,
        "customerTenantId": transfer.customer,
        "partnertenantid": transfer.target,
        "sourcePartnerName": transfer.source_name,
        "sourcePartnerTenantId": transfer.source,
        "targetPartnerName": transfer.target_name,
        "targetPartnerTenantId": transfer.target,
        "targetPartnerEmailId": transfer.target_email,
        "createdTime": long_time(transfer.created_ms),
        "lastModifiedTime": short_time(transfer.moved_ms),
        "expirationTime": short_time(transfer.expires_ms),
        "lineItems": _lines(transfer, is_source=is_source),
        "links": {"self": {"uri": f"/v1/customers/{transfer.customer}/transfers/{transfer.id}", "method": "GET"}},
        "attributes": {"objectType": "TransferEntity"},
    }
    if transfer.products:
        value["targetProductTypes"] = [product.value for product in transfer.products]
    if transfer.partner_on_record:
        value["partnerOnRecord"] = transfer.partner_on_record
    if transfer.done_ms:
        value["completedTime"] = long_time(transfer.done_ms)
    return value


def subscription(one: Subscription) -> dict[str, Any]:
    """A subscription, as a partner reads those of its customer."""
    return {
        "id": one.id,
        "friendlyName": one.name,
        "offerName": one.name,
        "productType": one.product.value,
        "quantity": one.quantity,
        "status": "active" if one.is_active else "deleted",
        "attributes": {"objectType": "Subscription"},
    }


def collection(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A list, as the API wraps it."""
    return {"totalCount": len(items), "items": list(items), "attributes": {"objectType": "Collection"}}


def long_time(ms: int) -> str:
    """With seven fractional digits."""
    return f"{from_ms(ms):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}0000Z"


def short_time(ms: int) -> str:
    """To the second."""
    return f"{from_ms(ms):%Y-%m-%dT%H:%M:%SZ}"


def _lines(transfer: Transfer, *, is_source: bool) -> list[dict[str, Any]]:
    return [
        {
            "id": line.number,
            "subscriptionId": line.subscription.upper() if is_source else line.result,
            "friendlyName": line.name,
            "quantity": line.quantity,
            "productType": line.product.value,
            "transferGroupId": str(line.number),
            "status": line.status.value,
            "addonItems": [],
            **({"transferError": line.error} if line.error and is_source else {}),
        }
        for line in transfer.lines
        if is_source or line.status is State.COMPLETE
    ]
