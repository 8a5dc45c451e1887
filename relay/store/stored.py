"""What is kept in the database, record by record?

The JSON that the store writes and reads back, as types: a transfer's standing, its steps and their plans,
the lines of an activity log. What stands at its default is not written. Times are Unix milliseconds.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from relay.lifecycle import Standing
from relay.model import Audience, Channel, Delivery, EventType, Kind, Record, Skip, Status
from relay.plan import Told

R = TypeVar("R", bound=Record)

dump = msgspec.json.Encoder().encode
"""A record as the bytes that are kept."""


class Held(Record, frozen=True, kw_only=True, rename={"moved": "moved_ns"}):
    """A transfer's standing, with what the door and the planner need beside it. `moved` is text:
    nanoseconds of the year 2600 do not fit in 64 bits."""

    id: str
    kind: Kind
    status: Status
    moved: str
    sequence: int
    current: int
    source: str
    target: str
    source_id: str
    target_id: str
    customer: str
    created_ms: int
    updated_ms: int
    producer: str | None = None
    derived: bool = False
    before: Status | None = None

    @property
    def moved_ns(self) -> int:
        """The `occurred_at` of the last applied event, in nanoseconds since the epoch."""
        return int(self.moved)

    @property
    def standing(self) -> Standing:
        """The part that the lifecycle judges."""
        return Standing(self.kind, self.status, int(self.moved), self.derived, self.before)


class AcceptedStep(Record, frozen=True, kw_only=True):
    """One accepted event in its transfer's timeline. `link`: it brought an acceptance link."""

    sequence: int
    event_id: str
    type: EventType
    occurred_at: str
    accepted_at_ms: int
    producer: str | None
    late: bool = False
    repeat: bool = False
    derived: bool = False
    gap: bool = False
    actor_role: str | None = None
    link: bool = False


class FixedPlan(Record, frozen=True, kw_only=True):
    """A plan as it was fixed. `unordered` names the deliveries that keep no order, `unknown` the audiences
    whose party was not registered."""

    deliveries: list[Delivery] = msgspec.field(default_factory=list)
    unordered: list[str] = msgspec.field(default_factory=list)
    skips: list[Skip] = msgspec.field(default_factory=list)
    activity: list[Told] = msgspec.field(default_factory=list)
    feed: list[Told] = msgspec.field(default_factory=list)
    unknown: list[Audience] = msgspec.field(default_factory=list)


class Addressee(Record, frozen=True, kw_only=True):
    """As much of a recipient as a log says."""

    audience: Audience
    channel: Channel
    partner: str | None = None
    endpoint: str | None = None
    email: str | None = None


class Named(Record, frozen=True):
    """As much of a delivery as a log says."""

    id: str
    recipient: Addressee


class Activity(Record, frozen=True, kw_only=True):
    """One line of a partner's activity log.

    `type` is an event type, or the relay's own (`endpoint.disabled`, …). `told` are this partner's own
    recipients; `customer_told` is a count, the same for both partners.
    """

    id: str
    type: str
    at_ms: int
    audit: bool = False
    role: Audience | None = None
    event_id: str | None = None
    occurred_at: str | None = None
    sequence: int | None = None
    late: bool = False
    derived: bool = False
    transfer: str | None = None
    kind: Kind | None = None
    status: Status | None = None
    customer_id: str | None = None
    customer_name: str | None = None
    endpoint: str | None = None
    note: str | None = None
    told: list[Named] = msgspec.field(default_factory=list)
    skips: list[Skip] = msgspec.field(default_factory=list)
    customer_told: int = 0


def named(delivery: Delivery) -> Named:
    """A delivery as a log names it."""
    to = delivery.recipient
    return Named(
        delivery.id,
        Addressee(
            audience=to.audience, channel=to.channel, partner=to.partner, endpoint=to.endpoint, email=to.email
        ),
    )


def reader(kind: type[R]) -> msgspec.json.Decoder[R]:
    """What reads such records back. Raises msgspec.DecodeError."""
    return msgspec.json.Decoder(kind)
