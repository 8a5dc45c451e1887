"""When does a person want to be told of something: at once, once a day, or never?

A person is an address in one role: an admin agent (or the root user) of one partner, or a contact of customers.
What they chose is kept where the registrations are (`slot`), so that whoever plans or sends has it at hand. Some
mails cannot be chosen: the one by which a transfer is accepted, and those without which an endpoint's deliveries
would end unseen. Pure: `now` comes in as an argument.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec.structs import replace

from relay.closed import EventType, SkipReason, When
from relay.deadlines import REMINDER
from relay.model import Delivery, Recipient, Record, Skip
from relay.people import daily_id, delivery_id, is_daily

RECOVERED, BOUNCED = "endpoint.recovered", "agent.bounced"
CHOOSABLE: tuple[str, ...] = (*(type_.value for type_ in EventType), REMINDER, RECOVERED, BOUNCED)
"""The types of mails that a person may choose about."""
ALWAYS: tuple[str, ...] = ("endpoint.warned", "endpoint.disabled")
"""Those that come in any case."""
DAILY = "daily"
"""In the place of a type, in a link: all that comes once a day."""

_SHARDS = 256


class Preferences(Record, frozen=True, kw_only=True):
    """What one person chose. A type that is not in `types` comes at once; `daily_hour` (0 to 23) and `timezone`
    (IANA) say when the daily mail comes, None the operator's hour and the zone of the person's language. All times in
    their mails are in that zone."""

    types: dict[str, When] = msgspec.field(default_factory=dict)
    daily_hour: int | None = None
    timezone: str | None = None
    updated_at_ms: int = 0


UNSAID = Preferences()
"""Who chose nothing."""


def slot(partner: str | None, email: str) -> str:
    """Among whose registrations an address's choices are: its partner's; a customer's contact has no partner, and
    is among those of a share of all addresses. No partner's id holds a space."""
    if partner is not None:
        return partner
    return f" customers {zlib.crc32(email.casefold().encode()) % _SHARDS:02x}"


def slot_of(to: Recipient) -> str:
    """The same of a recipient; an endpoint's partner too."""
    return to.partner or slot(None, to.email or "")


def chosen(known: Mapping[str, Preferences], email: str | None) -> Preferences:
    """What a person chose. `known` is by casefolded address, of the person's slot."""
    return known.get((email or "").casefold(), UNSAID) if known else UNSAID


def may_choose(type_: str, *, root: bool) -> bool:
    """Whether mails of this type can be done without. `root`: to a SIM target's root user, who accepts by it."""
    return type_ in CHOOSABLE and not (root and type_ == EventType.CREATED)


def when(known: Mapping[str, Preferences], to: Recipient, type_: str) -> When:
    """When this recipient wants to be told of this type."""
    if not known or not may_choose(type_, root=to.is_root):
        return When.AT_ONCE
    return chosen(known, to.email).types.get(type_, When.AT_ONCE)


def as_chosen(known: Mapping[str, Preferences], to: Recipient, type_: str) -> Recipient | None:
    """The recipient as this person wants to be told of this type; None where they do not."""
    wanted = when(known, to, type_)
    if wanted is When.DAILY and to.email is not None:
        return replace(to, id=daily_id(to.partner, to.email))
    return None if wanted is When.NEVER else to


def wanted(
    deliveries: Iterable[Delivery], known: Mapping[str, Preferences]
) -> tuple[list[Delivery], list[Skip]]:
    """Those of a notice's mails that their readers want, each to where they want it, and who is not told. `known` are
    the choices of the partner's people."""
    made: list[Delivery] = []
    skips: list[Skip] = []
    for one in deliveries:
        planned = one.recipient
        to = as_chosen(known, planned, one.type)
        if to is None:
            reason, partner = SkipReason.MUTED, planned.partner
            skips.append(
                Skip(audience=planned.audience, channel=planned.channel, reason=reason, partner=partner, email=planned.email)
            )
        else:
            made.append(replace(one, id=delivery_id(to.id, one.event_id), recipient=to))
    return made, skips


def without(before: Preferences, type_: str, now_ms: int) -> Preferences:
    """After one click in a mail of this type, or of the daily one: no more of it."""
    gone = [one for one, at in before.types.items() if at is When.DAILY] if type_ == DAILY else [type_]
    types = before.types | dict.fromkeys(gone, When.NEVER)
    return replace(before, types=types, updated_at_ms=now_ms)


def daily_ms(since_ms: int, hour: int, zone: ZoneInfo) -> int:
    """The first moment after `since_ms` at which the clocks in `zone` show `hour`; where they skip that hour, when
    they would have shown it. Unix milliseconds."""
    since = datetime.fromtimestamp(since_ms / 1000, UTC)
    at = since.astimezone(zone).replace(hour=hour, minute=0, second=0, microsecond=0, fold=0)
    while (moment := at.astimezone(UTC)) <= since:
        at += timedelta(days=1)
    return round(moment.timestamp() * 1000)


def may_go_ms(known: Mapping[str, Preferences], delivery: Delivery, hour: int, zone: ZoneInfo) -> int:
    """When a delivery that is for once a day may go, at the earliest: at the person's hour after it was planned. `hour`
    and `zone` are for who chose none."""
    mine = chosen(known, delivery.recipient.email)
    if not is_daily(delivery.recipient.id) or when(known, delivery.recipient, delivery.type) is not When.DAILY:
        return delivery.created_at_ms
    return daily_ms(
        delivery.created_at_ms,
        hour if mine.daily_hour is None else mine.daily_hour,
        _zone_of(mine, zone),
    )


def _zone_of(mine: Preferences, usual: ZoneInfo) -> ZoneInfo:
    try:
        return ZoneInfo(mine.timezone) if mine.timezone else usual
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return usual  # it was there when it was chosen: another machine, or another year's tables
