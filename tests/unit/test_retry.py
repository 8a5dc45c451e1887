"""What follows from an attempt: the schedule, its edges, and what is never tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import load
from relay.model import Attempt, Outcome
from relay.retry import HOPELESS, OVERLOADED, UNSPENT, Again, Schedule, Settled, decide, jittered

RETRY = load(None, {}).retry
SCHEDULE = Schedule(
    [round(s * 1000) for s in RETRY.waits_seconds], RETRY.jitter, round(RETRY.retry_after_max_seconds * 1000)
)
NOW = 1_795_000_000_000
DAY_MS = 86_400_000
FAILURES = [o for o in Outcome if o is not Outcome.ACCEPTED and o not in HOPELESS | UNSPENT]


def _decide(outcome: Outcome, made: int = 1, *, after: int | None = None, chance: float = 0.5) -> Again | Settled:
    attempt = Attempt(number=made, at_ms=NOW, duration_ms=5, outcome=outcome, retry_after_s=after)
    return decide(attempt, made=made, schedule=SCHEDULE, now_ms=NOW, chance=chance)


def test_the_schedule_is_that_of_the_contract() -> None:
    assert SCHEDULE.waits_ms == [
        0, 5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000, 72_000_000, 86_400_000,
    ]  # fmt: skip
    assert SCHEDULE.jitter == 0.2


@pytest.mark.parametrize("made", range(1, 10))
@pytest.mark.parametrize("outcome", [o for o in FAILURES if o is not Outcome.GONE])
def test_a_failure_waits_as_the_schedule_says(outcome: Outcome, made: int) -> None:
    assert _decide(outcome, made) == Again(NOW + SCHEDULE.waits_ms[made])


@pytest.mark.parametrize("made", range(1, 10))
def test_jitter_is_a_fifth_either_way(made: int) -> None:
    low, high = _decide(Outcome.TIMED_OUT, made, chance=0.0), _decide(Outcome.TIMED_OUT, made, chance=1 - 1e-12)
    wait = SCHEDULE.waits_ms[made]
    assert (low, high) == (Again(NOW + wait * 4 // 5), Again(NOW + wait * 6 // 5))


@given(st.integers(0, 10**9), st.floats(0, 0.99), st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_its_bounds(wait_ms: int, jitter: float, chance: float) -> None:
    assert wait_ms * (1 - jitter) - 1 <= jittered(wait_ms, jitter, chance) <= wait_ms * (1 + jitter) + 1


@pytest.mark.parametrize("outcome", FAILURES)
def test_the_tenth_failure_is_the_last(outcome: Outcome) -> None:
    gone = outcome is Outcome.GONE
    for made in (10, 11):
        assert _decide(outcome, made) == Settled(delivered=False, reason=outcome.value, gone=gone)


@pytest.mark.parametrize("made", [1, 5, 10, 11])
def test_accepted_is_delivered_whichever_attempt_it_was(made: int) -> None:
    assert _decide(Outcome.ACCEPTED, made, after=60) == Settled(delivered=True)


@pytest.mark.parametrize("outcome", sorted(HOPELESS))
def test_what_cannot_help_is_not_tried_again(outcome: Outcome) -> None:
    assert _decide(outcome) == Settled(delivered=False, reason=outcome.value)


def test_gone_disables_the_endpoint_and_the_delivery_waits_with_it() -> None:
    assert _decide(Outcome.GONE) == Again(NOW, gone=True)


@pytest.mark.parametrize("made", [1, 10, 40])
def test_our_own_mail_servers_fault_spends_no_attempt(made: int) -> None:
    decision = _decide(Outcome.TRANSPORT_DOWN, made)
    assert isinstance(decision, Again)
    assert not decision.spent
    assert decision.at_ms > NOW


@pytest.mark.parametrize("outcome", [o for o in FAILURES if o is not Outcome.GONE])
@pytest.mark.parametrize(
    ("after_s", "wait_ms", "hold_ms"),
    [
        (0, 5_000, 0),
        (3, 5_000, 3_000),  # the schedule's wait is longer, and holds
        (90, 90_000, 90_000),
        (10**9, DAY_MS, DAY_MS),  # clamped
    ],
)
def test_retry_after_lengthens_the_wait_and_holds_an_overloaded_endpoint(
    outcome: Outcome, after_s: int, wait_ms: int, hold_ms: int
) -> None:
    hold = NOW + hold_ms if outcome in OVERLOADED else None
    assert _decide(outcome, after=after_s) == Again(NOW + wait_ms, hold_until_ms=hold)


def test_retry_after_does_not_bring_back_what_is_exhausted() -> None:
    assert isinstance(_decide(Outcome.UNAVAILABLE, 10, after=5), Settled)
