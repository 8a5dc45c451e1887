"""What does the time that has passed say of a transfer that nobody speaks of?

The deadlines of an open transfer (contract, section 2, *derived*), as one pure rule: a pending subscription
expires at `expires_at`, else 30 days after its creation, and its source may be reminded before; what has been
in progress for long is stalled. Nothing is concluded while a producer has spoken lately. Times are Unix
milliseconds. What a producer says later replaces what is concluded here (`relay.lifecycle`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from relay.model import EventType, Kind, Status
from relay.times import format_ms

ANSWER_WITHIN_MS = 30 * 86_400_000
"""How long a subscription transfer may be accepted, unless it says so itself."""
REMINDER = "transfer.expiring"
"""The type of a reminder: a mail and a line in the activity log, not an event."""


class Conclusion(StrEnum):
    """What a deadline is for."""

    REMIND = "remind"
    STALL = "stall"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator set. `stalled_after_ms` 0 never; `remind_before_ms` before the expiry."""

    expires: bool
    stalled_after_ms: int
    stalled_kinds: frozenset[Kind]
    quiet_ms: int
    remind_before_ms: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Open:
    """A transfer as the rule sees it. `moved_ms` is when its last step happened, `accepted_ms` when its last
    event came, whatever it was; `move` is the sequence of that last step."""

    key: str
    kind: Kind
    status: Status
    move: int
    moved_ms: int
    accepted_ms: int
    created_ms: int
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Deadline:
    """Something to conclude at `at_ms`. `step` names it within its transfer; the fact itself is of `fact_ms`.
    A reminder is worth nothing from `until_ms` on."""

    what: Conclusion
    at_ms: int
    step: str
    fact_ms: int
    until_ms: int | None = None


def deadlines(transfer: Open, rules: Rules) -> list[Deadline]:
    """All that time alone will say of a transfer as it stands, in the order in which it falls due.

    What has been told already is the caller's to know: each has a `step` that names it.
    """
    quiet_until = transfer.accepted_ms + rules.quiet_ms
    if transfer.status is Status.IN_PROGRESS and rules.stalled_after_ms and transfer.kind in rules.stalled_kinds:
        stalled = transfer.moved_ms + rules.stalled_after_ms
        step = f"{Conclusion.STALL}:{transfer.move}"
        return [Deadline(Conclusion.STALL, max(stalled, quiet_until), step, stalled)]
    if transfer.status is not Status.PENDING or transfer.kind is not Kind.SUBSCRIPTION:
        return []
    expiry = transfer.created_ms + ANSWER_WITHIN_MS if transfer.expires_ms is None else transfer.expires_ms
    found = [
        Deadline(Conclusion.REMIND, expiry - before, f"{Conclusion.REMIND}:{before}", expiry - before, expiry)
        for before in sorted(set(rules.remind_before_ms), reverse=True)
        # Whoever hears of a transfer a day before it expires needs no reminder of a week before.
        if expiry - before > transfer.accepted_ms
    ]
    if rules.expires:
        # It cannot have expired before what was last said of it.
        fact = max(expiry, transfer.moved_ms)
        found.append(Deadline(Conclusion.EXPIRE, max(expiry, quiet_until), Conclusion.EXPIRE, fact))
    return found


def due(found: Sequence[Deadline], told: frozenset[str], now_ms: int) -> tuple[Deadline | None, int | None]:
    """What is to be concluded now, and when to look again (None: not before a producer speaks).

    Of several that are due only the last counts: a relay that was away for a week sends no week of reminders.
    """
    past = [one for one in found if one.at_ms <= now_ms]
    later = min((one.at_ms for one in found if one.at_ms > now_ms), default=None)
    if not past or past[-1].step in told or (past[-1].until_ms is not None and past[-1].until_ms <= now_ms):
        return None, later
    return past[-1], later


def may_have_any(kind: Kind, status: Status, rules: Rules) -> bool:
    """Whether a transfer that stands so can have a deadline at all."""
    if status is Status.IN_PROGRESS:
        return bool(rules.stalled_after_ms) and kind in rules.stalled_kinds
    return status is Status.PENDING and kind is Kind.SUBSCRIPTION and (rules.expires or bool(rules.remind_before_ms))


def derived_id(transfer_key: str, step: str) -> str:
    """The id of what is concluded: a function of the transfer and the step, whoever concludes it."""
    return "drv-" + hashlib.blake2b(f"{transfer_key}\0{step}".encode(), digest_size=12).hexdigest()


_SAYS = {
    Conclusion.EXPIRE: (EventType.EXPIRED, Status.EXPIRED),
    Conclusion.STALL: (EventType.STALLED, Status.IN_PROGRESS),
}


def event_of(transfer_key: str, last: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
    """The derived event, as JSON: the transfer as `last`, the event that brought it here, described it.
    KeyError for a reminder, which is none."""
    type_, status = _SAYS[deadline.what]
    return {
        "id": derived_id(transfer_key, deadline.step),
        "type": type_.value,
        "occurred_at": format_ms(deadline.fact_ms),
        "transfer": {**last["transfer"], "status": status.value},
    }
