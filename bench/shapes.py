"""What is posted in a benchmark? The creation of a SIM transfer of ordinary size, about 1.2 kB."""

from __future__ import annotations

import json


def event(event_id: str, transfer: str, source: str, target: str) -> bytes:
    """One event: a transfer of SIMs is created, of ordinary size, about 1.2 kB."""
    return json.dumps(
        {
            "id": event_id,
            "type": "transfer.created",
            "occurred_at": "2026-11-02T09:00:00+09:00",
            "actor": {"email": "kenji@kaiyo-cloud.example", "role": "admin_agent"},
            "transfer": {
                "id": transfer,
                "kind": "sim",
                "status": "pending",
                "created_at": "2026-11-02T09:00:00+09:00",
                "source": {"id": source, "name": "Kaiyo IoT", "tenant_id": "bbbbcccc-1111-dddd-2222-eeee3333ffff"},
                "target": {"id": target, "name": "Northwind", "tenant_id": "aaaabbbb-0000-cccc-1111-dddd2222eeee"},
                "items": [
                    {
                        "imsi": f"44010123456789{n}",
                        "iccid": f"898104000000000000{n}",
                        "sim_id": f"898104000000000000{n}",
                        "name": f"Warehouse sensor {n}",
                        "status": "ready",
                    }
                    for n in range(5)
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


def webhook_body(transfer: str) -> bytes:
    """A body as long as what an endpoint gets of such an event."""
    return event("evt-0", f"{transfer:36}", "kaiyo-cloud", "fabrikam")[:1150]
