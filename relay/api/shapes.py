"""What do the answers of the API look like?

Each answer's JSON, as a model that both makes the answer and documents it. Times are RFC 3339 text.
A field is always there and null where nothing is known, unless its description says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from relay.breaker import BreakerState
from relay.closed import SuppressionReason, SuppressionSource
from relay.findings import Check, Level
from relay.model import (
    Audience,
    Channel,
    DeliveryStatus,
    EndpointFilter,
    EndpointState,
    Kind,
    Outcome,
    Scope,
    WebhookFormat,
    When,
)
from relay.readers import Suppression
from relay.times import format_ms

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Shape(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)


class BouncedShape(Shape):
    """Mail to an address came back. `status` is the enhanced status (RFC 3463), `detail` what the other side said."""

    at: Time
    reason: SuppressionReason
    status: str | None
    detail: str | None


class AdminAgentShape(Shape):
    """A person of a partner who is told by e-mail. `bounced` is null unless nothing is sent there because mail came
    back; correct the address, or take it off the suppression list."""

    email: str
    name: str
    locale: str | None
    bounced: BouncedShape | None


class PreferencesShape(Shape):
    """When a person is told by e-mail of each type of event; those in `always` come in any case. `daily_hour` null: the
    operator's; `timezone` null: that of the person's language; `updated_at` null: nothing was ever chosen."""

    email: str
    types: dict[str, When]
    always: list[str]
    daily_hour: int | None
    timezone: str | None
    updated_at: Time | None


class PartnerShape(Shape):
    """An organisation registered with the relay."""

    id: str
    name: str
    locale: str | None
    tenant_id: str | None
    admin_agents: list[AdminAgentShape]
    created_at: Time
    updated_at: Time


class TokenShape(Shape):
    """A bearer token, without its text. `last_used_at` is true to a minute."""

    id: str
    name: str
    scope: Scope
    created_at: Time
    not_before: Time | None
    expires_at: Time | None
    last_used_at: Time | None


class NewTokenShape(TokenShape):
    """A new bearer token; `token` is shown this once."""

    token: str


class ProducerShape(Shape):
    """A system that posts events."""

    id: str
    name: str
    all_transfers: bool
    created_at: Time


class NewProducerShape(ProducerShape):
    """A new producer; `token` and `secret` are shown this once."""

    token: str
    secret: str


class ProducerSecretShape(Shape):
    """A signing secret of a producer's, without its text."""

    id: str
    created_at: Time
    not_before: Time | None
    expires_at: Time | None


class NewProducerSecretShape(ProducerSecretShape):
    """A new signing secret; `secret` is shown this once."""

    secret: str


class FindingShape(Shape):
    """What is good, doubtful or wrong with an endpoint, in a sentence, with the cure."""

    check: Check
    level: Level
    detail: str


class BreakerShape(Shape):
    """Whether an endpoint is spared after failures. `open`: its deliveries are held and one of them, the
    oldest, asks at `next_probe_at` whether it is back. `ramping`: up to `window` requests at once."""

    state: BreakerState
    since: Time | None
    next_probe_at: Time | None
    window: int | None


class CallbacksShape(Shape):
    """Where the certificate of each callback is fetched from, the authority (PEM) that issued it, and whose it is."""

    certificates: str
    authority: str
    organisation: str


class EndpointShape(Shape):
    """A URL that a partner registered. `headers` are names only; `failing_since` is null while it works.
    `handshake`: it was asked, and consented to at most `allowed_rate` requests a minute. `key_set`: where the
    public keys are that sign too, null where there is no key pair. `callbacks`: what a receiver of the format
    `partner_center` has to trust."""

    id: str
    url: str
    event_types: list[str] | None
    filter: EndpointFilter
    description: str
    ordering: Literal["transfer", "none"]
    headers: list[str]
    rate_limit: int | None
    handshake: bool
    allowed_rate: int | None
    asymmetric: bool
    key_set: str | None
    format: WebhookFormat
    callbacks: CallbacksShape | None
    state: EndpointState
    disabled_reason: str | None
    disabled_at: Time | None
    failing_since: Time | None
    breaker: BreakerShape
    created_at: Time
    updated_at: Time


class NewEndpointShape(EndpointShape):
    """A new endpoint, with its signing secret, and the public half of its Ed25519 key if it has one. `findings`
    of the pre-flight are there only if `verify` asked for one."""

    secret: str
    public_key: str | None
    findings: list[FindingShape] = []


class SecretShape(Shape):
    """An endpoint's signing secret; `previous_expires_at`: until when the one before it signs too."""

    secret: str
    created_at: Time
    previous_expires_at: Time | None
    public_key: str | None


class RotatedShape(Shape):
    """The secret, new unless the key pair was replaced, and until when the previous one signs too."""

    secret: str
    previous_expires_at: Time | None
    public_key: str | None


class RequestShape(Shape):
    """What was sent. Values of the endpoint's own headers are not shown. `signed` is the text whose UTF-8
    bytes were signed: `{webhook-id}.{webhook-timestamp}.{body}`."""

    method: str
    url: str | None
    headers: dict[str, str]
    body: str | None
    signed: str | None


class AnswerShape(Shape):
    """What came back: at most its first 4 KiB."""

    headers: dict[str, str]
    body: str


class AttemptShape(Shape):
    """One try. Of an address that could not be reached a partner is told the outcome only."""

    number: int
    at: Time
    duration_ms: int | None
    outcome: Outcome
    status: int | None
    detail: str
    explanation: str | None = Field(description="What happened and what to do; null when it was taken.")
    retry_after_s: int | None
    second_try: bool
    request: RequestShape | None
    answer: AnswerShape | None


class DeliveryShape(Shape):
    """One event to one endpoint or one mailbox."""

    id: str
    event_id: str
    type: str
    transfer: str
    sequence: int
    channel: Channel
    audience: Audience
    partner: str | None
    endpoint: str | None
    email: str | None
    status: DeliveryStatus
    held: bool
    attempt_count: int
    last_outcome: Outcome | None
    created_at: Time
    next_attempt_at: Time | None
    settled_at: Time | None
    reason: str | None
    kept: bool = Field(description="Whether what it carried is kept; if not, it cannot be sent again.")


class SuppressionShape(Shape):
    """An address that nothing is mailed to. `status` is the enhanced status (RFC 3463) it bounced with, `detail`
    what the other side said, or a person's note; `delivery` the one that bounced, where that is known. `email` is
    null where no key of the relay's opens it."""

    email: str | None
    reason: SuppressionReason
    source: SuppressionSource
    at: Time
    status: str | None
    detail: str | None
    delivery: str | None

    @classmethod
    def of(cls, email: str | None, one: Suppression) -> SuppressionShape:
        """A suppression as the API shows it."""
        return cls(
            email=email,
            reason=one.reason,
            source=one.source,
            at=format_ms(one.at_ms),
            status=one.status or None,
            detail=one.detail or None,
            delivery=one.delivery,
        )


class DeliveryDetailShape(DeliveryShape):
    """A delivery with every attempt. `suppression`: why nothing more is mailed to its address, whatever became of this
    mail; null where that is not so."""

    attempts: list[AttemptShape]
    suppression: SuppressionShape | None


class ReplayShape(Shape):
    """A replay of an endpoint's deliveries: `count` were found, `processed` gone through so far, and of those
    `reopened` were settled; of `gone` what they carried is no longer kept; the others are pending anyway."""

    id: str
    endpoint: str
    since: Time
    until: Time
    event_types: list[str] | None
    count: int
    processed: int
    reopened: int
    gone: int
    done: bool
    created_at: Time


class EventTypeShape(Shape):
    """A type of event: the JSON Schema of its webhook body, and an example of one."""

    type: str
    about: str
    kinds: list[Kind]
    schema_: dict[str, Any] = Field(serialization_alias="schema")
    example: dict[str, Any]


class PortalLinkShape(Shape):
    """A link that signs one person in to the portal, once."""

    url: str
    expires_at: Time


class EventAnswerShape(Shape):
    """How one event was taken."""

    id: str
    status: Literal["accepted", "duplicate"]


class FaultShape(Shape):
    """One thing wrong with the input."""

    pointer: str
    detail: str


class EventOutcomeShape(Shape):
    """How one event of an array was taken: `code` is the HTTP status that it would have had alone, and the
    rest is what it would have been answered."""

    code: int
    id: str | None = Field(default=None, description="The event's, where it has one that can be read.")
    status: Literal["accepted", "duplicate"] | int
    type: str | None = None
    title: str | None = None
    detail: str | None = None
    errors: list[FaultShape] = []


class HealthShape(Shape):
    """That the process, or with it the database, is there."""

    status: Literal["ok"]


class ReadyShape(HealthShape):
    """The same, and how the workers found the mail servers: `degraded` when some of several are at fault, `off`
    when none is set."""

    mail: Literal["off", "ok", "degraded", "down"]


class ProblemShape(Shape):
    """Why a request was not done (RFC 9457); `errors` only for invalid input, `id` only about an event."""

    id: str | None = None
    type: str
    title: str
    status: int
    detail: str
    errors: list[FaultShape] = []
