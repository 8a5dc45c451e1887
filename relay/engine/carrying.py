"""What does a plan put where?

Of an event that was planned: the plan as it is kept, a delivery in each recipient's queue, a line in the activity log and
the feed of each partner that is told. Decisions are made before; nothing here asks anybody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from relay.model import Audience, Channel, Delivery, Event
from relay.plan import Plan, Registered
from relay.reread import read_event
from relay.store.hints import Claim
from relay.store.inboxes import Unplanned
from relay.store.ledger import Line
from relay.store.passes import Advanced, Begun, Opening, Taken
from relay.store.queues import Entry, channel_of, recipients_of
from relay.store.stored import Activity, FixedPlan, Held, dump, named


@dataclass(slots=True)
class Job:
    """One event that is planned; `plan` is its plan as it is kept."""

    key: str
    held: Held
    unplanned: Unplanned
    event: Event
    bodies: dict[Audience, bytes]
    plan: FixedPlan


def kept(job: Job) -> tuple[str, str, FixedPlan, dict[str, bytes]]:
    """A plan as it is stored, with what each audience is shown."""
    bodies = {f"{job.unplanned.sequence}:{audience}": body for audience, body in job.bodies.items()}
    return job.key, job.unplanned.member, job.plan, bodies


def due_of(
    entries: Sequence[Entry], replies: Sequence[bytes | list[bytes]]
) -> list[tuple[Channel, tuple[str, int]]]:
    """The recipients that have something due and no pass that began with it, each with the time, by channel."""
    pairs = zip(recipients_of(entries), replies, strict=True)
    return [(channel_of(to), (to, int(at))) for to, at in pairs if at and isinstance(at, bytes)]


def begun_of(
    entries: Sequence[Entry],
    replies: Sequence[bytes | list[bytes]],
    opening: Opening,
    versions: Mapping[str, int],
    ours: Collection[tuple[str, int]],
) -> list[tuple[Claim, Begun]]:
    """The passes that began, each with the version of what its partner has registered. What is carried is asked for
    but of the events (transfer key, sequence) that are `ours`: somebody else fixed it."""
    # A partner that is two audiences has a delivery twice: the first holds, in its queue too.
    at_hand = {entry.delivery_id: entry.taken for entry in reversed(entries) if entry.taken is not None}
    passes = []
    for recipient, ids in zip(recipients_of(entries), replies, strict=True):
        if not isinstance(ids, list):
            continue
        taken = [at_hand[one.decode()] for one in ids]
        if any((one.delivery.transfer_key, one.delivery.sequence) not in ours for one in taken):
            taken = [replace(one, body=None) for one in taken]
        step = Advanced(taken=taken, version=versions.get(taken[0].delivery.recipient.partner or ""))
        passes.append((Claim(recipient, opening.until), Begun(opening.token, step, int(opening.until))))
    return passes


def as_first_given(stored: bytes, held: Held) -> Event:
    """A stored event with its ids in the spelling that they were first given in; ValueError when it cannot be read."""
    event: Any = read_event(stored)
    transfer, changed = event.transfer, dict[str, Any]()
    if transfer.id != held.id:
        changed["id"] = held.id
    for name, party, first in (("source", transfer.source, held.source_id), ("target", transfer.target, held.target_id)):
        if party.id != first and party.id.casefold() == first.casefold():
            changed[name] = replace(party, id=first)
    spelled: Event = replace(event, transfer=replace(transfer, **changed)) if changed else event
    return spelled


def fixed(made: Plan) -> FixedPlan:
    return FixedPlan(
        deliveries=made.deliveries,
        unordered=sorted(made.unordered) if made.unordered else [],
        skips=made.skips,
        activity=made.activity,
        feed=made.feed,
        unknown=made.unknown,
    )


def entry_of(made: Delivery, job: Job, registered: dict[str, Registered]) -> Entry:
    to = made.recipient
    known = registered.get(to.partner or "")
    endpoint = known.endpoints.get(to.endpoint or "") if known is not None else None
    lane = "" if made.id in job.plan.unordered else made.transfer_key
    body = job.bodies.get(to.audience) if to.channel is Channel.WEBHOOK else None
    return Entry(
        recipient=to.id,
        delivery_id=made.id,
        meta=dump(made),
        lane=lane,
        sequence=made.sequence,
        now_ms=made.created_at_ms,
        rate=None if endpoint is None else endpoint.rate_limit,
        taken=None if body is None else Taken(made, 0, 0, None, False, lane, body),
    )


def lines_of(job: Job) -> list[Line]:
    """What the event adds to each partner's records: the activity log, the feed, or both."""
    fed = {(told.partner, told.audience) for told in job.plan.feed}
    logged = {(told.partner, told.audience): told.audit for told in job.plan.activity}
    lines = []
    for partner, audience in dict.fromkeys([*logged, *fed]):
        audit = logged.get((partner, audience))
        record_id = f"{job.event.id}:{audience}"
        feed = f"{job.unplanned.sequence}|{audience}|{job.event.id}|{job.key}"
        lines.append(
            Line(
                partner=partner,
                record_id=record_id,
                record=None if audit is None else _activity(job, record_id, audience, audit=audit),
                feed=feed if (partner, audience) in fed else "",
                transfer=job.key,
                transfer_score=job.held.created_ms,
            )
        )
    return lines


def _activity(job: Job, record_id: str, audience: Audience, *, audit: bool) -> Activity:
    plan, event, step = job.plan, job.event, job.unplanned.step
    customer = event.transfer.customer
    return Activity(
        id=record_id,
        type=event.type,
        at_ms=step.accepted_at_ms,
        audit=audit,
        role=audience,
        event_id=event.id,
        occurred_at=event.occurred_at,
        sequence=job.unplanned.sequence,
        late=step.late,
        derived=step.derived,
        transfer=job.held.id,
        kind=event.transfer.kind,
        status=event.transfer.status,
        customer_id=None if customer is None else customer.id,
        customer_name=None if customer is None else customer.name,
        told=[named(made) for made in plan.deliveries if made.recipient.audience is audience],
        skips=[skip for skip in plan.skips if skip.audience is audience],
        customer_told=sum(made.recipient.audience is Audience.CUSTOMER for made in plan.deliveries),
    )
