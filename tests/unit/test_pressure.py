"""Is nothing accepted that then only piles up?"""

from __future__ import annotations

from http import HTTPStatus

from relay.pressure import Pressure


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(pressure: Pressure, producer: str, events: int = 1) -> bool:
    """What the door does with a request."""
    if pressure.refuses(producer) is not None:
        return False
    pressure.took(producer, events)
    return True


def test_too_much_unplanned_is_503_for_everybody_until_it_is_less() -> None:
    pressure = Pressure(most_unplanned=10, rate=0)
    pressure.learn(11)
    refused = pressure.refuses("a")
    assert refused is not None and refused.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert refused.retry_after_s >= 1
    pressure.learn(10)
    assert pressure.refuses("a") is None


def test_a_producer_above_its_rate_is_429_and_told_when_to_come_again() -> None:
    time = Time()
    pressure = Pressure(most_unplanned=10, rate=2, monotonic=time)
    assert [taken(pressure, "a") for _ in range(2)] == [True, True]
    refused = pressure.refuses("a")
    assert refused is not None and refused.status is HTTPStatus.TOO_MANY_REQUESTS
    assert taken(pressure, "b")
    time.now += refused.retry_after_s
    assert taken(pressure, "a")


def test_an_array_above_the_rate_is_taken_once_and_paid_for_afterwards() -> None:
    time = Time()
    pressure = Pressure(most_unplanned=10, rate=10, monotonic=time)
    assert taken(pressure, "a", 500)
    refused = pressure.refuses("a")
    assert refused is not None and refused.retry_after_s == 50
    time.now += 50
    assert taken(pressure, "a")


def test_no_limit_is_no_limit() -> None:
    pressure = Pressure(most_unplanned=10, rate=0)
    assert all(taken(pressure, "a", 500) for _ in range(100))
