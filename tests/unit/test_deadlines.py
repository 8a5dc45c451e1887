"""When does time speak of a transfer, and what does it say?"""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.deadlines import (
    ANSWER_WITHIN_MS,
    Conclusion,
    Open,
    Rules,
    deadlines,
    derived_id,
    due,
    event_of,
    may_have_any,
)
from relay.lifecycle import Move, Standing, judge
from relay.model import MOVES_TO, Event, EventType, Kind, Status
from tests.events import least

HOUR = 3_600_000
DAY = 24 * HOUR
T = 1_795_000_000_000
RULES = Rules(True, 72 * HOUR, frozenset({Kind.SUBSCRIPTION}), DAY, (7 * DAY, DAY))
PLAIN = Rules(True, 72 * HOUR, frozenset({Kind.SUBSCRIPTION}), DAY)


def open_(status: Status = Status.PENDING, kind: Kind = Kind.SUBSCRIPTION, **changes: int) -> Open:
    given_ = {"move": 1, "moved_ms": T, "accepted_ms": T, "created_ms": T} | changes
    return Open(key="tr-1", kind=kind, status=status, **given_)


def said(transfer: Open, rules: Rules = PLAIN) -> list[tuple[str, int]]:
    return [(one.step, one.at_ms - T) for one in deadlines(transfer, rules)]


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        (open_(), [("expire", ANSWER_WITHIN_MS)]),
        (open_(expires_ms=T + 3 * DAY), [("expire", 3 * DAY)]),
        # Never within a day of what was last accepted, whatever it was.
        (open_(expires_ms=T - 9 * DAY), [("expire", DAY)]),
        (open_(expires_ms=T + 3 * DAY, accepted_ms=T + 3 * DAY - 1), [("expire", 4 * DAY - 1)]),
        (open_(Status.IN_PROGRESS), [("stall:1", 72 * HOUR)]),
        (open_(Status.IN_PROGRESS, move=4), [("stall:4", 72 * HOUR)]),
        (open_(Status.IN_PROGRESS, moved_ms=T - 4 * DAY), [("stall:1", DAY)]),
        (open_(Status.IN_PROGRESS, Kind.SIM), []),
        (open_(Status.PENDING, Kind.SIM), []),
        *[
            (open_(status, kind), [])
            for kind in Kind
            for status in set(Status) - {Status.PENDING, Status.IN_PROGRESS}
        ],
    ],
)
def test_the_rule(transfer: Open, expected: list[tuple[str, int]]) -> None:
    assert said(transfer) == expected
    if expected:
        assert may_have_any(transfer.kind, transfer.status, PLAIN)


def test_what_is_switched_off_is_never_due() -> None:
    off = Rules(False, 0, frozenset(Kind), 0)
    for kind in Kind:
        for status in Status:
            assert not deadlines(open_(status, kind), off)
            assert not may_have_any(kind, status, off)


def test_reminders_come_before_the_expiry_and_not_before_the_transfer() -> None:
    week, day, end = 7 * DAY, DAY, ANSWER_WITHIN_MS
    assert said(open_(), RULES) == [(f"remind:{week}", end - week), (f"remind:{day}", end - day), ("expire", end)]
    assert said(open_(expires_ms=T + 5 * DAY), RULES) == [(f"remind:{day}", 4 * DAY), ("expire", 5 * DAY)]
    assert said(open_(expires_ms=T), RULES) == [("expire", DAY)]


def _due(at_ms: int, *told: str, transfer: Open | None = None) -> tuple[str | None, int | None]:
    now, later = due(deadlines(transfer or open_(), RULES), frozenset(told), T + at_ms)
    return None if now is None else now.step, None if later is None else later - T


def test_one_thing_at_a_time_falls_due() -> None:
    week, day, end = ANSWER_WITHIN_MS - 7 * DAY, ANSWER_WITHIN_MS - DAY, ANSWER_WITHIN_MS
    assert _due(0) == (None, week)
    assert _due(week) == (f"remind:{7 * DAY}", day)
    assert _due(week, f"remind:{7 * DAY}") == (None, day)
    assert _due(day) == (f"remind:{DAY}", end), "what was missed is not caught up on"
    assert _due(day, f"remind:{DAY}") == (None, end), "nor after the later one was given"
    assert _due(end) == ("expire", None)
    assert _due(end, "expire") == (None, None)


def test_nobody_is_reminded_of_what_is_past() -> None:
    late = open_(expires_ms=T + 2 * DAY, accepted_ms=T + DAY - 1)
    quiet = Rules(True, 0, frozenset(), 9 * DAY, (DAY,))
    now, later = due(deadlines(late, quiet), frozenset(), T + 2 * DAY)
    assert (now, later) == (None, T + 10 * DAY - 1)


def test_an_id_is_a_function_of_the_transfer_and_the_step() -> None:
    assert derived_id("tr-1", "expire") == derived_id("tr-1", "expire")
    ids = {derived_id(key, step) for key in ("tr-1", "tr-2") for step in ("expire", "stall:1", "stall:2")}
    assert len(ids) == 6
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", one) for one in ids)


@pytest.mark.parametrize(
    ("what", "posted", "type_", "status"),
    [
        (open_(), "transfer.created", EventType.EXPIRED, Status.EXPIRED),
        (open_(Status.IN_PROGRESS), "transfer.updated", EventType.STALLED, Status.IN_PROGRESS),
    ],
)
def test_a_derived_event_tells_the_transfer_as_it_was_last_described(
    what: Open, posted: str, type_: EventType, status: Status
) -> None:
    last = least(type_=posted) | {"actor": {"role": "admin_agent"}}
    (deadline,) = deadlines(what, PLAIN)
    event = Event.model_validate(event_of("tr-1", last, deadline))
    assert (event.type, event.transfer.status, event.actor) == (type_, status, None)
    assert event.transfer.model_dump(exclude={"status"}) == Event.model_validate(last).transfer.model_dump(
        exclude={"status"}
    )
    assert event.occurred_ns // 1_000_000 == deadline.fact_ms


# --- whatever comes ---------------------------------------------------------------------------------------------

_TIMES = st.integers(T - 100 * DAY, T + 100 * DAY)
_OPEN = st.builds(
    Open,
    key=st.just("tr-1"),
    kind=st.sampled_from(Kind),
    status=st.sampled_from(Status),
    move=st.integers(1, 9),
    moved_ms=_TIMES,
    accepted_ms=_TIMES,
    created_ms=_TIMES,
    expires_ms=st.none() | _TIMES,
)
_RULES = st.builds(
    Rules,
    expires=st.booleans(),
    stalled_after_ms=st.integers(0, 9 * DAY),
    stalled_kinds=st.frozensets(st.sampled_from(Kind)),
    quiet_ms=st.integers(0, 3 * DAY),
    remind_before_ms=st.lists(st.integers(1, 40 * DAY), max_size=4).map(tuple),
)


@given(_OPEN, _RULES)
def test_time_says_nothing_of_what_was_spoken_of_lately(transfer: Open, rules: Rules) -> None:
    found = deadlines(transfer, rules)
    assert all(one.at_ms <= two.at_ms for one, two in pairwise(found))
    assert len({one.step for one in found}) == len(found)
    assert bool(found) <= may_have_any(transfer.kind, transfer.status, rules)
    for one in found:
        if one.what is not Conclusion.REMIND:
            assert one.at_ms >= transfer.accepted_ms + rules.quiet_ms
            assert one.fact_ms <= one.at_ms or one.fact_ms == transfer.moved_ms
        else:
            assert transfer.accepted_ms < one.at_ms < (one.until_ms or 0)


@given(_OPEN, _RULES, st.lists(st.integers(0, 20 * DAY), max_size=40))
def test_looking_ever_again_tells_each_thing_once_and_then_ends(transfer: Open, rules: Rules, steps: list[int]) -> None:
    found, told, now = deadlines(transfer, rules), list[str](), T - 200 * DAY
    for ahead in [*steps, 1_000 * DAY, 0, 0]:
        now += ahead
        one, later = due(found, frozenset(told), now)
        assert later is None or later > now
        if one is not None:
            told.append(one.step)
    assert len(set(told)) == len(told)
    ends = [one.step for one in found if one.what is not Conclusion.REMIND]
    assert set(ends) <= set(told)
    assert due(found, frozenset(told), now) == (None, None)


@given(st.lists(st.tuples(st.sampled_from(sorted(MOVES_TO)), st.integers(0, 60)), min_size=1, max_size=8), st.data())
def test_what_producers_say_after_a_derived_expiry_is_as_if_it_had_not_been_derived(
    events: list[tuple[EventType, int]], data: st.DataObject
) -> None:
    """But that the same fact is not told twice: an expiry that a producer confirms is a repeat."""
    kind, at = Kind.SUBSCRIPTION, data.draw(st.integers(0, len(events)))
    plain: Standing | None = None
    derived: Standing | None = None
    for number, (type_, when) in enumerate([*events, (EventType.EXPIRED, 99)]):
        if number == at and derived is not None:
            concluded = judge(derived, kind=kind, type_=EventType.EXPIRED, occurred_ns=when, derived=True)
            assert concluded.is_accepted == (derived.status in (Status.PENDING, Status.EXPIRED))
            derived = concluded.standing
        told_plain = judge(plain, kind=kind, type_=type_, occurred_ns=when)
        told = judge(derived, kind=kind, type_=type_, occurred_ns=when)
        if derived is not None and derived.derived and type_ is EventType.EXPIRED:
            assert (told_plain.move, told.move) == (Move.APPLIED, Move.REPEAT)
        else:
            assert told.move is told_plain.move
            assert told.gap == told_plain.gap
        plain, derived = told_plain.standing, told.standing
        assert plain is not None
        assert derived is not None
        if not derived.derived:
            assert (derived.kind, derived.status) == (plain.kind, plain.status)
