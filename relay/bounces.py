"""What does a bounce or a complaint mean for the address it is about?

A report that one message did not arrive, or was called spam, and what is known of the address give how things
stand with it from now on. Pure. The table is by enhanced status (RFC 3463): what says that the mailbox is not
there is hard; what says that it, or the way to it, could not take a message is soft; what is about the message or
its sender says nothing about the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from relay.closed import SuppressionReason, SuppressionSource
from relay.readers import Reader, Suppression, suppressed

_MOST_COUNTED = 50
_LONGEST_STATUS = 16


class Severity(StrEnum):
    """How much a report says about an address."""

    HARD = "hard"  # there is no such mailbox, or it takes no mail for good
    SOFT = "soft"  # this message could not be delivered
    COMPLAINT = "complaint"  # the reader called it spam
    NONE = "none"  # it is about the message or its sender


@dataclass(frozen=True, slots=True)
class Report:
    """One report. `id` is the same when it comes again; `delivery` is the one it is about, where that is known;
    `detail` what the other side said. `event` names this very report, so that it changes nothing when it is handed in
    again after somebody lifted what followed from it; empty where it cannot come again."""

    id: str
    email: str
    severity: Severity
    source: SuppressionSource
    status: str = ""
    detail: str = ""
    delivery: str | None = None
    event: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """How many soft bounces within a time, and how many complaints, suppress an address; 0: none ever do."""

    soft: int
    soft_within_ms: int
    complaints: int


_HARD = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
_OF_THE_ADDRESS = frozenset({"5.0.0", "5.1.0", "5.1.4", "5.2.0", "5.2.2", "5.2.4"})
"""Something about the address or mailbox, but nothing that says it is gone: a full one is emptied some day."""


def severity_of(status: str, *, final: bool = True) -> Severity:
    """What an enhanced status says of the address; empty where there was none. `final`: nobody tries again."""
    if status in _HARD:
        return Severity.HARD
    if not final or status.startswith("2."):
        return Severity.NONE
    subject = status.split(".")[1] if status.count(".") == 2 else ""
    # 4.x.x that was given up, and the way there (x.4.x): the message did not arrive, which may be the address.
    if not status or status in _OF_THE_ADDRESS or subject == "4" or (status[0] == "4" and subject not in ("6", "7")):
        return Severity.SOFT
    return Severity.NONE


def judged(now: Reader, report: Report, rules: Rules, at_ms: int) -> Reader:
    """How things stand with the address after this report; unchanged when it says nothing new."""
    if report.event and report.event in now.heard:
        return now
    after = _judged(now, report, rules, at_ms)
    if not report.event or (after == now and now.suppressed is None):
        return after
    return replace(after, heard=_counted(now.heard, report.event, at_ms))


def _judged(now: Reader, report: Report, rules: Rules, at_ms: int) -> Reader:
    match report.severity:
        case Severity.HARD:
            return suppressed(now, _because(SuppressionReason.HARD_BOUNCE, report, at_ms))
        case Severity.SOFT if rules.soft and report.id not in now.soft:
            since = at_ms - rules.soft_within_ms
            soft = _counted({one: at for one, at in now.soft.items() if at > since}, report.id, at_ms)
            if len(soft) >= rules.soft:
                return suppressed(replace(now, soft={}), _because(SuppressionReason.SOFT_BOUNCES, report, at_ms))
            return replace(now, soft=soft)
        case Severity.COMPLAINT if rules.complaints and report.id not in now.complaints:
            complaints = _counted(now.complaints, report.id, at_ms)
            if len(complaints) >= rules.complaints:
                reason = _because(SuppressionReason.COMPLAINT, report, at_ms)
                # A complaint outweighs a bounce: it is not for the partner to lift.
                graver = replace(now, complaints=complaints, suppressed=None)
                return suppressed(graver, reason)
            return replace(now, complaints=complaints)
        case _:
            return now


def _counted(seen: Mapping[str, int], one: str, at_ms: int) -> dict[str, int]:
    return {**dict(list(seen.items())[-_MOST_COUNTED:]), one: at_ms}


def _because(reason: SuppressionReason, report: Report, at_ms: int) -> Suppression:
    return Suppression(
        reason=reason,
        source=report.source,
        at_ms=at_ms,
        delivery=report.delivery,
        status=report.status[:_LONGEST_STATUS],
        detail=report.detail[:512],
    )
