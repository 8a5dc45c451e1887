"""Who is told that a transfer is about to expire?

The admin agents of its source, by e-mail, where `[notify] remind_before` asks for it, and its activity log.
A reminder is no event: it has no sequence and no webhook, and travels through the same queues as every mail.
Whoever gives the same one twice gives it once.
"""

from __future__ import annotations

from typing import Any

import orjson

from relay import view
from relay.deadlines import REMINDER, Deadline, derived_id
from relay.model import AdminAgent, Audience, Channel, Delivery, Partner, Recipient, Transfer
from relay.people import delivery_id, mailbox_id
from relay.preferences import wanted
from relay.store import Store
from relay.store.hints import Hint
from relay.store.ledger import Line
from relay.store.queues import Entry
from relay.store.stored import Activity, Held, dump, named
from relay.times import format_ms

_SEQUENCE = 0
"""Where a transfer's slot keeps the body of its reminders: events count from 1."""


class Reminder:
    """Gives reminders."""

    def __init__(self, store: Store, default_locale: str) -> None:
        self._store = store
        self._default_locale = default_locale

    async def give(self, key: str, held: Held, last: dict[str, Any], deadline: Deadline, now_ms: int) -> None:
        """Remind the source of the transfer that `last` describes; nobody, where the source is not registered."""
        store = self._store
        partner = await store.registry.get_partner(held.source)
        if partner is None:
            return
        transfer = Transfer.model_validate(last["transfer"]).model_copy(update={"id": held.id})
        reminder_id = derived_id(key, deadline.step)
        made, skips = wanted(
            [self._delivery(key, held, reminder_id, partner, agent, now_ms) for agent in partner.admin_agents],
            await store.choices.of(partner.key),
        )
        await store.transfers.keep_body(key, _SEQUENCE, Audience.SOURCE, _body(transfer, deadline))
        record = Activity(
            id=reminder_id,
            type=REMINDER,
            at_ms=now_ms,
            role=Audience.SOURCE,
            derived=True,
            transfer=held.id,
            kind=held.kind,
            status=held.status,
            customer_id=None if transfer.customer is None else transfer.customer.id,
            customer_name=None if transfer.customer is None else transfer.customer.name,
            told=[named(delivery) for delivery in made],
            skips=skips,
        )
        await store.ledger.append([Line(partner.key, reminder_id, record, "", "", 0)])
        if made:
            await store.ledger.notice([(one.id, key, _SEQUENCE) for one in made], now_ms)
            entries = [Entry(one.recipient.id, one.id, dump(one), "", _SEQUENCE, now_ms) for one in made]
            await store.client.batch([store.queues.enqueuing(entries)])
            store.counters.owe(Channel.EMAIL, len(made))
            await store.hints.make_due(Hint.EMAIL, [(one.recipient.id, now_ms) for one in made])

    def _delivery(
        self, key: str, held: Held, reminder_id: str, partner: Partner, agent: AdminAgent, now_ms: int
    ) -> Delivery:
        to = Recipient(
            id=mailbox_id(Audience.SOURCE, partner.key, agent.email),
            channel=Channel.EMAIL,
            audience=Audience.SOURCE,
            partner=partner.key,
            email=agent.email,
            name=agent.name,
            locale=agent.locale or partner.locale or self._default_locale,
        )
        return Delivery(
            id=delivery_id(to.id, reminder_id),
            event_id=reminder_id,
            type=REMINDER,
            transfer=held.id,
            transfer_key=key,
            sequence=_SEQUENCE,
            created_at_ms=now_ms,
            recipient=to,
        )


def _body(transfer: Transfer, deadline: Deadline) -> bytes:
    data = {
        "role": Audience.SOURCE,
        "sequence": _SEQUENCE,
        "late": False,
        "derived": False,
        "transfer": view.transfer_as(Audience.SOURCE, transfer),
    }
    return orjson.dumps({"type": REMINDER, "timestamp": format_ms(deadline.fact_ms), "data": data})
