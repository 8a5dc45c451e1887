"""Who is told what, by which channel, and who is not, for what reason?

One accepted event, the policy and the registrations give a `Plan`: the deliveries to make, what each
audience is shown, what the activity logs record, and a named skip reason for everyone who might have
been told and was not. Pure. A delivery's id is a function of the event and the recipient, so whatever
plans twice plans the same deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import msgspec

from relay import formats, view
from relay.model import (
    Audience,
    CancelReason,
    Channel,
    Delivery,
    Endpoint,
    Event,
    EventType,
    Kind,
    Partner,
    Recipient,
    Record,
    Skip,
    SkipReason,
    WebhookFormat,
    When,
)
from relay.people import delivery_id, is_daily, mailbox_id, people
from relay.preferences import Preferences, as_chosen, slot_of, when
from relay.readers import Reader

PARTNERS = (Audience.SOURCE, Audience.TARGET, Audience.RESELLER)
"""The audiences that are organisations and may be registered with the relay."""
_NO_ORIGINS: Mapping[WebhookFormat, str] = {}
_POSSIBLE: tuple[tuple[Audience, Channel], ...] = (
    (Audience.SOURCE, Channel.WEBHOOK),
    (Audience.TARGET, Channel.WEBHOOK),
    (Audience.SOURCE, Channel.EMAIL),
    (Audience.TARGET, Channel.EMAIL),
    (Audience.CUSTOMER, Channel.EMAIL),
    (Audience.SOURCE, Channel.ACTIVITY),
    (Audience.TARGET, Channel.ACTIVITY),
)
"""Who might be told by what, whatever the policy; the reseller only where the policy names it."""


class Row(Protocol):
    """One row of the policy: who is told of one type by each channel, and whose record is an audit record."""

    @property
    def webhook(self) -> tuple[Audience, ...]: ...
    @property
    def email(self) -> tuple[Audience, ...]: ...
    @property
    def activity(self) -> tuple[Audience, ...]: ...
    @property
    def audit(self) -> tuple[Audience, ...]: ...


@dataclass(frozen=True, slots=True)
class Registered:
    """What a party has registered: None and nothing where it is unknown. `preferences` are what its people chose,
    by their casefolded addresses."""

    partner: Partner | None
    endpoints: Mapping[str, Endpoint]
    preferences: Mapping[str, Preferences] = field(default_factory=dict)


_Party = tuple[str | None, Registered | None]
"""Under which id an audience's organisation is registered, if it has one, and what that has registered."""


class Step(msgspec.Struct, frozen=True):
    """The event as it was accepted."""

    event: Event
    sequence: int
    accepted_at_ms: int
    late: bool = False
    repeat: bool = False
    derived: bool = False
    gap: bool = False
    has_link: bool = False


class Told(Record, frozen=True):
    """A partner whose activity log or feed records the event; `audit` marks an audit record."""

    audience: Audience
    partner: str
    audit: bool = False


@dataclass(slots=True)
class Plan:
    """The outcome. `bodies` holds each audience's view once; `lanes` the deliveries that keep order;
    `unknown` the audiences whose party is not registered."""

    deliveries: list[Delivery] = field(default_factory=list)
    unordered: set[str] = field(default_factory=set)
    bodies: dict[Audience, bytes] = field(default_factory=dict)
    activity: list[Told] = field(default_factory=list)
    feed: list[Told] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    unknown: list[Audience] = field(default_factory=list)


def tells_nobody() -> Plan:
    """The plan of an event that cannot be planned: it tells nobody, and says so of everyone."""
    unplannable = SkipReason.UNPLANNABLE
    return Plan(skips=[Skip(audience=who, channel=way, reason=unplannable) for who, way in _POSSIBLE])


def party_key(audience: Audience, event: Event) -> str | None:
    """The casefolded id under which an audience's organisation is registered, if it has one."""
    transfer = event.transfer
    if audience is Audience.SOURCE:
        return transfer.source.id.casefold()
    if audience is Audience.TARGET:
        return transfer.target.id.casefold()
    if audience is Audience.RESELLER and transfer.reseller is not None:
        return transfer.reseller.id.casefold()
    return None


def plan(
    step: Step,
    *,
    row: Row,
    registered: Mapping[str, Registered],
    default_locale: str,
    derived_email: bool = False,
    only: Audience | None = None,
    by: Channel | None = None,
    origins: Mapping[WebhookFormat, str] = _NO_ORIGINS,
) -> Plan:
    """Who is told of this step. `only` limits it to one audience that is told afterwards, `by` that to
    the one channel that it did not have. `origins` is who each format names as its sender."""
    made, parties = Plan(), dict[Audience, _Party]()
    for audience, channel, is_told, untold in _told(row.webhook, row.email, row.activity):
        if (only is not None and only is not audience) or (by is not None and by is not channel):
            continue
        if not is_told:
            made.skips.append(untold)
        elif (reason := _hindrance(step, channel, derived_email=derived_email)) is not None:
            made.skips.append(Skip(audience=audience, channel=channel, reason=reason))
        else:
            party = parties.get(audience)
            if party is None:
                key = party_key(audience, step.event)
                party = parties[audience] = (key, registered.get(key) if key is not None else None)
            _tell(made, step, audience, party, channel, row, registered, default_locale, origins)
    shown = {d.recipient.audience: None for d in made.deliveries} | {f.audience: None for f in made.feed}
    if shown:
        made.bodies = view.messages(
            shown,
            step.event,
            sequence=step.sequence,
            late=step.late,
            derived=step.derived,
            gap=step.gap,
        )
    return made


@lru_cache(maxsize=256)
def _told(
    webhook: tuple[Audience, ...], email: tuple[Audience, ...], activity: tuple[Audience, ...]
) -> tuple[tuple[Audience, Channel, bool, Skip], ...]:
    """Every audience and channel that a policy row answers for, whether it tells them, and how it says not."""
    told = {
        (audience, channel): True
        for channel, audiences in (
            (Channel.WEBHOOK, webhook), (Channel.EMAIL, email), (Channel.ACTIVITY, activity)
        )
        for audience in audiences
    }  # fmt: skip
    return tuple(
        (audience, channel, is_told, Skip(audience=audience, channel=channel, reason=SkipReason.POLICY))
        for (audience, channel), is_told in (dict.fromkeys(_POSSIBLE, False) | told).items()
    )


def _hindrance(step: Step, channel: Channel, *, derived_email: bool) -> SkipReason | None:
    """Why this step is told to nobody by this channel, whoever it is."""
    if step.repeat:
        return SkipReason.REPEAT
    if channel is Channel.EMAIL and step.late:
        return SkipReason.LATE
    if channel is Channel.EMAIL and step.derived and not derived_email:
        return SkipReason.DERIVED
    return None


def _tell(
    made: Plan,
    step: Step,
    audience: Audience,
    party: _Party,
    channel: Channel,
    row: Row,
    registered: Mapping[str, Registered],
    default_locale: str,
    origins: Mapping[WebhookFormat, str],
) -> None:
    key, known = party
    partner = known.partner if known is not None else None
    sim_root = (
        channel is Channel.EMAIL
        and audience is Audience.TARGET
        and step.event.transfer.kind is Kind.SIM
        and step.event.transfer.target.email is not None
    )
    if audience is Audience.RESELLER and key is None:
        made.skips.append(Skip(audience=audience, channel=channel, reason=SkipReason.NO_RESELLER))
        return
    if key is not None and partner is None:
        made.skips.append(
            Skip(audience=audience, channel=channel, reason=SkipReason.PARTNER_UNKNOWN, partner=key)
        )
        if audience not in made.unknown:
            made.unknown.append(audience)
        if not sim_root:
            return
    match channel:
        case Channel.ACTIVITY:
            if key is not None:
                made.activity.append(Told(audience, key, audience in row.audit))
        case Channel.WEBHOOK:
            if known is not None and key is not None:
                made.feed.append(Told(audience, key))
                _webhooks(made, step, audience, key, known.endpoints.values(), origins)
        case Channel.EMAIL:
            _emails(made, step, audience, key, partner, default_locale, registered)


def _webhooks(
    made: Plan,
    step: Step,
    audience: Audience,
    partner: str,
    endpoints: Iterable[Endpoint],
    origins: Mapping[WebhookFormat, str],
) -> None:
    found = False
    for endpoint in endpoints:
        found = True
        reason = unwanted(endpoint, step.event, audience)
        if reason is not None:
            made.skips.append(
                Skip(
                    audience=audience,
                    channel=Channel.WEBHOOK,
                    reason=reason,
                    partner=partner,
                    endpoint=endpoint.id,
                )
            )
            continue
        to = Recipient(
            id=endpoint.id,
            channel=Channel.WEBHOOK,
            audience=audience,
            partner=partner,
            endpoint=endpoint.id,
            format=endpoint.format,
            origin=origins.get(endpoint.format, ""),
        )
        made.deliveries.append(_delivery(step, to))
        if endpoint.ordering == "none":
            made.unordered.add(made.deliveries[-1].id)
    if not found:
        made.skips.append(
            Skip(audience=audience, channel=Channel.WEBHOOK, reason=SkipReason.NO_ENDPOINT, partner=partner)
        )


def unwanted(endpoint: Endpoint, event: Event, audience: Audience) -> SkipReason | None:
    """Why an endpoint does not get this event; None when it does."""
    if endpoint.event_types is not None and event.type not in endpoint.event_types:
        return SkipReason.TYPE_NOT_SUBSCRIBED
    if not formats.has_word_for(endpoint.format, event):
        return SkipReason.NO_SUCH_EVENT
    limits = endpoint.filter
    if not (limits.role or limits.kind or limits.customer) and limits.product_types is None:
        return None
    transfer = event.transfer
    customer = (transfer.customer.id if transfer.customer is not None else None) or ""
    asked = frozenset(transfer.product_types or ())
    fits = (
        (limits.role is None or limits.role == audience)
        and (limits.kind is None or limits.kind is transfer.kind)
        and (limits.customer is None or limits.customer.casefold() == customer.casefold())
        # A transfer that names no product types may move any of them.
        and (limits.product_types is None or not asked or bool(asked & frozenset(limits.product_types)))
    )
    return None if fits else SkipReason.FILTERED


def _emails(
    made: Plan,
    step: Step,
    audience: Audience,
    key: str | None,
    partner: Partner | None,
    default_locale: str,
    registered: Mapping[str, Registered],
) -> None:
    event = step.event
    found = people(event.transfer, audience, partner)
    if not found:
        nobody = SkipReason.NO_CONTACT if audience is Audience.CUSTOMER else SkipReason.NO_ADMIN_AGENT
        made.skips.append(Skip(audience=audience, channel=Channel.EMAIL, reason=nobody, partner=key))
    seen: set[str] = set()
    for one in found:
        to = Recipient(
            id=mailbox_id(audience, key, one.email),
            channel=Channel.EMAIL,
            audience=audience,
            partner=key if audience is not Audience.CUSTOMER else None,
            email=one.email,
            name=one.name,
            locale=one.locale or (partner.locale if partner is not None else None) or default_locale,
            is_root=one.is_root,
            with_link=one.is_root and step.has_link and event.type is EventType.CREATED,
        )
        twice = one.email.casefold() in seen
        seen.add(one.email.casefold())
        wanted = None if twice else as_chosen(_chosen(registered, to), to, event.type)
        if wanted is None:
            reason = SkipReason.DUPLICATE_ADDRESS if twice else SkipReason.MUTED
            skip = Skip(audience=audience, channel=Channel.EMAIL, reason=reason, partner=key, email=one.email)
            made.skips.append(skip)
            continue
        made.deliveries.append(_delivery(step, wanted))
        if is_daily(wanted.id):
            made.unordered.add(made.deliveries[-1].id)


def _chosen(registered: Mapping[str, Registered], to: Recipient) -> Mapping[str, Preferences]:
    """What the people around this one chose."""
    known = registered.get(slot_of(to))
    return {} if known is None else known.preferences


def _delivery(step: Step, to: Recipient) -> Delivery:
    return Delivery(
        id=delivery_id(to.id, step.event.id),
        event_id=step.event.id,
        type=step.event.type,
        transfer=step.event.transfer.id,
        transfer_key=step.event.transfer_key,
        sequence=step.sequence,
        created_at_ms=step.accepted_at_ms,
        recipient=to,
    )


def still_wanted(
    delivery: Delivery, registered: Registered, reader: Reader | None = None
) -> CancelReason | None:
    """Why a planned delivery is not sent after all, asked before each attempt; None when it is. `registered` is of the
    recipient's slot (`relay.preferences`), `reader` is how things stand with a mailbox."""
    to = delivery.recipient
    if reader is not None and reader.suppressed is not None:
        return CancelReason.SUPPRESSED
    if registered.preferences and when(registered.preferences, to, delivery.type) is When.NEVER:
        return CancelReason.MUTED
    if to.audience is Audience.CUSTOMER or to.is_root:
        return None
    if registered.partner is None:
        return CancelReason.PARTNER_REMOVED
    if to.channel is Channel.EMAIL:
        agents = {agent.email.casefold() for agent in registered.partner.admin_agents}
        return None if (to.email or "").casefold() in agents else CancelReason.RECIPIENT_REMOVED
    endpoint = registered.endpoints.get(to.endpoint or "")
    if endpoint is None:
        return CancelReason.ENDPOINT_REMOVED
    if endpoint.event_types is not None and delivery.type not in endpoint.event_types:
        return CancelReason.TYPE_NOT_SUBSCRIBED
    return None
