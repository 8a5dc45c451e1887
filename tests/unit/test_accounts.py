"""Which state has each recipient of each event, and when is a count wrong?"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.accounts import Account, Planned, State, Tally, drift, settle


def account(
    *plans: Planned, accepted: frozenset[int] = frozenset({1}), gone: frozenset[int] = frozenset(),
    waiting: frozenset[str] = frozenset(),
) -> Account:  # fmt: skip
    return Account("tr-1", accepted, gone, waiting, plans)


def tally(one: Account, owed: Mapping[str, str] | None = None) -> Tally:
    made = Tally()
    settle(one, owed or {}, made)
    return made


P = Planned("1", 1, ("dlv_ep_a_1",))


@pytest.mark.parametrize(
    ("one", "owed", "expected"),
    [
        (account(P), {"dlv_ep_a_1": "d"}, {State.DELIVERED: 1}),
        (account(P), {"dlv_ep_a_1": "x"}, {State.EXHAUSTED: 1}),
        (account(P), {"dlv_ep_a_1": "c"}, {State.CANCELED: 1}),
        (account(P), {"dlv_ep_a_1": "p"}, {State.SCHEDULED: 1}),
        (account(P), {"dlv_ep_a_1": "l"}, {State.UNACCOUNTED: 1}),
        (account(P), {}, {State.UNACCOUNTED: 1}),
        (account(P, waiting=frozenset({"1"})), {}, {State.SCHEDULED: 1, State.UNPLANNED: 1}),
        (account(), {}, {State.UNACCOUNTED: 1}),
        (account(waiting=frozenset({"1"})), {}, {State.UNPLANNED: 1}),
        (account(P, gone=frozenset({1})), {}, {State.GONE: 1}),
        (account(gone=frozenset({1})), {}, {State.GONE: 1}),
        (account(Planned("1", 1, (), 3)), {}, {State.SKIPPED: 3}),
        (account(Planned("1", 1, None)), {}, {State.UNACCOUNTED: 1}),
        # Who is told afterwards may be planned twice, and is counted once.
        (account(P, Planned("1~target", 1, ("dlv_ep_a_1", "dlv_mb_b_1"))),
         {"dlv_ep_a_1": "d", "dlv_mb_b_1": "d"}, {State.DELIVERED: 2}),
    ],
)  # fmt: skip
def test_everyone_is_in_one_state(one: Account, owed: dict[str, str], expected: dict[State, int]) -> None:
    found = tally(one, owed)
    assert {state: n for state, n in found.states.items() if n} == expected
    assert len(found.missing) == expected.get(State.UNACCOUNTED, 0)


def test_what_is_missing_is_gone_through_again_where_that_mends_it() -> None:
    assert [m.member for m in tally(account(P), {}).missing] == ["1"]
    assert [m.member for m in tally(account(), {}).missing] == ["1"]
    assert [m.member for m in tally(account(P), {"dlv_ep_a_1": "l"}).missing] == [""]
    assert [m.member for m in tally(account(Planned("1", 1, None)), {}).missing] == [""]


def test_pending_is_counted_by_channel() -> None:
    one = account(Planned("1", 1, ("dlv_ep_a_1", "dlv_mb_b_1", "dlv_mb_c_1")))
    found = tally(one, {"dlv_ep_a_1": "p", "dlv_mb_b_1": "p", "dlv_mb_c_1": "d"})
    assert dict(found.pending) == {"webhook": 1, "email": 1}


def test_a_drift_is_mended_when_two_laps_see_it_alike() -> None:
    assert drift(10, 3, before=(10, 5), settled=5, last=0) == (0, -7)
    assert drift(10, 3, before=(10, 5), settled=5, last=-7) == (-7, -7)
    assert drift(10, 3, before=(10, 5), settled=5, last=-6) == (0, -7)
    assert drift(3, 3, before=(3, 5), settled=5, last=4) == (0, 0)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(-9, 9))
def test_what_the_work_itself_explains_is_no_drift(start: int, begun: int, ended: int, seen: int, last: int) -> None:
    ended = min(ended, start + begun)
    counted = start + begun - ended
    # A lap sees of each delivery what was so at some moment of it.
    found = min(max(counted - min(seen, begun), 0) + 0, start + begun)
    assert drift(counted, found, before=(start, 100), settled=100 + ended, last=last) == (0, 0)
