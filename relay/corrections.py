"""How is somebody told after all, whose address in a transfer was wrong?

A transfer's people are named by its producer, and stay as they were named. The operator says once for a transfer that
mail to one address goes to another: what could not be delivered is made anew for it, and so is what comes later in
the same transfer. It is another delivery, with the same body; the first one stays as it ended.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from relay.model import Audience, Channel, Delivery
from relay.people import delivery_id, mailbox_id
from relay.store import Store
from relay.store.hints import Hint
from relay.store.queues import Entry
from relay.store.stored import dump


def may_be_corrected(delivery: Delivery) -> bool:
    """Whether the address is one that a transfer names; an admin agent's is corrected in the partner's list."""
    to = delivery.recipient
    return to.channel is Channel.EMAIL and (to.audience is Audience.CUSTOMER or to.is_root)


async def correct(store: Store, delivery: Delivery, email: str, now_ms: int) -> Delivery:
    """Have this delivery, and what comes later for its address in its transfer, go to `email`; the delivery that is
    made. Safe to repeat."""
    await store.transfers.correct(delivery.transfer_key, delivery.recipient.email or "", email)
    return await _make(store, delivery, email, now_ms)


async def follow(store: Store, deliveries: Sequence[Delivery], now_ms: int) -> None:
    """Nothing is mailed to the address of these: where another was given for it, they go there. Safe to repeat."""
    for delivery in deliveries:
        if may_be_corrected(delivery):
            email = await store.transfers.corrected(delivery.transfer_key, delivery.recipient.email or "")
            if email is not None:
                await _make(store, delivery, email, now_ms)


async def _make(store: Store, delivery: Delivery, email: str, now_ms: int) -> Delivery:
    # Its own mailbox, not that of once a day: whoever it is chose nothing yet.
    to = replace(delivery.recipient, email=email)
    to = replace(to, id=mailbox_id(to.audience, to.partner, email))
    made = replace(delivery, id=delivery_id(to.id, delivery.event_id), recipient=to, created_at_ms=now_ms)
    # In the plan first: what dies before it is in its queue is found by the accounts, and put there.
    if await store.transfers.plan_also(made):
        store.counters.owe(Channel.EMAIL, 1)
        entry = Entry(to.id, made.id, dump(made), made.transfer_key, made.sequence, now_ms)
        await store.client.batch([store.queues.enqueuing([entry])])
        await store.hints.make_due(Hint.EMAIL, [(to.id, now_ms)])
    return made
