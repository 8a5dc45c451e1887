"""What are the things the relay speaks of?

The nouns of the public contract, each once: what a producer posts (`Event` and its parts), who is
registered (`Partner`, `Endpoint`, …), what is owed and what was tried (`Delivery`, `Attempt`), and the
closed lists that describe them. Data only: no I/O, no clock, no policy.

Everything is frozen. What comes from outside is a pydantic model, which says all that is wrong with it;
what only the relay itself writes and reads back is a msgspec record, which costs a tenth. Fields that a
producer may leave out are `None`; unknown fields are ignored here and kept in the stored body, which is
passed on to nobody.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from relay.closed import (
    MOVES_TO,
    PING,
    Audience,
    CancelReason,
    Channel,
    DeliveryStatus,
    EndpointState,
    EventType,
    Kind,
    Outcome,
    ProductType,
    Scope,
    SkipReason,
    Status,
    TokenHolder,
    WebhookFormat,
    When,
)
from relay.forms import EventId, Identifier, Locale, Mailbox, Text, Timestamp, day, web_link
from relay.times import to_ns


class _Noun(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Stored(BaseModel):
    """A record of the relay's own: read back from JSON, where enums and tuples are plain."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# --- what a producer posts ------------------------------------------------------------------------


class Actor(_Noun):
    """The person who acted."""

    email: Mailbox | None = None
    role: Text | None = None


class Party(_Noun):
    """An organisation in a transfer. `email` is a SIM target's root user; `locale` that user's."""

    id: Identifier
    name: Text
    tenant_id: Text | None = None
    email: Mailbox | None = None
    locale: Locale | None = None


class Reseller(_Noun):
    """The indirect reseller behind an indirect provider."""

    id: Identifier
    name: Text | None = None


class Contact(_Noun):
    """A person of the customer, named in the transfer request."""

    email: Mailbox
    name: Text | None = None
    locale: Locale | None = None


class Customer(_Noun):
    """Whose the subscriptions are. `id` and `name` are required of a subscription transfer."""

    id: Identifier | None = None
    name: Text | None = None
    contacts: tuple[Contact, ...] = Field(default=(), max_length=100, strict=False)


class ItemError(_Noun):
    """Why one item did not move."""

    code: Annotated[str, StringConstraints(max_length=128)] | None = None
    message: Annotated[str, StringConstraints(max_length=4096)] | None = None


class Item(_Noun):
    """One thing that moves: a subscription (`id`, `product_type`, `quantity`, …) or a SIM (`imsi`, …).

    `status` is an open set: sources use statuses not known yet, and those pass through.
    """

    id: Identifier | None = None
    name: Text | None = None
    product_type: Text | None = None
    quantity: Annotated[int, Field(ge=0)] | None = None
    status: Text | None = None
    result_id: Identifier | None = None
    error: ItemError | None = None
    imsi: Identifier | None = None
    iccid: Identifier | None = None
    sim_id: Identifier | None = None


class Transfer(_Noun):
    """What moves from one party to another, as an event describes it (contract, section 2)."""

    id: Identifier
    kind: Annotated[Kind, Field(strict=False)]
    status: Annotated[Status, Field(strict=False)]
    created_at: Timestamp
    expires_at: Timestamp | None = None
    source: Party
    target: Party
    reseller: Reseller | None = None
    customer: Customer | None = None
    product_types: tuple[Annotated[ProductType, Field(strict=False)], ...] | None = Field(
        default=None, max_length=16, strict=False
    )
    replaces: Identifier | None = None
    items: tuple[Item, ...] | None = Field(default=None, max_length=2000, strict=False)
    acceptance_url: Annotated[
        str, StringConstraints(max_length=2048), AfterValidator(web_link)
    ] | None = None
    effective_on: Annotated[date, Field(strict=False), BeforeValidator(day)] | None = None


class Event(_Noun):
    """One state change of one transfer, as a producer posted it; immutable."""

    id: EventId
    type: Annotated[EventType, Field(strict=False)]
    occurred_at: Timestamp
    actor: Actor | None = None
    transfer: Transfer

    @property
    def occurred_ns(self) -> int:
        """When it happened, in nanoseconds since the epoch: what events are ordered by."""
        return to_ns(self.occurred_at)

    @property
    def transfer_key(self) -> str:
        """The transfer's id as it is compared: without regard to case."""
        return self.transfer.id.casefold()


# --- who is registered ------------------------------------------------------------------------------


class AdminAgent(_Stored):
    """A person of a partner who is told by e-mail."""

    email: Mailbox
    name: Text
    locale: Locale | None = None


class Partner(_Stored):
    """An organisation registered with the relay."""

    id: Identifier
    name: Text
    locale: Locale | None = None
    tenant_id: Text | None = None
    admin_agents: tuple[AdminAgent, ...] = ()
    created_at_ms: int
    updated_at_ms: int

    @property
    def key(self) -> str:
        """The partner's id as it is compared: without regard to case."""
        return self.id.casefold()


class EndpointFilter(_Stored):
    """Which of a partner's events an endpoint wants; what is absent does not limit."""

    role: Literal["source", "target"] | None = None
    kind: Kind | None = None
    product_types: tuple[ProductType, ...] | None = None
    customer: Identifier | None = None


class Secret(_Stored):
    """A signing secret, sealed (see relay.vault). `expires_at_ms` is set on the previous ones; `id` and
    `not_before_ms` are a producer's, who may have several that are not yet, or still, valid."""

    sealed: str
    created_at_ms: int
    expires_at_ms: int | None = None
    id: str = ""
    not_before_ms: int | None = None


class Endpoint(_Stored):
    """A URL that a partner registered, with its secrets, event types and state.

    `secrets` has the current one first. `headers` are sealed as one JSON object. `rate_limit` is
    requests a minute. `consent_origin` is who it agreed to hear from, where it was asked (`relay.consent`), and
    `allowed_rate` the requests a minute that it allowed then.
    """

    id: str
    partner: str
    url: str
    event_types: tuple[str, ...] | None = None
    filter: EndpointFilter = EndpointFilter()
    description: str = ""
    ordering: Literal["transfer", "none"] = "transfer"
    sealed_headers: str | None = None
    header_names: tuple[str, ...] = ()
    rate_limit: int | None = None
    format: WebhookFormat = WebhookFormat.STANDARD
    secrets: tuple[Secret, ...] = ()
    signing_key: Secret | None = None
    previous_signing_keys: tuple[Secret, ...] = ()
    consent_origin: str | None = None
    allowed_rate: int | None = None
    state: EndpointState = EndpointState.ENABLED
    disabled_reason: str | None = None
    disabled_at_ms: int | None = None
    created_at_ms: int
    updated_at_ms: int

    @property
    def signing_keys(self) -> tuple[Secret, ...]:
        """The key pairs that sign: the current one first, then those that do until they expire."""
        return () if self.signing_key is None else (self.signing_key, *self.previous_signing_keys)

    def disabled(self, reason: str, now_ms: int) -> Endpoint:
        """As it is from now on when it is not sent to; unchanged when it was disabled already."""
        if self.state is EndpointState.DISABLED:
            return self
        return self._switched(EndpointState.DISABLED, reason, now_ms, now_ms)

    def enabled(self, now_ms: int) -> Endpoint:
        """As it is from now on when it is sent to."""
        return self._switched(EndpointState.ENABLED, None, None, now_ms)

    def _switched(self, to: EndpointState, reason: str | None, at_ms: int | None, now_ms: int) -> Endpoint:
        return self.model_copy(
            update={"state": to, "disabled_reason": reason, "disabled_at_ms": at_ms, "updated_at_ms": now_ms}
        )


class Producer(_Stored):
    """A system that posts events. The token is stored hashed, the secrets sealed."""

    id: str
    name: str
    secrets: tuple[Secret, ...] = ()
    all_transfers: bool = False
    created_at_ms: int


class Token(_Stored):
    """A bearer token as it is stored: never the token itself, only its SHA-256."""

    id: str
    holder: TokenHolder
    holder_id: str
    digest: str
    created_at_ms: int
    name: str = ""
    scope: Scope = Scope.ALL
    not_before_ms: int | None = None
    expires_at_ms: int | None = None


# --- what is owed and what was tried --------------------------------------------------------------


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A record of the relay's own: kept as JSON without what is at its default, read back by its type."""


class Recipient(Record, frozen=True, kw_only=True):
    """Whom a delivery is for: an endpoint of a partner, or one mailbox.

    `id` is a function of the endpoint, or of the address and its role; it names the queue. `is_root`
    marks the root user of a SIM's target, who gets the acceptance link where there is one (`with_link`).
    `format` is an endpoint's as it was when the delivery was planned, `origin` who the format names as its sender.
    """

    id: str
    channel: Channel
    audience: Audience
    partner: str | None = None
    endpoint: str | None = None
    email: str | None = None
    name: str | None = None
    locale: str | None = None
    is_root: bool = False
    with_link: bool = False
    format: WebhookFormat = WebhookFormat.STANDARD
    origin: str = ""


class Delivery(Record, frozen=True, kw_only=True):
    """One event to one endpoint or one mailbox: the part that is fixed when it is planned."""

    id: str
    event_id: str
    type: str
    transfer: str
    transfer_key: str
    sequence: int
    created_at_ms: int
    recipient: Recipient


class Attempt(Record, frozen=True, kw_only=True):
    """One HTTP request or one SMTP transaction of a delivery.

    `number` starts at 1; times are Unix milliseconds, `duration_ms` the whole attempt. `status` is the
    HTTP status or the SMTP reply code. `answer` is at most the first 4 KiB of what came back.
    `second_try` says that a stale kept-alive connection was replaced once inside this attempt.
    """

    number: int
    at_ms: int
    duration_ms: int
    outcome: Outcome
    status: int | None = None
    detail: str = ""
    retry_after_s: int | None = None
    request_headers: dict[str, str] = msgspec.field(default_factory=dict)
    answer_headers: dict[str, str] = msgspec.field(default_factory=dict)
    answer: str = ""
    second_try: bool = False


class Skip(Record, frozen=True, kw_only=True):
    """Somebody who might have been told and was not, and why."""

    audience: Audience
    channel: Channel
    reason: SkipReason
    partner: str | None = None
    endpoint: str | None = None
    email: str | None = None


__all__ = [
    "MOVES_TO", "PING", "Actor", "AdminAgent", "Attempt", "Audience", "CancelReason", "Channel", "Contact",
    "Customer", "Delivery", "DeliveryStatus", "Endpoint", "EndpointFilter", "EndpointState", "Event",
    "EventId", "EventType", "Identifier", "Item", "ItemError", "Kind", "Locale", "Mailbox", "Outcome",
    "Partner", "Party", "Producer", "ProductType", "Recipient", "Record", "Reseller", "Scope", "Secret", "Skip",
    "SkipReason", "Status", "Text", "Timestamp", "Token", "TokenHolder", "Transfer",
    "WebhookFormat", "When",
]  # fmt: skip
