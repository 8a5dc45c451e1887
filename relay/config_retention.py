"""What has the operator set about how long things are kept?"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from relay.fields import span_ms, span_or_none


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
