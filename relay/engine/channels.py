"""How is one delivery sent, by webhook or by e-mail?

Two senders behind one contract: given a delivery that this process holds in flight and what it is to
carry, make one attempt and say what came of it. What cannot be sent (a secret that no key opens, a
template that fails) is a settled attempt with a reason; only our own database's failures are raised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec
import orjson

from relay.bounced import Bounces
from relay.bounces import Report, Severity, severity_of
from relay.bundles import Ticket
from relay.callback_key import CallbackKey
from relay.closed import SuppressionSource
from relay.errors import MessageError, SignatureError, VaultError
from relay.formats import written
from relay.mail.compose import Composer
from relay.mail.daily import daily_body
from relay.mail.mime import digest
from relay.mail.return_path import ReturnPath
from relay.mail.send import Mailer
from relay.mail.verdict import enhanced_status
from relay.model import Attempt, Channel, Delivery, Endpoint, EventType, Outcome, Recipient, WebhookFormat
from relay.people import delivery_id
from relay.plan import Registered
from relay.preference_links import PreferenceLinks
from relay.preferences import DAILY, chosen
from relay.retry import Again
from relay.signing import Ed25519Key, HmacKey
from relay.store.passes import Taken
from relay.store.transfers import Transfers
from relay.vault import Vault
from relay.webhook import WebhookSender

Keep = Callable[[Taken, str], Awaitable[None]]
"""Store the sealed message with its delivery, before it is sent."""


class Parcel(msgspec.Struct, frozen=True):
    """What one attempt needs. `number` counts all attempts of the delivery, from 1."""

    taken: Taken
    body: bytes
    sealed_link: str | None
    registered: Registered
    number: int
    keep: Keep


class Sender(Protocol):
    """One channel."""

    channel: Channel

    async def send(self, parcel: Parcel, now_ms: int) -> Attempt | Again:
        """Make one attempt; `Again` when none is to be made now."""
        ...


def unsendable(number: int, now_ms: int, why: str) -> Attempt:
    """The attempt of a delivery that could not be sent at all."""
    return Attempt(number=number, at_ms=now_ms, duration_ms=0, outcome=Outcome.UNSENDABLE, detail=why)


@dataclass(frozen=True, slots=True)
class _Opened:
    """An endpoint's keys and headers, opened. `keys` have their expiry in Unix ms, or None."""

    of: Endpoint
    keys: tuple[tuple[HmacKey | Ed25519Key, int | None], ...]
    headers: dict[str, str]


class WebhookChannel:
    """Signed POSTs to partners' endpoints."""

    channel = Channel.WEBHOOK

    def __init__(self, sender: WebhookSender, vault: Vault, callback_key: CallbackKey) -> None:
        self._sender = sender
        self._vault = vault
        self._callback_key = callback_key
        self._opened: dict[str, _Opened] = {}

    async def send(self, parcel: Parcel, now_ms: int) -> Attempt:
        """One signed POST."""
        endpoint = parcel.registered.endpoints[parcel.taken.delivery.recipient.id]
        try:
            opened = self._open(endpoint)
        except (VaultError, SignatureError, ValueError):
            # Not opened, or opened and of no use: neither gets better by waiting.
            return unsendable(parcel.number, now_ms, "The endpoint's secret cannot be used; rotate it.")
        delivery, body, worn = parcel.taken.delivery, parcel.body, None
        if delivery.recipient.format is not WebhookFormat.STANDARD:
            body = written(delivery.recipient, delivery.event_id, body)
            try:
                worn = await self._callback_key.headers(delivery.recipient.format, body, now_ms, opened.headers)
            except VaultError:
                return unsendable(parcel.number, now_ms, "No key opens the certificate that callbacks are signed with.")
        return await self._sender.attempt(
            number=parcel.number,
            url=endpoint.url,
            message_id=delivery.event_id,
            body=body,
            keys=[key for key, ends in opened.keys if ends is None or ends > now_ms],
            headers=opened.headers,
            now_ms=now_ms,
            origin=endpoint.consent_origin,
            worn=worn,
        )

    def _open(self, endpoint: Endpoint) -> _Opened:
        known = self._opened.get(endpoint.id)
        if known is not None and known.of is endpoint:
            return known
        context = f"endpoint:{endpoint.id}:secret"
        keys: list[tuple[HmacKey | Ed25519Key, int | None]] = [
            (HmacKey.parse(self._vault.open(secret.sealed, context=context).decode()), secret.expires_at_ms)
            for secret in endpoint.secrets
        ]
        for pair in endpoint.signing_keys:
            text = self._vault.open(pair.sealed, context=context).decode()
            keys.append((Ed25519Key.parse(text), pair.expires_at_ms))
        headers: dict[str, str] = {}
        if endpoint.sealed_headers is not None:
            headers = orjson.loads(
                self._vault.open(endpoint.sealed_headers, context=f"endpoint:{endpoint.id}:headers")
            )
        opened = _Opened(endpoint, tuple(keys), headers)
        if len(self._opened) >= 10_000:
            self._opened.clear()
        self._opened[endpoint.id] = opened
        return opened


@dataclass(frozen=True, slots=True)
class Letter:
    """A built message with its envelope, as it is stored and sent."""

    sender: str
    to: str
    smtputf8: bool
    raw: bytes

    def to_bytes(self) -> bytes:
        """The envelope as one line of JSON, then the message."""
        return orjson.dumps([self.sender, self.to, self.smtputf8]) + b"\n" + self.raw

    @classmethod
    def from_bytes(cls, stored: bytes) -> Letter:
        """Back from the store."""
        envelope, _, raw = stored.partition(b"\n")
        sender, to, smtputf8 = orjson.loads(envelope)
        return cls(sender, to, smtputf8, raw)


class EmailChannel:
    """Rendered messages to mailboxes. The bytes are built once and stored before they are first sent."""

    channel = Channel.EMAIL

    def __init__(
        self,
        mailer: Mailer,
        composer: Composer,
        vault: Vault,
        transfers: Transfers,
        links: PreferenceLinks,
        bounces: Bounces,
        tries: int,
        return_path: Callable[[], Awaitable[ReturnPath | None]],
    ) -> None:
        self._return_path = return_path
        self._bounces = bounces
        self._tries = tries
        self._mailer = mailer
        self._links = links
        self._composer = composer
        self._vault = vault
        self._transfers = transfers

    async def send(self, parcel: Parcel, now_ms: int) -> Attempt | Again:
        """One SMTP transaction, or when to come again."""
        wait = self._mailer.shut(now_ms)
        if wait is not None:
            return wait
        try:
            message = await self._message(parcel)
        except (MessageError, VaultError) as error:
            return unsendable(parcel.number, now_ms, f"The message cannot be built: {error}")
        return await self.post(message, parcel.taken.delivery, parcel.number, now_ms)

    async def post(self, letter: Letter, delivery: Delivery, number: int, now_ms: int) -> Attempt | Again:
        """One SMTP transaction with bytes that are kept; what it says of the address is drawn from it. `delivery`
        is the one that holds the bytes."""
        path = await self._return_path()
        if path is not None:
            # Not of the bytes that are kept: the same message sent again later has a return path that is valid.
            sender = path.of(delivery.id, now_ms)
            letter = letter if sender is None else replace(letter, sender=sender)
        attempt = await self._mailer.attempt(number=number, message=letter, now_ms=now_ms)
        if isinstance(attempt, Attempt) and attempt.outcome is not Outcome.ACCEPTED:
            report = report_of(delivery, attempt, last=self._tries > 0 and number % self._tries == 0)
            # Before the attempt is recorded: a worker that dies in between sends again and is told the same.
            await self._bounces.take(report, now_ms, of=delivery)
        return attempt

    async def daily_letter(
        self, deliveries: Sequence[Delivery], bodies: Sequence[bytes], now_ms: int, timezone: str | None
    ) -> Letter:
        """One mail that carries all of these, which are one person's, with times in the zone that they chose, if any;
        MessageError when it cannot be made."""
        to = deliveries[0].recipient
        name = digest("\n".join(sorted(one.id for one in deliveries)))
        message = self._composer.compose(
            body=daily_body(bodies, now_ms),
            recipient=to,
            delivery_id=f"{DAILY}-{name}",
            event_id=DAILY,
            transfer_key="",
            date_ms=now_ms,
            locale=to.locale or "",
            preferences_url=await self._links.daily_url(to, DAILY, now_ms),
            timezone=timezone,
        )
        return Letter(message.sender, message.to, message.smtputf8, message.raw)

    def ticket(self, taken: Taken) -> tuple[Ticket, bytes] | None:
        """By which mail this delivery was to go, and the bytes where it holds them; None where no key of the ring
        opens what was kept: then another mail is made."""
        if taken.sealed is None:
            return None
        try:
            return Ticket.from_bytes(self._vault.open(taken.sealed, context=_place(taken.delivery.id)))
        except VaultError:
            return None

    def sealed(self, delivery: str, kept: bytes) -> str:
        """What is kept with a delivery until it is settled, sealed."""
        return self._vault.seal(kept, context=_place(delivery))

    def zone_of(self, to: Recipient) -> ZoneInfo:
        """The time zone in which readers of this one's language are told times."""
        return self._composer.words(to.locale or "").zone

    async def _message(self, parcel: Parcel) -> Letter:
        delivery = parcel.taken.delivery
        to = delivery.recipient
        context = _place(delivery.id)
        # The link is erased when its transfer ends, out of a message that waits to be tried again too.
        outlived = to.with_link and parcel.sealed_link is None
        if parcel.taken.sealed is not None and not outlived:
            return Letter.from_bytes(self._vault.open(parcel.taken.sealed, context=context))
        link = None
        if to.with_link and parcel.sealed_link is not None:
            opened = self._vault.open(parcel.sealed_link, context=f"transfer:{delivery.transfer_key}:link")
            link = opened.decode()
        message = self._composer.compose(
            body=parcel.body,
            recipient=to,
            delivery_id=delivery.id,
            event_id=delivery.event_id,
            transfer_key=delivery.transfer_key,
            date_ms=delivery.created_at_ms,
            acceptance_url=link,
            locale=to.locale or "",
            invited=self._composer.asks_whether_invited(parcel.body) and await self._was_invited(delivery),
            preferences_url=await self._links.url(to, delivery.type, delivery.created_at_ms),
            timezone=chosen(parcel.registered.preferences, to.email).timezone,
        )
        letter = Letter(message.sender, message.to, message.smtputf8, message.raw)
        await parcel.keep(parcel.taken, self._vault.seal(letter.to_bytes(), context=context))
        return letter

    async def _was_invited(self, delivery: Delivery) -> bool:
        """Whether this reader was sent the mail of the transfer's request, which may bring a calendar entry."""
        record = await self._transfers.get(delivery.transfer_key)
        return record is not None and any(
            planned.id == delivery_id(delivery.recipient.id, step.event_id)
            for step in record.timeline
            if step.type is EventType.CREATED
            for planned in step.deliveries
        )


def _place(delivery: str) -> str:
    return f"delivery:{delivery}:message"


def report_of(delivery: Delivery, attempt: Attempt, *, last: bool) -> Report:
    """What a failed SMTP transaction says of its address. One refusal without an enhanced status is no proof that a
    mailbox is gone: it counts as soft, and so does what was put off at the `last` try too."""
    status = enhanced_status(attempt.answer)
    severity = Severity.NONE
    if attempt.outcome is Outcome.BOUNCED:
        severity = severity_of(status)
    elif attempt.outcome is Outcome.DEFERRED and last:
        severity = Severity.SOFT
    return Report(
        id=f"{delivery.id}:smtp",
        email=delivery.recipient.email or "",
        severity=severity,
        source=SuppressionSource.SMTP,
        status=status,
        detail=attempt.answer,
        delivery=delivery.id,
    )
