"""What has the operator set about how long things are kept?"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from relay.fields import span_ms, span_or_none

LISTED_MS = 60_000
"""What was accepted longer ago than this is listed, or was noted as late: sooner, nothing leaves for its number."""
_PLANNING_MS = 30_000
"""Planning takes no longer than this from when it says what is late: it may wait for a database that is away."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Age(_Section):
    """How long one kind of record is kept; an empty `age` is for ever."""

    age: Annotated[str, AfterValidator(span_or_none)]

    @property
    def age_ms(self) -> int | None:
        """The age in milliseconds; None for ever."""
        return span_ms(self.age) if self.age else None


class Kept(Age):
    """How long, and how many at most; 0 is any number."""

    most: Annotated[int, Field(ge=0)]


class RetentionSection(_Section):
    """`[retention]`"""

    bodies: Kept
    feed: Kept
    delivered: Kept
    canceled: Kept
    exhausted: Kept
    refusals: Kept
    transfers: Kept
    activity: Kept
    event_ids: Age
    archive: str
    events_per_second: Annotated[int, Field(ge=0)]

    @property
    def late_ms(self) -> int | None:
        """How long after its acceptance an event that is planned may have been passed by, by what walks behind the
        list of events, in milliseconds; None for never."""
        kinds = [self.bodies, self.feed, self.delivered, self.canceled, self.exhausted, self.refusals, self.transfers]
        times = [kind.age_ms for kind in kinds if kind.age_ms is not None]
        if any(kind.most for kind in kinds):
            times.append(LISTED_MS)
        if not times or not self.events_per_second:
            return None
        return min(min(times) // 2, max(0, min(times) - _PLANNING_MS))
