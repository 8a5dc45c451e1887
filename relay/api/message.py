"""What does the body of a webhook look like, as a schema and as an example?

The schema covers every role: what one role does not see is absent for it, so that only what everybody
sees is required. The examples are made by `relay.view`, which makes the bodies that are sent.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, Field

from relay import view
from relay.model import PING, Audience, Event, EventType, Kind, ProductType, Status

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class PartySeen(BaseModel):
    """An organisation. `email` is a SIM target's root user."""

    id: str
    name: str
    tenant_id: str = ""
    email: str = ""


class ResellerSeen(BaseModel):
    """The indirect reseller behind an indirect provider."""

    id: str
    name: str = ""


class ContactSeen(BaseModel):
    """A person of the customer; shown to the target, which named them."""

    email: str
    name: str = ""
    locale: str = ""


class CustomerSeen(BaseModel):
    """Whose the subscriptions are."""

    id: str = ""
    name: str = ""
    contacts: list[ContactSeen] = []


class ErrorSeen(BaseModel):
    """Why an item did not move."""

    code: str = ""
    message: str = ""


class ItemSeen(BaseModel):
    """A subscription or a SIM. To the target, `id` is the new id and only completed items are there."""

    id: str = ""
    name: str = ""
    product_type: str = ""
    quantity: int = 0
    status: str = ""
    error: ErrorSeen | None = None
    imsi: str = ""
    iccid: str = ""
    sim_id: str = ""


class TransferSeen(BaseModel):
    """The transfer as this role may see it."""

    id: str
    kind: Kind
    status: Status
    created_at: Time
    expires_at: Time = ""
    source: PartySeen
    target: PartySeen
    reseller: ResellerSeen = ResellerSeen(id="")
    customer: CustomerSeen = CustomerSeen()
    product_types: list[ProductType] = Field(default=[], description="Empty: all of them.")
    replaces: str = Field(default="", description="The transfer that this one asks again for.")
    effective_on: str = Field(default="", json_schema_extra={"format": "date"})
    items: list[ItemSeen]


class ActorSeen(BaseModel):
    """The person who acted; `email` to their own partner only."""

    role: str = ""
    email: str = ""


class MessageData(BaseModel):
    """`sequence` counts a transfer's events from 1; an endpoint's filter leaves gaps."""

    role: Literal["source", "target", "reseller"]
    sequence: Annotated[int, Field(ge=1)]
    late: bool = Field(description="A step that was told after the one that followed it.")
    derived: bool = Field(description="What the relay concluded itself; a producer's event may replace it.")
    gap: bool = Field(default=False, description="A step before this one was not posted.")
    actor: ActorSeen = ActorSeen()
    transfer: TransferSeen


class Message(BaseModel):
    """The body of a webhook."""

    type: str
    timestamp: Time
    data: MessageData


ABOUT: dict[str, str] = {
    EventType.CREATED: "A transfer was asked for; it waits for the one who is to accept it.",
    EventType.UPDATED: "It was accepted and submitted, and is in progress.",
    EventType.COMPLETED: "Everything has moved.",
    EventType.PARTIALLY_COMPLETED: "Some of it has moved; the source can try the rest again.",
    EventType.FAILED: "It did not move, or no more of it will.",
    EventType.EXPIRED: "Nobody answered within 30 days.",
    EventType.CANCELED: "It was called off: by the target for subscriptions, by the source for SIMs.",
    EventType.STALLED: "It has been in progress for 72 hours; concluded by the relay, and moves nothing.",
}


def kinds_of(type_: EventType) -> list[Kind]:
    """Which transfers know this type."""
    return [Kind.SUBSCRIPTION] if type_ is EventType.EXPIRED else list(Kind)


def schema(type_: EventType) -> dict[str, Any]:
    """JSON Schema (2020-12) of the webhook body of one type, complete in itself."""
    made: dict[str, Any] = _without_defaults(Message.model_json_schema())
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = type_.value
    made["description"] = ABOUT[type_]
    made["properties"]["type"] = {"const": type_.value}
    return made


def example(type_: EventType) -> dict[str, Any]:
    """A body of this type, as the target of a subscription transfer is sent it."""
    status = _STATUS.get(type_, Status.IN_PROGRESS)
    posted: dict[str, Any] = json.loads(_POSTED)
    posted |= {"id": "evt-2f6c1", "type": type_.value}
    posted["transfer"]["status"] = status.value
    if status in (Status.COMPLETED, Status.PARTIALLY_COMPLETED):
        result = "9b1c0a52-6f0e-4c1e-8f59-2a1b7a5f3d10"
        posted["transfer"]["items"][0] |= {"status": "completed", "result_id": result}
    event = Event.model_validate(posted)
    body = view.message(Audience.TARGET, event, sequence=_SEQUENCE.get(type_, 3), late=False,
                        derived=type_ is EventType.STALLED, gap=False)  # fmt: skip
    made: dict[str, Any] = orjson.loads(body)
    return made


def ping_schema() -> dict[str, Any]:
    """JSON Schema of the body that `…/test` sends."""
    return {
        "type": "object",
        "title": PING,
        "description": "A test that somebody asked for; it is about no transfer.",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": PING},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"type": "object"},
        },
    }


_STATUS = {
    EventType.CREATED: Status.PENDING,
    EventType.COMPLETED: Status.COMPLETED,
    EventType.PARTIALLY_COMPLETED: Status.PARTIALLY_COMPLETED,
    EventType.FAILED: Status.FAILED,
    EventType.EXPIRED: Status.EXPIRED,
    EventType.CANCELED: Status.CANCELED,
}
_SEQUENCE = {EventType.CREATED: 1, EventType.UPDATED: 2, EventType.EXPIRED: 2, EventType.CANCELED: 2}
_POSTED = """{
  "occurred_at": "2026-11-21T01:02:03.456789Z",
  "actor": {"role": "admin_agent"},
  "transfer": {
    "id": "43fb1d3a-79fe-45a9-863e-9a4acf17b630",
    "kind": "subscription",
    "created_at": "2026-11-20T01:02:03Z",
    "expires_at": "2026-12-20T01:02:03Z",
    "source": {"id": "contoso", "name": "Contoso"},
    "target": {"id": "fabrikam", "name": "Fabrikam"},
    "customer": {"id": "relecloud", "name": "Relecloud",
                 "contacts": [{"email": "it@relecloud.example", "name": "Mori", "locale": "ja"}]},
    "product_types": ["online_services_nce"],
    "items": [{"id": "2fafdd44-9c54-4a55-8a5c-2d1c1d1f8a77", "name": "Microsoft 365 E3",
               "product_type": "online_services_nce", "quantity": 25, "status": "in_progress"}]
  }
}"""


def _without_defaults(value: Any) -> Any:
    """A default in a model here only says that the member may be absent; it is never assumed."""
    if isinstance(value, dict):
        return {key: _without_defaults(one) for key, one in value.items() if key not in ("default", "title")}
    if isinstance(value, list):
        return [_without_defaults(one) for one in value]
    return value
