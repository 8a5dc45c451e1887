"""What does a mail server's answer mean for this delivery?

From the step it was given in, the reply code and the enhanced status (RFC 3463): whose fault it is,
this mailbox, this message, or the server.
"""

from __future__ import annotations

import re
from enum import StrEnum

from relay.model import Outcome

_ENHANCED = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})\b")
_NO_MAILBOX = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
_BARE_NO_MAILBOX = frozenset({550, 551, 553})
_NOT_LET_IN = frozenset({454, 530, 534, 535, 538})


class Step(StrEnum):
    """Where in the conversation a reply came."""

    CONNECT = "connect"
    TLS = "starttls"
    LOGIN = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"


def enhanced_status(text: str) -> str:
    """The enhanced status at the start of a reply's text, or nothing."""
    match = _ENHANCED.match(text)
    return ".".join(match.groups()) if match else ""


def outcome_of(step: Step, code: int, text: str) -> Outcome:
    """The outcome of a reply that is not the one hoped for."""
    if step in (Step.CONNECT, Step.TLS, Step.LOGIN) or code in _NOT_LET_IN:
        return Outcome.TRANSPORT_DOWN
    if step is Step.MAIL and code == 421:  # it leaves before it heard of a recipient (RFC 5321, 3.8)
        return Outcome.TRANSPORT_DOWN
    if 400 <= code < 500:
        return Outcome.DEFERRED
    if not 500 <= code < 600:
        return Outcome.PROTOCOL_ERROR
    status = enhanced_status(text)
    if status == "5.6.7":  # RFC 6531: the next server does not take such an address
        return Outcome.ADDRESS_UNSUPPORTED
    if status in ("4.2.2", "5.2.2"):  # a full mailbox is emptied some day
        return Outcome.DEFERRED
    if step is Step.RCPT and (status in _NO_MAILBOX or (not status and code in _BARE_NO_MAILBOX)):
        return Outcome.BOUNCED
    if status in ("5.1.1", "5.1.10", "5.2.1"):
        return Outcome.BOUNCED
    return Outcome.REFUSED
