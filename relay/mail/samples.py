"""What does a stored body look like, for every message there is?

Made-up transfers in the shape that `relay.view` gives, one for each type and audience: what the preview
shows and what the message tests are run on. Names mix languages on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from relay.deadlines import REMINDER
from relay.mail.daily import daily_body
from relay.mail.notice import AgentNotice, EndpointNotice, NoticeType
from relay.model import MOVES_TO, Audience, Channel, EventType, Kind, Outcome, Recipient, Status
from relay.preferences import BOUNCED, DAILY, RECOVERED

DATE_MS = 1_795_237_500_000
"""2026-11-21 05:05 UTC, when every sample is sent."""

CHOOSE_AT = "https://relay.example/preferences/5yR0QdXTOm1e-3vqvEcCz0x8WcMZ2eJjW_Yp2m4E0lFz7fDqkq1nVwzqSmYp"
"""Where the readers of the samples choose which mails they get."""
LINK = "https://console.example/transfer?token=5c0c2c5e-0000-4000-8000-000000000001"
_AT = "2026-11-21T05:05:00.1234567Z"
_CREATED = "2026-11-20T01:02:03Z"
_EXPIRES = "2026-12-20T01:02:03Z"

_SOURCE = {"id": "kaiyo-cloud", "name": "海洋クラウド株式会社"}
_TARGET = {"id": "fabrikam", "name": "Fabrikam Distribution Ltd."}
_CUSTOMER = {"id": "4cfba01c-47d4-4b91-9559-740129e7352b", "name": "株式会社レレクラウド"}
_OPERATOR_A = {"id": "OP0012345678", "name": "つばめIoT"}
_OPERATOR_B = {"id": "OP0099999999", "name": "Northwind Sensors KK"}
_ROOT = "root@northwind.example"

_ITEMS = (
    (
        "2FAFDD44-6A0C-4E7B-9E3B-000000000001",
        "9B1C0000-0000-4000-8000-00000000000A",
        "Microsoft 365 E3 (年間契約)",
        "online_services_nce",
        25,
    ),
    (
        "637FF8F6-6A0C-4E7B-9E3B-000000000002",
        "9B1C0000-0000-4000-8000-00000000000B",
        "Azure Reserved VM Instance D4s v5",
        "azure_reservation",
        2,
    ),
)
_ERROR = {"code": "900145", "message": "Azure reservations of this offer do not transfer"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One message to look at. `name` is unique; `url` is the acceptance link that goes with it."""

    name: str
    type: str
    kind: str
    recipient: Recipient
    body: bytes
    url: str | None = None


def samples() -> Iterator[Sample]:
    """Every type × audience, the variants of a SIM's creation, and the notices about an endpoint."""
    for event_type in EventType:
        for audience in Audience:
            yield _subscription(event_type, audience)
    yield _subscription(EventType.CREATED, Audience.SOURCE, all_products=True)
    for event_type in EventType:
        if event_type is EventType.EXPIRED:
            continue
        for audience in Audience:
            yield _sim(event_type, audience)
    yield _sim(EventType.CREATED, Audience.TARGET, root=True, url=LINK)
    yield _sim(EventType.CREATED, Audience.TARGET, root=True)
    yield _expiring()
    yield from _notices()
    yield _daily()


def _subscription(event_type: EventType, audience: Audience, *, all_products: bool = False) -> Sample:
    status = MOVES_TO.get(event_type, Status.IN_PROGRESS)
    transfer: dict[str, Any] = {
        "id": "43FB1D3A-79fe-45a9-863e-9a4acf17b630",
        "kind": "subscription",
        "status": status.value,
        "created_at": _CREATED,
        "expires_at": _EXPIRES,
        "source": _SOURCE,
        "target": _TARGET,
        "customer": _CUSTOMER,
        "product_types": [] if all_products else ["online_services_nce", "azure_reservation"],
        "items": _items(event_type, audience),
    }
    if audience is not Audience.CUSTOMER:
        transfer["reseller"] = {"id": "mpn-4711", "name": "Tailspin Resale GmbH"}
    data: dict[str, Any] = {"transfer": transfer}
    if event_type is EventType.CREATED and audience is Audience.TARGET:
        data["actor"] = {"role": "admin_agent", "email": "aoi.tanaka@fabrikam.example"}
    suffix = "-all-products" if all_products else ""
    return _sample(event_type, Kind.SUBSCRIPTION, audience, data, suffix=suffix)


def _expiring() -> Sample:
    """A reminder, which is no event."""
    pending = _subscription(EventType.CREATED, Audience.SOURCE)
    view = orjson.loads(pending.body) | {"type": REMINDER}
    return replace(pending, name="subscription-expiring-source", type=REMINDER, body=orjson.dumps(view))


def _daily() -> Sample:
    """What a partner's admin agent gets who wants all of a day in one mail."""
    views = [_subscription(EventType.CREATED, Audience.SOURCE), _subscription(EventType.COMPLETED, Audience.TARGET)]
    views += [_subscription(EventType.PARTIALLY_COMPLETED, Audience.SOURCE), _sim(EventType.FAILED, Audience.TARGET)]
    views += [one for one in _notices() if one.type in (RECOVERED, BOUNCED)]
    body = daily_body([one.body for one in views], DATE_MS)
    recipient = _reader(Audience.SOURCE, "agent@fabrikam.example", "Aoi Tanaka")
    return Sample(name="daily", type=DAILY, kind="daily", recipient=recipient, body=body)


def _items(event_type: EventType, audience: Audience) -> list[dict[str, Any]]:
    if event_type in (EventType.CREATED, EventType.EXPIRED, EventType.CANCELED):
        return []
    outcomes = {
        EventType.COMPLETED: ("completed", "completed"),
        EventType.PARTIALLY_COMPLETED: ("completed", "failed"),
        EventType.FAILED: ("failed", "failed"),
        EventType.STALLED: ("in_progress", "in_progress"),
    }.get(event_type, ("pending", "pending"))
    shown = []
    for (source_id, result_id, name, product, quantity), outcome in zip(_ITEMS, outcomes, strict=True):
        item: dict[str, Any] = {
            "name": name,
            "product_type": product,
            "quantity": quantity,
            "status": outcome,
        }
        if audience is Audience.SOURCE:
            item |= {"id": source_id, "error": _ERROR if outcome == "failed" else None}
        elif audience is Audience.TARGET:
            if outcome != "completed":
                continue
            item |= {"id": result_id}
        shown.append(item)
    return shown


def _sim(event_type: EventType, audience: Audience, *, root: bool = False, url: str | None = None) -> Sample:
    status = MOVES_TO.get(event_type, Status.IN_PROGRESS)
    spoiled = event_type in (EventType.PARTIALLY_COMPLETED, EventType.FAILED)
    sims = []
    for number in range(1, 6):
        sim: dict[str, Any] = {
            "name": f"倉庫センサー {number}号",
            "status": "active" if spoiled and number == 3 else "ready",
        }
        if audience in (Audience.SOURCE, Audience.TARGET):
            sim |= {
                "imsi": f"44010123456789{number}",
                "iccid": f"898104000000000000{number}",
                "sim_id": f"898104000000000000{number}",
            }
        sims.append(sim)
    target = dict(_OPERATOR_B)
    if audience is not Audience.CUSTOMER:
        target["email"] = _ROOT
    transfer: dict[str, Any] = {
        "id": "sim-2026-0007",
        "kind": "sim",
        "status": status.value,
        "created_at": "2026-11-20T09:00:00+09:00",
        "source": _OPERATOR_A,
        "target": target,
        "items": sims,
    }
    if event_type in (EventType.COMPLETED, EventType.PARTIALLY_COMPLETED):
        transfer["effective_on"] = "2026-11-21"
    suffix = ("-root-with-link" if url else "-root") if root else ""
    return _sample(event_type, Kind.SIM, audience, {"transfer": transfer}, suffix=suffix, root=root, url=url)


def _sample(
    event_type: EventType,
    kind: Kind,
    audience: Audience,
    data: dict[str, Any],
    *,
    suffix: str = "",
    root: bool = False,
    url: str | None = None,
) -> Sample:
    derived = event_type is EventType.STALLED
    head = {"role": audience.value, "sequence": 1, "late": False, "derived": derived}
    body = {"type": event_type.value, "timestamp": _AT, "data": head | data}
    email = _ROOT if root else f"{audience.value}@reader.example"
    return Sample(
        name=f"{kind.value}-{event_type.value.partition('.')[2].replace('_', '-')}-{audience.value}{suffix}",
        type=event_type.value,
        kind=kind.value,
        recipient=_reader(audience, email, None if root else "森 葵", with_link=root),
        body=orjson.dumps(body),
        url=url,
    )


def _reader(audience: Audience, email: str, name: str | None, *, with_link: bool = False) -> Recipient:
    return Recipient(
        id=f"mail-{email}",
        channel=Channel.EMAIL,
        audience=audience,
        email=email,
        name=name,
        with_link=with_link,
    )


def _notices() -> Iterator[Sample]:
    for for_good in (True, False):
        gone = AgentNotice(
            at_ms=DATE_MS,
            partner="Fabrikam Distribution Ltd.",
            name="葵 田中",
            email="aoi.tanaka@fabrikam.example",
            status="5.1.1" if for_good else "5.2.2",
            detail="User unknown" if for_good else "Mailbox full",
            for_good=for_good,
        )
        yield Sample(
            name="agent-bounced" if for_good else "agent-bounced-often",
            type=gone.type,
            kind="agent",
            recipient=_reader(Audience.SOURCE, "agent@fabrikam.example", "Aoi Tanaka"),
            body=gone.body(),
        )
    for notice_type in NoticeType:
        recovered = notice_type is NoticeType.RECOVERED
        notice = EndpointNotice(
            type=notice_type,
            at_ms=DATE_MS,
            endpoint="ep_01jd8m2k",
            host="hooks.fabrikam.example",
            partner="Fabrikam Distribution Ltd.",
            description="Ticket system",
            first_failure_ms=DATE_MS - 86_400_000,
            outcome=Outcome.ACCEPTED if recovered else Outcome.SERVER_ERROR,
            status=200 if recovered else 502,
            waiting=1234,
            disable_at_ms=DATE_MS + 4 * 86_400_000 if notice_type is NoticeType.WARNED else None,
        )
        yield Sample(
            name=notice_type.value.replace(".", "-"),
            type=notice_type.value,
            kind="endpoint",
            recipient=_reader(Audience.SOURCE, "agent@fabrikam.example", "Aoi Tanaka"),
            body=notice.body(),
        )
