"""What do the answers about transfers, the activity log and the feed look like?

As in relay.api.shapes.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from relay.api.shapes import Shape, Time
from relay.model import Audience, Channel, DeliveryStatus, Kind, SkipReason, Status


class ToldShape(Shape):
    """Somebody who is told. `status` and `reason` are those of the delivery by now: who is `canceled` was not told after
    all. Both are null when its records are no longer kept."""

    delivery: str
    audience: Audience
    channel: Channel
    partner: str | None
    endpoint: str | None
    email: str | None
    status: DeliveryStatus | None
    reason: str | None


class SkippedShape(Shape):
    """Somebody who might have been told and was not."""

    audience: Audience
    channel: Channel
    reason: SkipReason
    partner: str | None
    endpoint: str | None
    email: str | None


class TimelineShape(Shape):
    """One accepted event of a transfer. `told` and `skipped` are the caller's own; the operator sees all."""

    sequence: int
    event_id: str
    type: str
    occurred_at: Time
    accepted_at: Time
    late: bool
    repeat: bool
    derived: bool
    gap: bool
    actor_role: str | None
    told: list[ToldShape]
    customer_told: int
    skipped: list[SkippedShape]


class RefusalShape(Shape):
    """An event that the lifecycle did not allow."""

    event_id: str
    type: str
    occurred_at: Time
    refused_at: Time
    status: Status
    reason: str


class TransferShape(Shape):
    """A transfer as this role may see it: the members of the webhook's `transfer`, and these."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: str
    kind: Kind
    status: Status
    role: Audience | None = Field(description="The caller's role; null for the operator.")
    sequence: int
    derived: bool
    updated_at: Time


class TransferDetailShape(TransferShape):
    """A transfer with its timeline."""

    timeline: list[TimelineShape]
    refusals: list[RefusalShape]


class CustomerShape(Shape):
    """Whose the transfer is."""

    id: str | None
    name: str | None


class ActivityShape(Shape):
    """One line of a partner's activity log."""

    id: str
    type: str
    at: Time
    audit: bool
    role: Audience | None
    event_id: str | None
    occurred_at: Time | None
    sequence: int | None
    late: bool
    derived: bool
    transfer: str | None
    kind: Kind | None
    status: Status | None
    customer: CustomerShape | None
    endpoint: str | None
    note: str | None
    told: list[ToldShape]
    skipped: list[SkippedShape]
    customer_told: int


class FeedItemShape(Shape):
    """What a webhook would have carried, with the event's id and the cursor behind it."""

    id: str
    type: str
    timestamp: Time
    data: dict[str, Any]
    cursor: str
