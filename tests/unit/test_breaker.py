"""When does an endpoint get requests, and how many at once?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.breaker import (
    CLOSED,
    Breaker,
    BreakerRules,
    BreakerState,
    counts,
    failed,
    ramping,
    succeeded,
)
from relay.model import Outcome

RULES = BreakerRules(failures=3, probe_ms=5_000, probe_max_ms=60_000, full_window=8)
MIDDLE = 0.5  # the chance at which a wait is as it stands in the settings


def fail(breaker: Breaker, *deliveries: str, now: int = 0, rules: BreakerRules = RULES) -> Breaker:
    for delivery in deliveries:
        breaker = failed(breaker, delivery, rules, now, MIDDLE)
    return breaker


def opened(now: int = 0) -> Breaker:
    return fail(CLOSED, "a", "b", "c", now=now)


def test_different_deliveries_in_a_row_open_it() -> None:
    assert fail(CLOSED, "a", "b").state is BreakerState.CLOSED
    breaker = opened(now=7)
    assert (breaker.state, breaker.since_ms, breaker.probe_at_ms) == (BreakerState.OPEN, 7, 5_007)


def test_one_delivery_that_fails_time_and_again_opens_nothing() -> None:
    assert fail(CLOSED, *["a"] * 100, *["b"] * 100).state is BreakerState.CLOSED


def test_a_success_in_between_begins_the_row_again() -> None:
    breaker = succeeded(fail(CLOSED, "a", "b"), RULES, 0)
    assert breaker is CLOSED
    assert fail(breaker, "c", "d").state is BreakerState.CLOSED


def test_with_no_number_of_failures_it_never_opens() -> None:
    never = BreakerRules(0, 1, 1, 8)
    assert fail(CLOSED, *map(str, range(1000)), rules=never) is CLOSED


def test_each_probe_waits_twice_as_long_up_to_a_maximum() -> None:
    breaker, waits = opened(), []
    for _ in range(100):
        assert breaker.probe_at_ms is not None
        now = breaker.probe_at_ms
        breaker = fail(breaker, "a", now=now)
        assert breaker.probe_at_ms is not None
        waits.append(breaker.probe_at_ms - now)
    assert waits[:5] == [10_000, 20_000, 40_000, 60_000, 60_000]
    assert set(waits[5:]) == {60_000}
    assert breaker.since_ms == 0, "it has been open since it opened"


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 4_000), (0.5, 5_000), (0.999999, 6_000)])
def test_probes_of_many_endpoints_spread(chance: float, wait: int) -> None:
    breaker = failed(fail(CLOSED, "a", "b"), "c", RULES, 0, chance)
    assert breaker.probe_at_ms == wait


def test_what_was_on_the_wire_when_it_opened_says_nothing_new() -> None:
    breaker = opened()
    assert fail(breaker, *map(str, range(50)), now=4_999) is breaker


def test_every_third_probe_is_another_than_the_oldest() -> None:
    breaker, turns = opened(), []
    for _ in range(9):
        turns.append(breaker.turn)
        assert breaker.probe_at_ms is not None
        breaker = fail(breaker, "a", now=breaker.probe_at_ms)
    assert turns == [0, 0, 1, 0, 0, 2, 0, 0, 3]


def test_a_success_lets_a_window_through_that_doubles_until_it_is_closed() -> None:
    breaker, windows = opened(), []
    while breaker is not CLOSED:
        breaker = succeeded(breaker, RULES, 9)
        windows.append(breaker.window)
    assert windows == [2, 2, 4, 4, 4, 4, None]


def test_a_failure_halves_the_window_and_below_one_it_is_open_again() -> None:
    breaker = ramping(0)
    for _ in range(3):
        breaker = succeeded(breaker, RULES, 1)
    assert breaker.window == 4
    breaker = fail(breaker, "x", "x", now=2)
    assert (breaker.state, breaker.window) == (BreakerState.RAMPING, 1)
    breaker = fail(breaker, "x", now=3)
    assert (breaker.state, breaker.since_ms, breaker.probe_at_ms) == (BreakerState.OPEN, 3, 5_003)


def test_one_that_falls_back_while_ramping_waits_as_long_as_it_did() -> None:
    breaker = opened()
    for _ in range(3):
        assert breaker.probe_at_ms is not None
        breaker = fail(breaker, "a", now=breaker.probe_at_ms)
    breaker = fail(succeeded(breaker, RULES, 100_000), "b", "b", now=100_000)
    assert (breaker.state, breaker.probe_at_ms) == (BreakerState.OPEN, 140_000)


@pytest.mark.parametrize("outcome", Outcome)
def test_only_what_speaks_against_the_endpoint_counts(outcome: Outcome) -> None:
    ours = {
        Outcome.UNSENDABLE, Outcome.BOUNCED, Outcome.REFUSED, Outcome.ADDRESS_UNSUPPORTED, Outcome.TRANSPORT_DOWN,
    }  # fmt: skip
    assert counts(outcome) is (outcome not in ours)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9_000)), max_size=60))
def test_whatever_happens_something_may_go_sooner_or_later(story: list[tuple[bool, int, int]]) -> None:
    breaker, now = CLOSED, 0
    for good, delivery, later in story:
        now += later
        breaker = succeeded(breaker, RULES, now) if good else fail(breaker, str(delivery), now=now)
        match breaker.state:
            case BreakerState.OPEN:
                assert breaker.probe_at_ms is not None
                assert breaker.probe_at_ms - now <= RULES.probe_max_ms
                assert breaker.window is None
            case BreakerState.RAMPING:
                assert breaker.window is not None
                assert 1 <= breaker.window < RULES.full_window
                assert breaker.probe_at_ms is None
            case BreakerState.CLOSED:
                assert len(breaker.failed) < RULES.failures
