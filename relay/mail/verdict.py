"""What does a mail server's answer mean: for this delivery, for this mailbox, and for the server?

From the step it was given in, the reply code (RFC 5321, 4.2) and the enhanced status (RFC 3463), never from the
words. Everything before RCPT is the same for every message, so a fault there is the server's or its settings'. After
it, one answer may be about this recipient or this message; several in a row, for different mailboxes, are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from relay.model import Outcome

_ENHANCED = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})\b")
SUPPRESSES = frozenset({Outcome.BOUNCED})
"""Outcomes that say of the mailbox that nothing will ever arrive there: no more is sent to it."""


class Step(StrEnum):
    """Where in the conversation something happened. `MESSAGE` begins with the 354 and ends with the answer to
    the final dot."""

    CONNECT = "connect"
    EHLO = "ehlo"
    TLS = "starttls"
    LOGIN = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    MESSAGE = "message"


class Fault(StrEnum):
    """Whether the server itself is at fault. `SUSPECT`: when several mailboxes in a row meet it."""

    NONE = "none"
    SUSPECT = "suspect"
    SURE = "sure"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outcome` decides about the delivery (`relay.retry`) and the mailbox (`SUPPRESSES`), `fault` about the
    server (`relay.mail.standing`)."""

    outcome: Outcome
    fault: Fault = Fault.NONE


_SERVER = Verdict(Outcome.TRANSPORT_DOWN, Fault.SURE)
_EARLY = frozenset({Step.CONNECT, Step.EHLO, Step.TLS, Step.LOGIN, Step.MAIL})
_NOT_LET_IN = frozenset({454, 530, 534, 535, 538})
_SERVER_WIDE = frozenset({421, 451, 452, 454})
"""Without an enhanced status: it leaves, its processing failed, its storage is full (RFC 5321, 4.2.3)."""
_BARE_NO_MAILBOX = frozenset({550, 551, 553})
_BY_STATUS: dict[str, Verdict] = {
    # The next server takes no such address (RFC 6531, 3.5).
    "5.6.7": Verdict(Outcome.ADDRESS_UNSUPPORTED),
    "5.1.1": Verdict(Outcome.BOUNCED),  # no such mailbox
    "5.1.10": Verdict(Outcome.BOUNCED),  # its domain takes no mail (RFC 7505)
    "5.2.1": Verdict(Outcome.BOUNCED),  # the mailbox is disabled
    # A full mailbox is emptied some day, whatever the class of the code says.
    "5.2.2": Verdict(Outcome.DEFERRED),
    "5.3.4": Verdict(Outcome.REFUSED),  # this message is too big, which says nothing about the server
}
_AT_RCPT: dict[str, Verdict] = {
    "5.1.2": Verdict(Outcome.BOUNCED),  # no such domain
    "5.1.3": Verdict(Outcome.BOUNCED),  # no address at all
    "5.1.6": Verdict(Outcome.BOUNCED),  # moved, and nobody knows where
}


def enhanced_status(text: str) -> str:
    """The enhanced status at the start of a reply's text, or nothing."""
    match = _ENHANCED.match(text)
    return ".".join(match.groups()) if match else ""


def of_reply(step: Step, code: int, text: str) -> Verdict:
    """The verdict on a reply that is not the one hoped for."""
    status = enhanced_status(text)
    if code in _NOT_LET_IN or (step in _EARLY and status != "5.6.7"):
        return _SERVER
    if 400 <= code < 500:
        wide = status.startswith(("4.3.", "4.7.")) or code == 421 or (not status and code in _SERVER_WIDE)
        return Verdict(Outcome.DEFERRED, Fault.SUSPECT if wide else Fault.NONE)
    if not 500 <= code < 600:
        return of_babble(step)
    known = _BY_STATUS.get(status) or (_AT_RCPT.get(status) if step is Step.RCPT else None)
    if known is not None:
        return known
    if step is Step.RCPT and not status and code in _BARE_NO_MAILBOX:
        return Verdict(Outcome.BOUNCED)
    # 5.3 and 5.7, from relaying denied to a blocked sender, may be about all mail of this relay.
    return Verdict(Outcome.REFUSED, Fault.SUSPECT if status.startswith(("5.3.", "5.7.")) else Fault.NONE)


def of_babble(step: Step) -> Verdict:
    """The verdict on an answer that is not SMTP. After the final dot it may have meant that it was accepted."""
    if step is Step.MESSAGE:
        return Verdict(Outcome.AMBIGUOUS, Fault.SUSPECT)
    return _SERVER if step in _EARLY else Verdict(Outcome.PROTOCOL_ERROR, Fault.SUSPECT)


def of_loss(step: Step, *, late: bool, whole: bool = False) -> Verdict:
    """The verdict on a connection that was lost or (`late`) an answer that did not come in time. `whole`: all of
    the message was handed over, the final dot too, so it may have been accepted (RFC 5321, 4.5.3.2.6)."""
    if whole:
        return Verdict(Outcome.AMBIGUOUS, Fault.SUSPECT)
    if step in _EARLY:
        return _SERVER
    # RFC 5321, 3.8: a connection that is lost is to be treated as a 451.
    return Verdict(Outcome.TIMED_OUT if late else Outcome.DEFERRED, Fault.SUSPECT)
