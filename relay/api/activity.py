"""What has happened that concerns a partner?

The activity log, as JSON or, with `Accept: text/csv` or `?format=csv`, as a table for a spreadsheet.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from enum import StrEnum

from aiohttp import web

from relay.api.paging import NUMBER, Listing, Query, cursor, listed
from relay.api.partners import existing as existing_partner
from relay.api.route import Call, answer
from relay.api.transfer_shapes import ActivityShape, CustomerShape
from relay.api.transfers import skipped, told
from relay.auth import Caller
from relay.model import DeliveryStatus, Partner, TokenHolder
from relay.store import Store
from relay.store.queues import End
from relay.store.stored import Activity
from relay.store.transfers import shown as planned
from relay.times import format_ms

LISTING = Listing("activity", NUMBER)

_COLUMNS = (
    "at",
    "type",
    "audit",
    "role",
    "transfer",
    "kind",
    "status",
    "customer_id",
    "customer_name",
    "sequence",
    "event_id",
    "occurred_at",
    "late",
    "derived",
    "endpoint",
    "note",
    "told",
    "skipped",
    "customer_told",
    "id",
)


class Format(StrEnum):
    """As what the log is answered."""

    JSON = "json"
    CSV = "csv"


async def list_(call: Call) -> web.Response:
    """A partner's activity, newest first."""
    query = Query(call.request)
    asked = query.page(LISTING)
    type_, transfer, customer = query.text("type"), query.text("transfer"), query.text("customer")
    since_ms, until_ms = query.time_ms("since"), query.time_ms("until")
    format_ = query.choice("format", Format)
    query.check()
    partner = await existing_partner(call)
    page = await call.services.store.ledger.activity(
        partner.key,
        after=asked.after,
        limit=asked.limit,
        type=type_,
        transfer=transfer,
        customer=customer,
        since_ms=since_ms,
        until_ms=until_ms,
    )
    records = await shown(call.services.store, partner, page.data)
    if format_ is Format.CSV or (format_ is None and _wants_csv(call.request)):
        response = web.Response(text=as_csv(records), content_type="text/csv", charset="utf-8")
        if page.next is not None:
            following = call.request.rel_url.update_query(after=cursor(LISTING, page.next))
            response.headers["Link"] = f'<{following}>; rel="next"'
        response.headers["Content-Disposition"] = 'attachment; filename="activity.csv"'
        return response
    return answer(listed(LISTING, page, records))


async def shown(store: Store, partner: Partner, records: Sequence[Activity]) -> list[ActivityShape]:
    """Records as the API shows them, with what became of what they say was told: the log is the partner's own, so the
    operator sees no more in it."""
    ends = await store.queues.ends([one.id for record in records for one in record.told])
    names = {partner.key: partner.id}
    return [_shown(partner.key, record, ends, names) for record in records]


def _shown(
    partner: str, record: Activity, ends: Mapping[str, End], names: Mapping[str, str]
) -> ActivityShape:
    owner = Caller(TokenHolder.PARTNER, partner)
    customer = None
    if record.customer_id is not None or record.customer_name is not None:
        customer = CustomerShape(id=record.customer_id, name=record.customer_name)
    return ActivityShape(
        id=record.id,
        type=record.type,
        at=format_ms(record.at_ms),
        audit=record.audit,
        role=record.role,
        event_id=record.event_id,
        occurred_at=record.occurred_at,
        sequence=record.sequence,
        late=record.late,
        derived=record.derived,
        transfer=record.transfer,
        kind=record.kind,
        status=record.status,
        customer=customer,
        endpoint=record.endpoint,
        note=record.note,
        told=told(owner, record.role, [planned(one) for one in record.told], ends, names),
        skipped=skipped(owner, record.role, record.skips, names),
        customer_told=record.customer_told,
    )


def as_csv(records: list[ActivityShape]) -> str:
    """RFC 4180 text with a header row."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(_COLUMNS)
    for record in records:
        flat = record.model_dump(mode="json")
        customer = flat["customer"] or {}
        unsent = [one for one in flat["told"] if one["status"] == DeliveryStatus.CANCELED]
        flat |= {
            "customer_id": customer.get("id"),
            "customer_name": customer.get("name"),
            "told": " ".join(one["endpoint"] or one["email"] or "" for one in flat["told"] if one not in unsent),
            "skipped": " ".join(f"{one['channel']}:{one['reason']}" for one in flat["skipped"] + unsent),
        }
        table.writerow([_cell(flat[column]) for column in _COLUMNS])
    return out.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    # A spreadsheet runs a cell that begins like a formula; names in transfers are written by strangers.
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _wants_csv(request: web.Request) -> bool:
    kinds = [part.partition(";")[0].strip().lower() for part in request.headers.get("Accept", "").split(",")]
    return "text/csv" in kinds and "application/json" not in kinds
