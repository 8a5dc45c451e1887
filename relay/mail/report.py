"""What does a message to the bounce mailbox report?

Delivery status notifications (RFC 3464), complaints (ARF, RFC 5965), automatic replies (RFC 3834), and what older
mail servers write instead. Only what is machine-readable is believed; for the rest it is enough to know that it is a
bounce at all.

The standard library parses `message/*` parts into messages, recursively: a delivery status that is base64 (which is
forbidden, and common) comes out as nonsense, and nesting overflows its stack. Here such parts are leaves, taken apart
by the few lines that RFC 3464, 2.1 needs; headers come from strangers and are never decoded. It also compares every line
with every boundary around it, and reads parameters in a time that grows with the square of their length: so only the
first few multiparts are any, and no Content-Type is long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from enum import StrEnum
from hashlib import sha256
from itertools import islice

MOST_BYTES = 1_048_576
_MOST_PARTS = 50
_MOST_FIELDS = 500
_MOST_HEADERS = 2000
_MOST_NESTED = 8
_LONGEST_TYPE = 1024
_NEWLINE = re.compile(rb"\r\n?")
_TYPE = re.compile(rb"^content-type:[^\n]*(?:\n[ \t][^\n]*)*", re.IGNORECASE | re.MULTILINE)
_LEAF = re.compile(rb"(\s*)(message|multipart)/", re.IGNORECASE)
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*)", re.ASCII)
_DAEMON = re.compile(r"\b(mailer-daemon|postmaster|mail-daemon|mdaemon)@", re.IGNORECASE)
_UNDELIVERED = re.compile(
    r"undeliver|delivery (status notification|failure|has failed)|returned mail|mail delivery failed|failure notice",
    re.IGNORECASE,
)
_MESSAGE = "text/x-message-"


class Kind(StrEnum):
    """What a message is."""

    FAILED = "failed"  # nobody tries any more
    DELAYED = "delayed"  # somebody still tries
    ARRIVED = "arrived"  # it was delivered or passed on
    COMPLAINT = "complaint"  # the reader called it spam
    AUTOMATIC = "automatic"  # an absence note or another machine's answer
    OTHER = "other"  # a person's mail, or nothing that is understood


@dataclass(frozen=True, slots=True)
class Reported:
    """What it says. `status` is the enhanced status (RFC 3463) where there is one, `detail` the other side's words.
    `places` are the texts in which the return path of the mail it is about may stand, `digest` is of its bytes."""

    kind: Kind
    status: str = ""
    detail: str = ""
    places: list[str] = field(default_factory=list)
    digest: str = ""


def read(raw: bytes) -> Reported:
    """What a raw message (RFC 5322) reports. Never raises; what cannot be read is `OTHER`."""
    try:
        message = message_from_bytes(_shallow(raw[:MOST_BYTES]))
        parts = list(_parts(message))
    except (ValueError, LookupError):  # numbered parameters and charsets that there cannot be
        return Reported(Kind.OTHER)
    places = ["\n".join(f"{name}: {value}" for name, value in islice(message.raw_items(), _MOST_HEADERS))]
    places += [_text(part) for part in parts if part.get_content_type().startswith((_MESSAGE, "text/rfc822-headers"))]
    kind, status, detail = _judged(message, parts)
    digest = sha256(raw).hexdigest()[:20]
    return Reported(kind, status, " ".join(detail.split())[:512], places, digest)


def _shallow(raw: bytes) -> bytes:
    """The same message, with leaves for what is not to be taken apart."""
    multiparts = 0

    def fit(found: re.Match[bytes]) -> bytes:
        nonlocal multiparts
        name, colon, value = found[0][:_LONGEST_TYPE].partition(b":")
        leaf = _LEAF.match(value)
        if leaf is None:
            return name + colon + value
        if leaf[2].lower() == b"multipart":
            multiparts += 1
            if multiparts <= _MOST_NESTED:
                return name + colon + value
        return name + colon + leaf[1] + b"text/x-" + leaf[2].lower() + b"-" + value[leaf.end() :]

    return _TYPE.sub(fit, _NEWLINE.sub(b"\n", raw))


def _judged(message: Message, parts: list[Message]) -> tuple[Kind, str, str]:
    by_type = {part.get_content_type().removeprefix(_MESSAGE): part for part in reversed(parts)}
    if (feedback := by_type.get("feedback-report")) is not None:
        return _feedback(_groups(_text(feedback)))
    delivery = by_type.get("delivery-status") or by_type.get("global-delivery-status")
    if delivery is not None:
        return _delivery(_groups(_text(delivery)))
    if "disposition-notification" in by_type or "global-disposition-notification" in by_type:
        return Kind.AUTOMATIC, "", ""
    if _is_automatic(message):
        return Kind.AUTOMATIC, "", ""
    if _is_bounce(message):
        first = next((_text(part) for part in parts if part.get_content_type() == "text/plain"), "")[:4000]
        found = _STATUS.search(first)
        return Kind.FAILED, found[0] if found else "", first[:512]
    return Kind.OTHER, "", ""


def _delivery(groups: list[dict[str, str]]) -> tuple[Kind, str, str]:
    """The worst of what happened to the recipients; the first group is about the message."""
    told = {"failed": Kind.FAILED, "delayed": Kind.DELAYED}
    found: list[tuple[Kind, str, str]] = []
    for group in groups:
        action = group.get("action", "").split("(")[0].strip().lower()
        if not action and "status" not in group:
            continue
        said = group.get("diagnostic-code", "").partition(";")[2].strip() or group.get("diagnostic-code", "")
        status, closer = _STATUS.search(group.get("status", "")), _STATUS.search(said)
        # Many servers report 5.0.0 and let the next server's words say what it was.
        if closer is not None and (status is None or status[0].endswith(".0.0")):
            status = closer
        kind = told.get(action, Kind.ARRIVED)
        if not action:
            kind = {"2": Kind.ARRIVED, "4": Kind.DELAYED}.get(status[1] if status else "5", Kind.FAILED)
        found.append((kind, status[0] if status else "", said))
    order = (Kind.FAILED, Kind.DELAYED, Kind.ARRIVED)
    return min(found, key=lambda one: order.index(one[0]), default=(Kind.OTHER, "", ""))


def _feedback(groups: list[dict[str, str]]) -> tuple[Kind, str, str]:
    """Complaints are `abuse`, `fraud` and `virus`; `not-spam` is the opposite, `auth-failure` about the sender."""
    fields = groups[0] if groups else {}
    type_ = fields.get("feedback-type", "").strip().lower()
    complained = type_ in ("abuse", "fraud", "virus", "opt-out", "opt-out-list")
    return (Kind.COMPLAINT if complained else Kind.OTHER), "", f"{type_} {fields.get('user-agent', '')}"


def _is_automatic(message: Message) -> bool:
    """An automatic answer that is no bounce. A bounce is `auto-replied` too, and comes from nobody (RFC 3834, 3.1)."""
    said = _header(message, "Auto-Submitted").split(";")[0].strip().lower()
    precedence = _header(message, "Precedence").strip().lower()
    marked = any(message.get(name) is not None for name in ("X-Autoreply", "X-Autorespond", "X-Auto-Reply-From"))
    automatic = said not in ("", "no") or precedence in ("auto_reply", "bulk", "junk", "list") or marked
    return automatic and not _is_bounce(message)


def _is_bounce(message: Message) -> bool:
    """Whether a mail server wrote it about a message that it could not deliver."""
    if _header(message, "Return-Path").strip() not in ("", "<>"):
        return False
    failed = message.get("X-Failed-Recipients") is not None
    return failed or bool(
        _DAEMON.search(_header(message, "From") + "@") and _UNDELIVERED.search(_header(message, "Subject"))
    )


def _parts(message: Message) -> Iterator[Message]:
    for count, part in enumerate(message.walk()):
        if count == _MOST_PARTS:
            return
        if not part.is_multipart():
            yield part


def _groups(text: str) -> list[dict[str, str]]:
    """Groups of fields with a blank line between them (RFC 3464, 2.1), their names in lower case."""
    groups: list[dict[str, str]] = [{}]
    name = ""
    for line in text.splitlines()[:_MOST_FIELDS]:
        if not line.strip():
            groups.append({})
            name = ""
        elif line[0] in " \t" and name:
            groups[-1][name] += " " + line.strip()
        elif match := _FIELD.match(line):
            name = match[1].lower()
            groups[-1].setdefault(name, match[2].strip())
    return [group for group in groups if group]


def _text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _header(message: Message, name: str) -> str:
    value = message.get(name)
    return "" if value is None else str(value)
