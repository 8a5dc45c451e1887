"""What does a CloudEvent look like that is posted as an event, for the OpenAPI document?

`relay.cloud_events` reads them; this only describes what it takes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from relay.cloud_events import BATCH, STRUCTURED
from relay.model import MOVES_TO, Actor, EventId, Timestamp, Transfer

_TYPES = "|".join(type_.value.removeprefix("transfer.") for type_ in MOVES_TO)


class CloudEventData(BaseModel):
    """What an event has beside its id, its type and its time."""

    actor: Actor | None = None
    transfer: Transfer


class CloudEvent(BaseModel):
    """An event as a CloudEvent 1.0. `type` may have the producer's name in front (`com.contoso.transfer.created`);
    `time` is when it happened; `subject`, where it is given, the transfer's id. Extensions are ignored."""

    specversion: Literal["1.0"]
    id: EventId
    source: Annotated[str, Field(min_length=1)]
    type: Annotated[str, Field(pattern=rf"^([A-Za-z0-9-]+\.)*transfer\.({_TYPES})$")]
    time: Timestamp
    subject: str | None = None
    datacontenttype: Literal["application/json"] = "application/json"
    data: CloudEventData


__all__ = ["BATCH", "STRUCTURED", "CloudEvent"]
