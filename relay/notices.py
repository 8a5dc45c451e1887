"""How are a partner's admin agents told of what is no event?

A line in the partner's activity log and a mail to each of them, once for one incident, by the same queues as
everything else. Whoever comes second, or again after a crash, makes the same deliveries, not more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relay.model import AdminAgent, Audience, Channel, Delivery, Partner, Recipient
from relay.people import delivery_id, mailbox_id
from relay.preferences import wanted
from relay.store import Store
from relay.store.hints import Hint
from relay.store.ledger import Line
from relay.store.queues import Entry
from relay.store.stored import Activity, dump, named


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told: `incident` names it, `body` is what the mails show, `about` whose they are (it has a space,
    which no transfer's id can hold), `endpoint` and `note` go into the activity log."""

    type: str
    incident: str
    about: str
    body: bytes
    endpoint: str | None = None
    note: str | None = None


async def tell(
    store: Store, notice: Notice, partner: Partner, agents: Sequence[AdminAgent], default_locale: str, now_ms: int
) -> None:
    """Tell these admin agents of the partner, each as they chose. Safe to repeat."""
    await store.transfers.keep_body(notice.about, now_ms, Audience.SOURCE, notice.body)
    made, skips = wanted(
        [_mail(notice, partner, agent, default_locale, now_ms) for agent in agents], await store.choices.of(partner.key)
    )
    record = Activity(
        id=notice.incident,
        type=notice.type,
        at_ms=now_ms,
        endpoint=notice.endpoint,
        note=notice.note,
        told=[named(delivery) for delivery in made],
        skips=skips,
    )
    await store.ledger.append([Line(partner.key, notice.incident, record, "", "", 0)])
    if made:
        await store.ledger.notice([(one.id, notice.about, now_ms) for one in made], now_ms)
        store.counters.owe(Channel.EMAIL, len(made))
        entries = [Entry(one.recipient.id, one.id, dump(one), "", now_ms, now_ms) for one in made]
        await store.client.batch([store.queues.enqueuing(entries)])
        await store.hints.make_due(Hint.EMAIL, [(one.recipient.id, now_ms) for one in made])


def _mail(notice: Notice, partner: Partner, agent: AdminAgent, default_locale: str, now_ms: int) -> Delivery:
    to = Recipient(
        id=mailbox_id(Audience.SOURCE, partner.key, agent.email),
        channel=Channel.EMAIL,
        audience=Audience.SOURCE,
        partner=partner.key,
        email=agent.email,
        name=agent.name,
        locale=agent.locale or partner.locale or default_locale,
    )
    return Delivery(
        id=delivery_id(to.id, notice.incident),
        event_id=notice.incident,
        type=notice.type,
        transfer="",
        transfer_key=notice.about,
        sequence=now_ms,
        created_at_ms=now_ms,
        recipient=to,
    )
