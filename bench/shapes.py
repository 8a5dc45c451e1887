"""What is posted in a benchmark? A subscription transfer of ordinary size, about 1.2 kB."""

from __future__ import annotations

import json


def event(event_id: str, transfer: str, source: str, target: str) -> bytes:
    """The n-th event: the source accepted a transfer of two items."""
    return json.dumps(
        {
            "id": event_id,
            "type": "transfer.updated",
            "occurred_at": "2026-11-02T01:00:00Z",
            "actor": {"email": "kenji@kaiyo-cloud.example", "role": "admin_agent"},
            "transfer": {
                "id": transfer,
                "kind": "subscription",
                "status": "in_progress",
                "created_at": "2026-11-02T00:15:04.7851706Z",
                "expires_at": "2026-12-02T00:15:04.7851706Z",
                "source": {"id": source, "name": "Kaiyo Cloud", "tenant_id": "bbbbcccc-1111-dddd-2222-eeee3333ffff"},
                "target": {"id": target, "name": "Fabrikam", "tenant_id": "aaaabbbb-0000-cccc-1111-dddd2222eeee"},
                "customer": {
                    "id": "4cfba01c-47d4-4b91-9559-740129e7352b",
                    "name": "Relecloud",
                    "contacts": [{"email": "it@relecloud.example", "name": "Dana O'Neil", "locale": "en"}],
                },
                "product_types": ["online_services_nce", "azure_reservation"],
                "items": [
                    {
                        "id": f"2FAFDD44-6A0C-4E7B-9E3B-00000000000{n}",
                        "name": "Microsoft 365 E3 (annual)",
                        "product_type": "online_services_nce",
                        "quantity": 25,
                        "status": "pending",
                        "result_id": None,
                        "error": None,
                    }
                    for n in range(2)
                ],
            },
        }
    ).encode()


def request(host: str, token: str, body: bytes) -> bytes:
    """The same as an HTTP/1.1 request."""
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def webhook_body() -> bytes:
    """A body as long as what an endpoint gets of such an event."""
    return event("evt-0", "7b1ce5e6-5829-45c6-b3bb-89bfb791a69e", "kaiyo-cloud", "fabrikam")[:1150]
