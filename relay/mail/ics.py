"""When does the time to accept end, as an entry in the reader's calendar?

The source's admin agents get it with the request, again with each reminder, and have it taken out by the next mail about
the transfer: one UID for each transfer and reader, a SEQUENCE that grows. It is published, not an invitation: nobody
is asked to answer, least of all the relay. Times are UTC, which every calendar shows in its reader's zone, whatever
zone that is by then, and which needs no table of zones.
Sources: RFC 5545 (iCalendar), 5546 (iTIP: PUBLISH, CANCEL).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from relay.deadlines import REMINDER
from relay.mail.facts import deadline_of
from relay.mail.words import clean
from relay.model import Audience, EventType

_LENGTH = timedelta(minutes=30)
"""An entry of no length is easily overlooked: this one ends when the time does."""
_ALARMS = ("-P3D", "-P1D")
_PENDING = frozenset({EventType.CREATED.value, REMINDER})
_UTC = "%Y%m%dT%H%M%SZ"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_LINE = 75
"""Bytes, without the end of the line (RFC 5545, 3.1)."""


class Address(Protocol):
    """Whom the entry comes from."""

    @property
    def name(self) -> str: ...
    @property
    def email(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, as an attachment: `method` is PUBLISH or CANCEL."""

    method: str
    name: str
    data: bytes


def wanted(view: dict[str, Any], *, invited: bool, date_ms: int) -> bool:
    """Whether an entry goes with a mail whose body is `view`, made at `date_ms`.

    `invited` says that its reader got the mail of the request, and the entry with it.
    """
    if not follows(view) and not _offers(view):
        return False
    if view["type"] in _PENDING and _ends(view).timestamp() * 1000 <= date_ms:
        return False
    return invited or _offers(view)


def follows(view: dict[str, Any]) -> bool:
    """Whether a mail with this body brings the entry up to date, or takes it out, where the reader has it."""
    return _concerns(view) and not _offers(view)


def _offers(view: dict[str, Any]) -> bool:
    return _concerns(view) and view["type"] == EventType.CREATED.value


def _concerns(view: dict[str, Any]) -> bool:
    data = view["data"]
    return bool(data.get("role") == Audience.SOURCE.value and data["transfer"]["kind"] == "subscription")


def _ends(view: dict[str, Any]) -> datetime:
    return deadline_of(view["data"]["transfer"]).astimezone(UTC).replace(microsecond=0)


def entry(
    view: dict[str, Any], *, uid: str, title: str, note: str, organizer: Address, attendee: str, reference: str, date_ms: int
) -> Entry:
    """The entry of a mail whose body is `view`, made at `date_ms`; `reference` names its file.

    `title` is one line, `note` may have several.
    """
    pending = view["type"] in _PENDING
    sequence = 0 if _offers(view) else 1 if pending else max(2, view["data"]["sequence"])
    method = "PUBLISH" if pending else "CANCEL"
    made, ends = datetime.fromtimestamp(date_ms // 1000, UTC), _ends(view)
    name = clean(organizer.name).replace('"', "'")
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//transfer-relay//mail//EN",
        f"METHOD:{method}",
        "BEGIN:VEVENT",
        f"UID:{uid}",
        f"SEQUENCE:{sequence}",
        f"DTSTAMP:{made:{_UTC}}",
        f"DTSTART:{ends - _LENGTH:{_UTC}}",
        f"DTEND:{ends:{_UTC}}",
        f"SUMMARY:{_escaped(title)}",
        f'ORGANIZER;CN="{name}":mailto:{organizer.email}',
        "CLASS:PRIVATE",
        "TRANSP:TRANSPARENT",
    ]
    if pending:
        lines += ["STATUS:CONFIRMED", f"DESCRIPTION:{_escaped(note)}", *_alarms(title)]
    else:  # a cancellation names whom it is for (RFC 5546, 3.2.5)
        lines += ["STATUS:CANCELLED", f"ATTENDEE:mailto:{attendee}"]
    lines += ["END:VEVENT", "END:VCALENDAR", ""]
    folded = "\r\n".join(part for line in lines for part in _folded(line))
    file = _NOT_IN_NAMES.sub("-", reference)
    return Entry(method, f"accept-by-{file}{'' if pending else '-canceled'}.ics", folded.encode())


def _alarms(title: str) -> Iterator[str]:
    for before in _ALARMS:
        yield from (
            "BEGIN:VALARM",
            "ACTION:DISPLAY",
            f"DESCRIPTION:{_escaped(title)}",
            f"TRIGGER;RELATED=END:{before}",
            "END:VALARM",
        )


def _escaped(text: str) -> str:
    """A TEXT value (RFC 5545, 3.3.11)."""
    for mark in "\\;,":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", "\\n")


def _folded(line: str) -> Iterator[str]:
    """The line in pieces of whole characters, each but the first after a space."""
    piece, used = "", 0
    for char in line:
        size = len(char.encode())
        if used + size > _LINE:
            yield piece
            piece, used = " ", 1
        piece += char
        used += size
    yield piece
