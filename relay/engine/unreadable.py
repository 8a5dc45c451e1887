"""What becomes of an accepted event that the relay itself cannot read back?

It holds up nobody: it is settled with a plan that tells nobody and says why, and the operator is told; not with the
exception, which would show what is in it.
"""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from relay.model import Event
from relay.plan import tells_nobody
from relay.store import Store
from relay.store.inboxes import Broken, Unplanned
from relay.store.retention import looking_again
from relay.store.stored import AcceptedStep, FixedPlan, Held


async def settle(store: Store, log: FilteringBoundLogger, key: str, held: Held, one: Unplanned | Broken) -> None:
    """Settle an inbox entry whose event, or (broken) whose step or plan, cannot be read."""
    plan = FixedPlan(skips=tells_nobody().skips)
    if isinstance(one, Broken):
        log.error("plan.unreadable", sequence=one.sequence, transfer=held.id)
        await store.transfers.mend(key, one, _from_event(one, held), plan)
        listed = (key, one.sequence, held.updated_ms, held.created_ms)
        await store.client.batch([store.ledger.indexing([listed], looking_again([key], held.updated_ms))])
        return
    log.error("plan.unreadable", event_id=one.step.event_id, transfer=held.id)
    await store.transfers.fix_plans([(key, one.member, plan, {})])
    listed = (key, one.sequence, one.step.accepted_at_ms, held.created_ms)
    listing = store.ledger.indexing([listed], looking_again([key], one.step.accepted_at_ms))
    await store.client.batch([listing, store.transfers.planning_done([(key, one.member)])])


def _from_event(one: Broken, held: Held) -> AcceptedStep | None:
    """What the event itself says of its step, where that can be read."""
    try:
        event = Event.model_validate_json(one.event_body or b"")
    except ValueError:
        return None
    return AcceptedStep(
        sequence=one.sequence,
        event_id=event.id,
        type=event.type,
        occurred_at=event.occurred_at,
        accepted_at_ms=held.updated_ms,
        producer=None,
    )
