"""Which people is an audience in one transfer, and by what names do their mailboxes go?

The admin agents of a partner, the root user of a SIM's target, the contacts of a customer: who gets a mail, before
it is asked what they chose.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from relay.model import Audience, Kind, Partner, Transfer

_DAILY = "mb_daily_"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a mailbox. `is_root`: the root user of a SIM's target, who accepts the transfer."""

    email: str
    name: str | None
    locale: str | None
    is_root: bool = False


def people(transfer: Transfer, audience: Audience, partner: Partner | None) -> list[Person]:
    """Everybody of this audience, one who is there twice twice. `partner` is the audience's, where it has one."""
    if audience is Audience.CUSTOMER:
        contacts = transfer.customer.contacts if transfer.customer is not None else ()
        return [Person(one.email, one.name, one.locale) for one in contacts]
    found = [Person(one.email, one.name, one.locale) for one in (partner.admin_agents if partner else ())]
    root = transfer.target
    if audience is Audience.TARGET and transfer.kind is Kind.SIM and root.email is not None:
        return [Person(root.email, root.name, root.locale, is_root=True), *found]
    return found


def daily_id(partner: str | None, email: str) -> str:
    """The recipient id of what one person is told once a day, in whatever role: it waits in a queue of its own."""
    who = f"{partner or ''}\0{email.casefold()}"
    return f"{_DAILY}{hashlib.blake2b(who.encode(), digest_size=10).hexdigest()}"


def is_daily(recipient: str) -> bool:
    """Whether what waits for this recipient goes together, once a day."""
    return recipient.startswith(_DAILY)


def mailbox_id(audience: Audience, partner: str | None, email: str) -> str:
    """The recipient id of one mailbox: a function of the address and in which role it is told."""
    who = f"{audience.value}\0{partner or ''}\0{email.casefold()}"
    return f"mb_{hashlib.blake2b(who.encode(), digest_size=10).hexdigest()}"


def delivery_id(recipient: str, event_id: str) -> str:
    """The id of a delivery: a function of the event and the recipient, whose queue it names."""
    return f"dlv_{recipient}_{hashlib.blake2b(event_id.encode(), digest_size=10).hexdigest()}"
