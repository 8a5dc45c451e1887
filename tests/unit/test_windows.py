"""How does a recipient's window grow and shrink?"""

from hypothesis import given
from hypothesis import strategies as st

from relay.engine.windows import Windows


def test_a_recipient_that_nobody_knows_begins_with_few() -> None:
    assert (Windows(32).first("ep_1"), Windows(1).first("ep_1")) == (2, 1)


def test_whom_all_went_well_with_begins_where_it_ended() -> None:
    windows = Windows(32)
    windows.leave("ep_1", 17)
    assert (windows.first("ep_1"), windows.first("ep_2")) == (17, 2)


def test_what_hangs_begins_with_few_again() -> None:
    windows = Windows(32)
    windows.leave("ep_1", 32)
    now = windows.first("ep_1")
    for _ in range(32):
        now = windows.less(now)
    windows.leave("ep_1", now)
    assert windows.first("ep_1") == 2


@given(most=st.integers(1, 64), steps=st.lists(st.booleans(), max_size=200))
def test_a_window_is_never_empty_nor_larger_than_the_largest(most: int, steps: list[bool]) -> None:
    windows = Windows(most)
    now = windows.first("ep_1")
    for well in steps:
        now = windows.more(now) if well else windows.less(now)
        windows.leave("ep_1", now)
        assert 1 <= windows.first("ep_1") <= most


def test_each_that_is_accepted_lets_one_more_go() -> None:
    assert (Windows(3).more(2), Windows(3).more(3)) == (3, 3)


def test_what_is_known_is_bounded() -> None:
    windows = Windows(8)
    for n in range(50_000):
        windows.leave(f"ep_{n}", 8)
    assert sum(windows.first(f"ep_{n}") == 8 for n in range(50_000)) <= 20_000
