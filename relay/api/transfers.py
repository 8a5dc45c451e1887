"""Where does a transfer stand, and what happened to it, as the caller's role may see it?

The transfer itself is shown through `relay.view` only. A partner that is in no role of a transfer is
answered as if there were none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from msgspec.structs import asdict

from relay import view
from relay.api.deliveries import all_shown as deliveries_shown
from relay.api.paging import TIMED, Listing, Query, listed, page_of
from relay.api.problems import not_found
from relay.api.route import Call, answer
from relay.api.sight import spelled
from relay.api.transfer_shapes import (
    RefusalShape,
    SkippedShape,
    TimelineShape,
    ToldShape,
    TransferDetailShape,
    TransferShape,
)
from relay.auth import Caller
from relay.model import Audience, Channel, Kind, Skip, Status, Transfer
from relay.store.queues import End
from relay.store.records import (
    Page,
    PlannedDelivery,
    Refusal,
    TimelineEntry,
    TransferRecord,
)
from relay.times import format_ms

LISTING, DELIVERIES = Listing("transfers", TIMED), Listing("deliveries-of-transfer")


async def list_(call: Call) -> web.Response:
    """The caller's transfers, the operator's all; newest first."""
    query = Query(call.request)
    asked = query.page(LISTING)
    role, status = query.choice("role", Audience), query.choice("status", Status)
    kind, customer = query.choice("kind", Kind), query.text("customer")
    query.check()
    page = await call.services.store.ledger.transfers(
        None if call.caller.is_operator else call.caller.id,
        role=role,
        status=status,
        kind=kind,
        customer=customer,
        after=asked.after,
        limit=asked.limit,
    )
    data = [
        TransferShape(**members(call.caller, record))
        for record in page.data
        if is_visible(call.caller, record)
    ]
    return answer(listed(LISTING, page, data))


async def get(call: Call) -> web.Response:
    """One transfer with its timeline."""
    record = await existing(call)
    caller = call.caller
    role = None if caller.is_operator else role_of(caller.id, record)
    own = [one.id for entry in record.timeline for one in entry.deliveries if _is_own(caller, role, one)]
    ends = await call.services.store.queues.ends(own)
    named = [one.partner for entry in record.timeline for one in entry.deliveries]
    named += [one.partner for entry in record.timeline for one in entry.skips]
    names = await call.services.store.registry.spellings(named)
    return answer(
        TransferDetailShape(
            **members(caller, record),
            timeline=[_entry(caller, role, entry, ends, names) for entry in record.timeline],
            refusals=[_refusal(refusal) for refusal in record.refusals],
        )
    )


async def deliveries(call: Call) -> web.Response:
    """The deliveries of one transfer that the caller may see, newest first."""
    query = Query(call.request)
    asked = query.page(DELIVERIES)
    channel = query.choice("channel", Channel)
    query.check()
    record = await existing(call)
    role = None if call.caller.is_operator else role_of(call.caller.id, record)
    ids = [
        f"{entry.sequence:08d}:{planned.id}"
        for entry in record.timeline
        for planned in entry.deliveries
        if channel in (None, planned.channel) and _is_own(call.caller, role, planned)
    ]
    page = page_of(ids, str, asked)
    found = await call.services.store.queues.deliveries([id_.partition(":")[2] for id_ in page.data])
    shapes = await deliveries_shown(call.services.store, found)
    return answer(listed(DELIVERIES, Page(page.data, page.next), shapes))


async def existing(call: Call) -> TransferRecord:
    """The transfer in the path; 404 when there is none that this caller may see."""
    record = await call.services.store.transfers.get(call.part("transfer").casefold())
    if record is None or not is_visible(call.caller, record):
        raise not_found("transfer")
    return record


def role_of(partner: str, record: TransferRecord) -> Audience | None:
    """In which role a partner is in a transfer: a reseller only if it was told as one."""
    if partner == record.source_key:
        return Audience.SOURCE
    if partner == record.target_key:
        return Audience.TARGET
    for entry in record.timeline:
        for planned in entry.deliveries:
            if planned.audience is Audience.RESELLER and (planned.partner or "").casefold() == partner:
                return Audience.RESELLER
    return None


def is_visible(caller: Caller, record: TransferRecord) -> bool:
    """Whether this caller may see the transfer."""
    return caller.is_operator or role_of(caller.id, record) is not None


def members(caller: Caller, record: TransferRecord) -> dict[str, Any]:
    """The members of a transfer as this caller may see it."""
    transfer = Transfer.model_validate(record.transfer)
    role = None if caller.is_operator else role_of(caller.id, record)
    if role is None:
        seen = transfer.model_dump(mode="json", exclude_none=True, exclude={"acceptance_url"})
    else:
        seen = view.transfer_as(role, transfer)
    return {
        **seen,
        "id": record.id,
        "kind": record.kind,
        "status": record.status,
        "role": role,
        "sequence": record.sequence,
        "derived": record.derived,
        "updated_at": format_ms(record.updated_at_ms),
    }


def told(
    caller: Caller,
    role: Audience | None,
    deliveries: list[PlannedDelivery],
    ends: Mapping[str, End],
    names: Mapping[str, str],
) -> list[ToldShape]:
    """Who is told, as far as this caller may know, which is in `role`, and what became of it. `names` are the partners'
    ids as they were first given."""
    return [
        ToldShape(
            delivery=planned.id,
            audience=planned.audience,
            channel=planned.channel,
            partner=spelled(planned.partner, names),
            endpoint=planned.endpoint,
            email=planned.email,
            status=end.status if end is not None else None,
            reason=end.reason if end is not None else None,
        )
        for planned, end in ((one, ends.get(one.id)) for one in deliveries)
        if _is_own(caller, role, planned)
    ]


def skipped(
    caller: Caller, role: Audience | None, skips: list[Skip], names: Mapping[str, str]
) -> list[SkippedShape]:
    """Who was not told and why, as far as this caller may know, which is in `role`."""
    return [
        SkippedShape(**asdict(skip) | {"partner": spelled(skip.partner, names)})
        for skip in skips
        if _is_own(caller, role, skip)
    ]


def _is_own(caller: Caller, role: Audience | None, who: PlannedDelivery | Skip) -> bool:
    if caller.is_operator:
        return True
    if who.audience is Audience.CUSTOMER:
        return False
    if who.partner is None:
        return who.audience is role  # nobody of this role was told, whoever it is
    return who.partner.casefold() == caller.id


def _entry(
    caller: Caller, role: Audience | None, entry: TimelineEntry, ends: Mapping[str, End], names: Mapping[str, str]
) -> TimelineShape:
    return TimelineShape(
        sequence=entry.sequence,
        event_id=entry.event_id,
        type=entry.type,
        occurred_at=entry.occurred_at,
        accepted_at=format_ms(entry.accepted_at_ms),
        late=entry.late,
        repeat=entry.repeat,
        derived=entry.derived,
        gap=entry.gap,
        actor_role=entry.actor_role,
        told=told(caller, role, entry.deliveries, ends, names),
        customer_told=sum(planned.audience is Audience.CUSTOMER for planned in entry.deliveries),
        skipped=skipped(caller, role, entry.skips, names),
    )


def _refusal(refusal: Refusal) -> RefusalShape:
    return RefusalShape(
        event_id=refusal.event_id,
        type=refusal.type,
        occurred_at=refusal.occurred_at,
        refused_at=format_ms(refusal.refused_at_ms),
        status=refusal.status,
        reason=refusal.reason,
    )
