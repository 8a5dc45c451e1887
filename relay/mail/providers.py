"""What do mail providers' webhooks report, and did they really send it?

Postmark posts one event, and shows a password (Basic); SendGrid posts an array, signed with ECDSA over P-256; Amazon SES
publishes to SNS, whose messages `relay.mail.sns` proves. All name the address; their words are put in ours, and what is
not about a bounce or a complaint is left out.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator
from email.utils import parseaddr
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from relay.bounces import Report, Severity, severity_of
from relay.closed import SuppressionSource
from relay.errors import ConfigError

SENDGRID_SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
SENDGRID_TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
_SENDGRID_RETRIES_S = 25 * 3600
"""SendGrid posts again for 24 hours what was not taken."""
_POSTMARK = {
    "HardBounce": Severity.HARD,
    "BadEmailAddress": Severity.HARD,
    "SoftBounce": Severity.SOFT,
    "Transient": Severity.SOFT,
    "DnsError": Severity.SOFT,
    "Undeliverable": Severity.SOFT,
    "SpamComplaint": Severity.COMPLAINT,
}
"""Its types of bounce. Absence notes, blocks and changes of address are not here: they say nothing of a mailbox."""
_SES_LISTED = frozenset({"Suppressed", "OnAccountSuppressionList"})
"""SES did not try, because the address bounced before."""
_SES_OF_THE_MESSAGE = frozenset(
    {"MessageTooLarge", "ContentRejected", "AttachmentRejected", "UnsubscribedRecipient"}
)


def postmark(event: Any) -> Iterator[Report]:
    """What Postmark's webhook reports (record types `Bounce` and `SpamComplaint`)."""
    fields = _fields(event)
    kind = fields.get("RecordType")
    type_ = "SpamComplaint" if kind == "SpamComplaint" else _text(fields, "Type") if kind == "Bounce" else ""
    email = _text(fields, "Email")
    if type_ in _POSTMARK and "@" in email:
        detail = _text(fields, "Details") or _text(fields, "Description")
        number = fields.get("ID")
        id_ = f"postmark:{number}"
        event_ = id_ if isinstance(number, int) else ""
        yield Report(id_, email, _POSTMARK[type_], SuppressionSource.POSTMARK, "", detail, event=event_)


def proves_postmark(header: str, password: str) -> bool:
    """Whether this `Authorization` header has the password; the user's name is the operator's own choice."""
    scheme, _, coded = header.partition(" ")
    try:
        given = base64.b64decode(coded.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return False
    return scheme.lower() == "basic" and hmac.compare_digest(given, password.encode())


def sendgrid(events: Any) -> Iterator[Report]:
    """What SendGrid's event webhook reports (`bounce`, `dropped`, `spamreport`)."""
    for event in events if isinstance(events, list) else []:
        fields = _fields(event)
        kind, email = _text(fields, "event"), _text(fields, "email")
        status, detail = _text(fields, "status"), _text(fields, "reason")
        match kind:
            case "bounce":
                severity = severity_of(status)
            case "spamreport":
                severity = Severity.COMPLAINT
            case "dropped" if detail == "Bounced Address":  # on its own list since an earlier bounce
                severity = Severity.HARD
            case _:
                continue
        if "@" in email:
            own = _text(fields, "sg_event_id")
            id_ = f"sendgrid:{own}"
            yield Report(id_, email, severity, SuppressionSource.SENDGRID, status, detail, event=own and id_)


def sendgrid_key(text: str) -> ec.EllipticCurvePublicKey:
    """The verification key as SendGrid shows it (base64 of DER). ConfigError when it is none."""
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ConfigError(["bounces.sendgrid_key: give the verification key as SendGrid shows it (base64)"])
    return key


def proves_sendgrid(
    key: ec.EllipticCurvePublicKey, signature: str, timestamp: str, raw: bytes, now_ms: int
) -> bool:
    """Whether SendGrid signed this body, and not so long ago that it would no longer try."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(now_ms / 1000 - int(timestamp)) > _SENDGRID_RETRIES_S:
        return False
    try:
        key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + raw, ec.ECDSA(SHA256()))
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def ses(event: Any, message_id: str) -> Iterator[Report]:
    """What Amazon SES reports: a notification (`notificationType`) or a published event (`eventType`), both of the same
    shape. `message_id` is that of SNS, which stands in where there is no feedback id."""
    fields = _fields(event)
    match _text(fields, "notificationType") or _text(fields, "eventType"):
        case "Bounce":
            about, recipients = _fields(fields.get("bounce")), "bouncedRecipients"
        case "Complaint":
            about, recipients = _fields(fields.get("complaint")), "complainedRecipients"
        case _:
            return
    is_complaint = recipients == "complainedRecipients"
    if is_complaint and _text(about, "complaintFeedbackType") == "not-spam":  # the reader took it out of the junk
        return
    id_ = f"ses:{_text(about, 'feedbackId') or message_id}"
    among = about.get(recipients)
    for one in among if isinstance(among, list) else []:
        recipient = _fields(one)
        email, status = parseaddr(_text(recipient, "emailAddress"))[1], _text(recipient, "status")
        severity = Severity.COMPLAINT if is_complaint else _ses_severity(about, status)
        if "@" in email:
            detail = _text(recipient, "diagnosticCode")
            yield Report(id_, email, severity, SuppressionSource.SES, status, detail, event=id_)


def _ses_severity(bounce: dict[str, Any], status: str) -> Severity:
    """SES's own sorting, except that a status that is about the message or its sender says nothing of the address."""
    subtype = _text(bounce, "bounceSubType")
    if subtype in _SES_LISTED:
        return Severity.HARD
    if subtype in _SES_OF_THE_MESSAGE or (status and severity_of(status) is Severity.NONE):
        return Severity.NONE
    match _text(bounce, "bounceType"):
        case "Permanent":
            return Severity.HARD
        case "Undetermined":
            return Severity.SOFT
        case "Transient" if status or subtype == "MailboxFull":
            return Severity.SOFT
    return Severity.NONE  # an absence note comes as Transient, with no status


def _fields(event: Any) -> dict[str, Any]:
    return event if isinstance(event, dict) else {}


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
