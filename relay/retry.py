"""Should this delivery be tried again, and when?

An attempt's outcome, how many were made and what the endpoint asked for give a `Decision`. The schedule
is Standard Webhooks 1.0.0's (contract, section 4): attempts 1 to 10 wait 0 s, 5 s, 5 min, 30 min, 2 h,
5 h, 10 h, 14 h, 20 h, 24 h, each ± 20 %. Pure: `now` and the random number come in as arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from relay.model import Attempt, Outcome

OVERLOADED = frozenset({Outcome.THROTTLED, Outcome.UNAVAILABLE})
HOPELESS = frozenset(
    {Outcome.UNSENDABLE, Outcome.BOUNCED, Outcome.REFUSED, Outcome.ADDRESS_UNSUPPORTED}
)
"""Trying again cannot help: the same bytes would meet the same answer."""
UNSPENT = frozenset({Outcome.TRANSPORT_DOWN})
"""The relay's own fault: no attempt is spent."""
_TRANSPORT_WAIT_MS = 60_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """The waits before attempts 1, 2, … in milliseconds, and what bends them."""

    waits_ms: Sequence[int]
    jitter: float
    retry_after_max_ms: int


class Again(msgspec.Struct, frozen=True, gc=False):
    """Try again at a time; with `spent` False this attempt does not count. `hold_until_ms` holds back
    the whole endpoint, not only this delivery; `gone` disables it, and the delivery waits with it."""

    at_ms: int
    spent: bool = True
    hold_until_ms: int | None = None
    gone: bool = False


class Settled(msgspec.Struct, frozen=True, gc=False):
    """No more attempts; `reason` is empty when it was delivered. `gone` disables the endpoint."""

    delivered: bool
    reason: str = ""
    gone: bool = False


Decision = Again | Settled
_DELIVERED = Settled(delivered=True)


def decide(attempt: Attempt, *, made: int, schedule: Schedule, now_ms: int, chance: float) -> Decision:
    """What follows from `attempt`, the `made`-th of this schedule. `chance` is uniform in [0, 1)."""
    if attempt.outcome is Outcome.ACCEPTED:
        return _DELIVERED
    if attempt.outcome in UNSPENT:
        if attempt.retry_after_s is not None:  # when it is asked again whether it is well: no sooner
            return Again(now_ms + round(attempt.retry_after_s * 1000 * (1 + schedule.jitter * chance)), spent=False)
        return Again(now_ms + jittered(_TRANSPORT_WAIT_MS, schedule.jitter, chance), spent=False)
    gone = attempt.outcome is Outcome.GONE
    if attempt.outcome in HOPELESS or made >= len(schedule.waits_ms):
        return Settled(delivered=False, reason=attempt.outcome.value, gone=gone)
    if gone:
        return Again(now_ms, gone=True)
    wait = jittered(schedule.waits_ms[made], schedule.jitter, chance)
    hold = None
    if attempt.retry_after_s is not None:
        asked = min(attempt.retry_after_s * 1000, schedule.retry_after_max_ms)
        wait = max(wait, asked)
        if attempt.outcome in OVERLOADED:
            hold = now_ms + asked
    return Again(now_ms + wait, hold_until_ms=hold)


def jittered(wait_ms: int, jitter: float, chance: float) -> int:
    """`wait_ms` ± `jitter`, as `chance` has it."""
    return round(wait_ms * (1 + jitter * (2 * chance - 1)))
