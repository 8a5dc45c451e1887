"""Does an endpoint get requests now, and how many at once?

A breaker is closed until several different deliveries in a row have failed. Then it opens: nothing is sent
but one probe at a time, after waits that grow. The first success lets a window through that doubles with
every window that succeeds and halves with a failure, until it is the endpoint's own again (slow start, as
in RFC 5681). A single delivery that fails time and again opens nothing: it says more about itself.

Pure: a breaker and what happened give the breaker that follows. It is kept with the recipient's queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from relay.model import Outcome, Record
from relay.retry import HOPELESS, UNSPENT, jittered

_JITTER = 0.2
_OLDEST_TWICE = 3


class BreakerState(StrEnum):
    """`open`: only probes go. `ramping`: as many at once as its window."""

    CLOSED = "closed"
    OPEN = "open"
    RAMPING = "ramping"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """`failures` of different deliveries in a row open it, 0 never. The first probe waits `probe_ms`, each
    further one twice as long, up to `probe_max_ms`. At `full_window` it is closed."""

    failures: int
    probe_ms: int
    probe_max_ms: int
    full_window: int


class Breaker(Record, frozen=True, kw_only=True):
    """Where one endpoint stands. Times are Unix milliseconds.

    `failed` names the deliveries that failed in a row while it was closed; `probes` counts those that
    failed since it opened. `turn` says which of those that wait is the next probe, 0 the oldest. Of a
    ramp's `window`, `passed` have succeeded.
    """

    state: BreakerState = BreakerState.CLOSED
    since_ms: int | None = None
    failed: tuple[str, ...] = ()
    probe_at_ms: int | None = None
    probes: int = 0
    turn: int = 0
    window: int | None = None
    passed: int = 0

    @property
    def is_open(self) -> bool:
        """Whether only probes go."""
        return self.state is BreakerState.OPEN


CLOSED = Breaker()


def counts(outcome: Outcome) -> bool:
    """Whether an attempt that ended so speaks against the endpoint, and not against the message or us."""
    return outcome not in HOPELESS and outcome not in UNSPENT


def ramping(now_ms: int, probes: int = 0) -> Breaker:
    """From the first request on, as after an outage."""
    return Breaker(state=BreakerState.RAMPING, since_ms=now_ms, probes=probes, window=1)


def succeeded(breaker: Breaker, rules: BreakerRules, now_ms: int) -> Breaker:
    """The endpoint took a delivery."""
    if breaker.state is BreakerState.CLOSED:
        return CLOSED
    if breaker.state is BreakerState.OPEN:
        breaker = ramping(now_ms, breaker.probes)
    window, passed = breaker.window or 1, breaker.passed + 1
    if passed >= window:
        window, passed = 2 * window, 0
    if window >= rules.full_window:
        return CLOSED
    return _ramp(breaker, window, passed)


def failed(breaker: Breaker, delivery: str, rules: BreakerRules, now_ms: int, chance: float) -> Breaker:
    """The endpoint did not take a delivery. `chance` is uniform in [0, 1)."""
    match breaker.state:
        case BreakerState.CLOSED:
            if rules.failures == 0 or delivery in breaker.failed:
                return breaker
            known = (*breaker.failed, delivery)
            return Breaker(failed=known) if len(known) < rules.failures else _open(rules, now_ms, now_ms, 0, chance)
        case BreakerState.OPEN:
            # What was on the wire when it opened fails before the probe's time, and says nothing new.
            if now_ms < (breaker.probe_at_ms or 0):
                return breaker
            since_ms = now_ms if breaker.since_ms is None else breaker.since_ms
            return _open(rules, since_ms, now_ms, breaker.probes + 1, chance)
        case BreakerState.RAMPING:
            window = (breaker.window or 1) // 2
            if window == 0:
                return _open(rules, now_ms, now_ms, breaker.probes, chance)
            return _ramp(breaker, window, 0)


def _ramp(breaker: Breaker, window: int, passed: int) -> Breaker:
    return Breaker(
        state=BreakerState.RAMPING,
        since_ms=breaker.since_ms,
        probes=breaker.probes,
        window=window,
        passed=passed,
    )


def _open(rules: BreakerRules, since_ms: int, now_ms: int, probes: int, chance: float) -> Breaker:
    # Every third probe is another delivery than the oldest, each time the next one: one that the endpoint can
    # never take must not keep it shut.
    turn, oldest = divmod(probes + 1, _OLDEST_TWICE)
    wait = min(rules.probe_ms << min(probes, 40), rules.probe_max_ms)
    return Breaker(
        state=BreakerState.OPEN,
        since_ms=since_ms,
        probes=probes,
        probe_at_ms=now_ms + jittered(wait, _JITTER, chance),
        turn=0 if oldest else turn,
    )
