"""What does the store hand out?

The shapes that reading gives, for the API, the portal and the engine. What is written is in
`relay.model`; here are the joins of it. All times are Unix milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from relay.model import (
    Attempt,
    Audience,
    CancelReason,
    Channel,
    Delivery,
    DeliveryStatus,
    EventType,
    Kind,
    Skip,
    SkipReason,
    Status,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next` is the cursor of the next page, or None at the end."""

    data: list[T]
    next: str | None


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """A delivery as the plan names it: who is told, by which channel."""

    id: str
    audience: Audience
    channel: Channel
    partner: str | None = None
    endpoint: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One accepted event of a transfer. `planned` is False until the fan-out has run."""

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
    planned: bool = False
    deliveries: list[PlannedDelivery] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that was answered 409 because the lifecycle does not allow it."""

    event_id: str
    type: EventType
    occurred_at: str
    refused_at_ms: int
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class TransferRecord:
    """A transfer as the relay knows it. `transfer` is the stored JSON of the last applied event's
    transfer object, without its acceptance link; show it only through `relay.view`."""

    key: str
    id: str
    kind: Kind
    status: Status
    sequence: int
    derived: bool
    producer: str | None
    source_key: str
    target_key: str
    created_at_ms: int
    updated_at_ms: int
    transfer: dict[str, Any]
    timeline: list[TimelineEntry]
    refusals: list[Refusal]


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery with its whole life so far. `held`: pending, but its endpoint is disabled or its
    breaker is open. `reason` says why it was canceled or exhausted. Not `kept`: what it carried has left."""

    delivery: Delivery
    status: DeliveryStatus
    held: bool
    attempts: list[Attempt]
    next_attempt_at_ms: int | None
    settled_at_ms: int | None
    reason: CancelReason | str | None
    kept: bool = True


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One line of a partner's pull feed: where its body is, and the cursor after it."""

    cursor: str
    transfer_key: str
    sequence: int
    audience: Audience
    event_id: str


__all__ = [
    "DeliveryRecord",
    "FeedEntry",
    "Page",
    "PlannedDelivery",
    "Refusal",
    "SkipReason",
    "TimelineEntry",
    "TransferRecord",
]
