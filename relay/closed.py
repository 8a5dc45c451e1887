"""Which closed lists does the relay speak in?

The kinds, statuses, types, roles, channels, outcomes and reasons of the public contract. Every member is
explained where its name does not do it alone. Everything here is also a name of `relay.model`.
"""

from __future__ import annotations

from enum import StrEnum


class _Word(StrEnum):
    """A word of a closed list. It is hashed as the string it is equal to, at half the cost of an enum's own way:
    these words are the keys of what is looked up for every event."""

    __hash__ = str.__hash__


class Kind(_Word):
    """What moves."""

    SUBSCRIPTION = "subscription"
    SIM = "sim"


class Status(_Word):
    """Where a transfer stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    PARTIALLY_COMPLETED = "partially_completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELED = "canceled"


class EventType(_Word):
    """A state change of a transfer; `STALLED` is derived by the relay and moves nothing."""

    CREATED = "transfer.created"
    UPDATED = "transfer.updated"
    COMPLETED = "transfer.completed"
    PARTIALLY_COMPLETED = "transfer.partially_completed"
    FAILED = "transfer.failed"
    EXPIRED = "transfer.expired"
    CANCELED = "transfer.canceled"
    STALLED = "transfer.stalled"


MOVES_TO: dict[EventType, Status] = {
    EventType.CREATED: Status.PENDING,
    EventType.UPDATED: Status.IN_PROGRESS,
    EventType.COMPLETED: Status.COMPLETED,
    EventType.PARTIALLY_COMPLETED: Status.PARTIALLY_COMPLETED,
    EventType.FAILED: Status.FAILED,
    EventType.EXPIRED: Status.EXPIRED,
    EventType.CANCELED: Status.CANCELED,
}
"""The status each type moves a transfer to (contract, section 2)."""

PING = "relay.ping"
"""The type of the message that `POST …/endpoints/{endpoint}/test` sends; not a transfer event."""


class Audience(_Word):
    """Who is told, by their role in the transfer."""

    SOURCE = "source"
    TARGET = "target"
    CUSTOMER = "customer"
    RESELLER = "reseller"


class Channel(_Word):
    """How somebody is told."""

    WEBHOOK = "webhook"
    EMAIL = "email"
    ACTIVITY = "activity"


class DeliveryStatus(_Word):
    """The life of a delivery; every status but `PENDING` is settled."""

    PENDING = "pending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"
    CANCELED = "canceled"


class Outcome(_Word):
    """Why an attempt ended as it did. The first group is a webhook's, the second an e-mail's."""

    ACCEPTED = "accepted"  # 2xx, or 250 after the final dot
    REJECTED = "rejected"  # any other 4xx
    GONE = "gone"  # 410
    THROTTLED = "throttled"  # 429
    UNAVAILABLE = "unavailable"  # 503
    SERVER_ERROR = "server_error"  # any other 5xx
    REDIRECTED = "redirected"  # 3xx, never followed
    CONNECTION_REFUSED = "connection_refused"  # nothing listens there
    CONNECTION_LOST = "connection_lost"  # closed or reset before a status arrived
    DNS_FAILED = "dns_failed"  # the name has no address
    TLS_FAILED = "tls_failed"  # the certificate or the handshake is not good
    TIMED_OUT = "timed_out"  # no whole answer in time
    BLOCKED = "blocked"  # the address is not one the relay may dial
    PROTOCOL_ERROR = "protocol_error"  # an answer that is not HTTP, or not SMTP
    UNSENDABLE = "unsendable"  # nothing was sent: secret, header or template unusable

    DEFERRED = "deferred"  # SMTP 4xx
    BOUNCED = "bounced"  # SMTP 5xx: this mailbox does not exist or does not accept mail
    REFUSED = "refused"  # SMTP 5xx: this message is not wanted
    AMBIGUOUS = "ambiguous"  # lost after the final dot: it may have been accepted
    TRANSPORT_DOWN = "transport_down"  # the relay's own mail server or proxy: no attempt is spent
    ADDRESS_UNSUPPORTED = "address_unsupported"  # the server does not take such an address (no SMTPUTF8)


class SkipReason(_Word):
    """Why somebody who might have been told was not."""

    POLICY = "policy"  # the [notify] row does not tell this audience by this channel
    PARTNER_UNKNOWN = "partner_unknown"  # the party is not registered; the operator sees it
    NO_ENDPOINT = "no_endpoint"  # the partner has registered none
    NO_ADMIN_AGENT = "no_admin_agent"  # the partner has named nobody to write to
    NO_CONTACT = "no_contact"  # the transfer names no contact of the customer
    NO_RESELLER = "no_reseller"  # the policy tells resellers, and this transfer has none
    TYPE_NOT_SUBSCRIBED = "type_not_subscribed"  # the endpoint does not want this event type
    FILTERED = "filtered"  # the endpoint's own filter leaves it out
    LATE = "late"  # late steps are not e-mailed
    REPEAT = "repeat"  # the current state again under another id
    DERIVED = "derived"  # the relay's own conclusion, which [notify] does not e-mail
    DUPLICATE_ADDRESS = "duplicate_address"  # the same mailbox is already told of this event
    SUPPRESSED = "suppressed"  # the mailbox bounced or asked for no more
    MUTED = "muted"  # the person chose not to be told of this type
    NO_SUCH_EVENT = "no_such_event"  # the endpoint's format has no event for this step
    UNPLANNABLE = "unplannable"  # the relay failed to plan the event; its log says why


class CancelReason(_Word):
    """Why a pending delivery was canceled instead of sent."""

    ENDPOINT_REMOVED = "endpoint_removed"  # the partner deleted it
    RECIPIENT_REMOVED = "recipient_removed"  # no longer one of the partner's admin agents
    PARTNER_REMOVED = "partner_removed"  # no longer registered
    TYPE_NOT_SUBSCRIBED = "type_not_subscribed"  # the endpoint does not want this event type
    SUPPRESSED = "suppressed"  # the mailbox bounced or asked for no more
    MUTED = "muted"  # the person chose meanwhile not to be told of this type
    TRANSFER_ENDED = "transfer_ended"  # what it asks for can no longer be done


class SuppressionReason(_Word):
    """Why nothing is mailed to an address any more."""

    HARD_BOUNCE = "hard_bounce"  # the mailbox does not exist, or takes no mail for good
    SOFT_BOUNCES = "soft_bounces"  # too many messages in a row could not be delivered
    COMPLAINT = "complaint"  # the reader called it spam
    MANUAL = "manual"  # a person put it on the list


class SuppressionSource(_Word):
    """From whom the relay knows it."""

    SMTP = "smtp"  # the mail server refused the address while it was sent to
    REPORT = "report"  # a delivery status notification or a complaint that came by e-mail
    SES = "ses"  # Amazon SES, by SNS
    POSTMARK = "postmark"  # Postmark's webhook
    SENDGRID = "sendgrid"  # SendGrid's event webhook
    OPERATOR = "operator"  # by the API or at a terminal


class When(_Word):
    """When a person wants to be told of a type of event."""

    AT_ONCE = "at_once"
    DAILY = "daily"  # with all else of that day, in one mail
    NEVER = "never"


class ProductType(_Word):
    """What a subscription transfer may be limited to; none named means all."""

    ONLINE_SERVICES_NCE = "online_services_nce"
    AZURE_SUBSCRIPTION = "azure_subscription"
    AZURE_RESERVATION = "azure_reservation"
    AZURE_SAVINGS_PLAN = "azure_savings_plan"


class EndpointState(_Word):
    """Whether an endpoint is sent to."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class WebhookFormat(_Word):
    """In which words an endpoint is told (`relay.formats`)."""

    STANDARD = "standard"
    CLOUDEVENTS = "cloudevents"
    PARTNER_CENTER = "partner_center"


class TokenHolder(_Word):
    """What kind of caller a bearer token names."""

    OPERATOR = "operator"
    PRODUCER = "producer"
    PARTNER = "partner"


class Scope(_Word):
    """What a token may do of what its holder may. `READ`: ask, and be shown no secret; `METRICS`: be shown
    the metrics and nothing else; `BOUNCES`: hand in what came to the bounce mailbox and nothing else."""

    ALL = "all"
    READ = "read"
    METRICS = "metrics"
    BOUNCES = "bounces"
