"""Does a limit let through what it says, and no more, whatever the times?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.limits import Gcra


def test_a_burst_at_once_and_then_one_in_its_time() -> None:
    limit = Gcra(rate=2, burst=3)
    assert [limit.take("a", 10.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert limit.wait("a", 10.25) == 0.25
    assert limit.take("a", 10.5) == 0
    assert limit.take("a", 10.5) > 0
    assert limit.take("b", 10.5) == 0, "another's"


@given(st.lists(st.floats(0, 0.3), max_size=60), st.floats(0.5, 20), st.integers(1, 10))
def test_never_more_than_the_burst_and_the_rate(gaps: list[float], rate: float, burst: int) -> None:
    limit, now, taken = Gcra(rate, burst), 1000.0, 0
    for gap in gaps:
        now += gap
        wait = limit.take("a", now)
        taken += wait == 0
        assert taken <= burst + (now - 1000.0) * rate + 1e-6
        assert wait <= 1 / rate + 1e-9
        if wait:
            assert limit.wait("a", now + wait + 1e-9) == 0


def test_what_is_known_of_many_is_bounded() -> None:
    limit = Gcra(rate=1, burst=1)
    for number in range(120_000):
        limit.take(str(number), 0.0)
    assert len(limit._paid) <= 50_000
