"""What does an event look like that has everything, and one that has only what it must?"""

from __future__ import annotations

from typing import Any

from relay.model import MOVES_TO, Event, EventType

KINDS = ("subscription", "sim")


def least(kind: str = "subscription", type_: str = "transfer.created", **changes: Any) -> dict[str, Any]:
    """An event with what is required. `changes` replace names of its transfer; `id` and `occurred_at`
    are the event's own."""
    transfer: dict[str, Any] = {
        "id": "tr-1",
        "kind": kind,
        "status": MOVES_TO[EventType(type_)].value,
        "created_at": "2026-11-20T01:02:03Z",
        "source": {"id": "contoso", "name": "Contoso"},
        "target": {"id": "fabrikam", "name": "Fabrikam"},
    }
    if kind == "subscription":
        transfer["customer"] = {"id": "relecloud", "name": "Relecloud"}
    made = {
        "id": changes.pop("id", "evt-1"),
        "type": type_,
        "occurred_at": changes.pop("occurred_at", "2026-11-21T01:02:03Z"),
        "transfer": transfer | changes,
    }
    return made


def whole(kind: str = "subscription", type_: str = "transfer.created") -> dict[str, Any]:
    """An event with a marker, `mark-<field>`, in everything that holds free text."""
    made = least(kind, type_)
    made["actor"] = {"email": "mark-actor@x.example", "role": "mark-actor-role", "unknown": "mark-unknown-1"}
    made["unknown"] = {"deep": "mark-unknown-2"}
    transfer = made["transfer"]
    transfer |= {
        "id": "mark-transfer-id",
        "expires_at": "2026-12-20T01:02:03Z",
        "source": {
            "id": "mark-source-id", "name": "mark-source-name", "tenant_id": "mark-source-tenant",
            "email": "mark-source@x.example", "locale": "fr", "unknown": "mark-unknown-3",
        },
        "target": {
            "id": "mark-target-id", "name": "mark-target-name", "tenant_id": "mark-target-tenant",
            "email": "mark-root@x.example", "locale": "de", "unknown": "mark-unknown-4",
        },
        "reseller": {"id": "mark-reseller-id", "name": "mark-reseller-name", "unknown": "mark-unknown-5"},
        "customer": {
            "id": "mark-customer-id", "name": "mark-customer-name", "unknown": "mark-unknown-6",
            "contacts": [{"email": "mark-contact@x.example", "name": "mark-contact-name", "locale": "ja",
                          "unknown": "mark-unknown-7"}],
        },
        "replaces": "mark-replaces",
        "acceptance_url": "https://accept.example/mark-link",
        "effective_on": "2026-12-01",
        "unknown": ["mark-unknown-8"],
        "items": [
            {"id": f"mark-{status}-id", "name": f"mark-{status}-name", "product_type": "mark-product",
             "quantity": 25, "status": status, "result_id": f"mark-{status}-result",
             "error": {"code": "mark-error-code", "message": "mark-error-message", "unknown": "mark-unknown-9"},
             "imsi": f"mark-{status}-imsi", "iccid": f"mark-{status}-iccid", "sim_id": f"mark-{status}-sim",
             "unknown": "mark-unknown-10"}
            for status in ("completed", "failed")
        ],
    }  # fmt: skip
    if kind == "subscription":
        transfer["product_types"] = ["online_services_nce"]
    return made


def event(value: dict[str, Any]) -> Event:
    """The value as the relay reads it."""
    return Event.model_validate(value)
