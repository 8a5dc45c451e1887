"""What each event is to a transfer: the whole tables of the contract, and what never happens."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.lifecycle import FINAL, Move, Standing, judge
from relay.model import MOVES_TO, EventType, Kind, Status

T = 1_000
STEPS = [type_ for type_ in EventType if type_ is not EventType.STALLED]

# Per kind: a row for each status, a column for each status an event moves to, in the order of `STEPS`.
# a applied · g applied with a gap · l late · r repeat · x refused. The event is later than the last one.
#                     created updated completed partially failed expired canceled
TABLES = {
    Kind.SUBSCRIPTION: {
        Status.PENDING:             "r a g g g a a",
        Status.IN_PROGRESS:         "x r a a a x x",
        Status.COMPLETED:           "l l r l x x x",
        Status.PARTIALLY_COMPLETED: "x a a r a x x",
        Status.FAILED:              "l l x l r x x",
        Status.EXPIRED:             "l l x l x r x",
        Status.CANCELED:            "l l x l x x r",
    },
    Kind.SIM: {
        Status.PENDING:             "r a a a a x a",
        Status.IN_PROGRESS:         "x r a a a x x",
        Status.COMPLETED:           "l l r l x x x",
        Status.PARTIALLY_COMPLETED: "x a a r a x x",
        Status.FAILED:              "l l x l r x x",
        Status.CANCELED:            "l l x l x x r",
    },
}  # fmt: skip
CELLS = [
    (kind, status, type_, letter)
    for kind, rows in TABLES.items()
    for status, row in rows.items()
    for type_, letter in zip(
        (EventType.CREATED, EventType.UPDATED, EventType.COMPLETED, EventType.PARTIALLY_COMPLETED,
         EventType.FAILED, EventType.EXPIRED, EventType.CANCELED),
        row.split(), strict=True,
    )
]  # fmt: skip
WORD = {"a": Move.APPLIED, "g": Move.APPLIED, "l": Move.LATE, "r": Move.REPEAT, "x": Move.REFUSED}


@pytest.mark.parametrize(("kind", "status", "type_", "letter"), CELLS)
def test_every_move_has_the_verdict_of_the_contract(
    kind: Kind, status: Status, type_: EventType, letter: str
) -> None:
    standing = Standing(kind, status, T)
    verdict = judge(standing, kind=kind, type_=type_, occurred_ns=T + 1)
    assert verdict.move is WORD[letter]
    assert verdict.gap is (letter == "g")
    assert verdict.is_accepted is (letter != "x")
    if letter in "ag":
        assert verdict.standing == Standing(kind, MOVES_TO[type_], T + 1)
    else:
        assert verdict.standing == standing
    assert bool(verdict.reason) is (letter == "x")


@pytest.mark.parametrize(("kind", "status", "type_", "letter"), CELLS)
def test_an_older_step_is_late_unless_it_is_final_or_a_repeat(
    kind: Kind, status: Status, type_: EventType, letter: str
) -> None:
    verdict = judge(Standing(kind, status, T), kind=kind, type_=type_, occurred_ns=T - 1)
    final = MOVES_TO[type_] in FINAL
    assert verdict.move is (WORD[letter] if final or letter == "r" else Move.LATE)


@pytest.mark.parametrize(("kind", "type_"), list(product(Kind, STEPS)))
def test_a_transfer_may_begin_with_any_step(kind: Kind, type_: EventType) -> None:
    verdict = judge(None, kind=kind, type_=type_, occurred_ns=T)
    assert verdict.move is Move.APPLIED
    assert verdict.gap is (type_ is not EventType.CREATED)
    assert verdict.standing == Standing(kind, MOVES_TO[type_], T)


def test_a_step_of_the_same_moment_is_not_late() -> None:
    standing = Standing(Kind.SUBSCRIPTION, Status.PARTIALLY_COMPLETED, T)
    verdict = judge(standing, kind=Kind.SUBSCRIPTION, type_=EventType.UPDATED, occurred_ns=T)
    assert verdict.move is Move.APPLIED


def test_a_transfer_does_not_change_its_kind() -> None:
    standing = Standing(Kind.SIM, Status.PENDING, T)
    verdict = judge(standing, kind=Kind.SUBSCRIPTION, type_=EventType.UPDATED, occurred_ns=T)
    assert (verdict.move, verdict.standing) == (Move.REFUSED, standing)


@pytest.mark.parametrize("status", Status)
def test_a_stall_moves_nothing(status: Status) -> None:
    standing = Standing(Kind.SUBSCRIPTION, status, T)
    verdict = judge(standing, kind=standing.kind, type_=EventType.STALLED, occurred_ns=T + 1, derived=True)
    assert (verdict.move, verdict.standing) == (Move.APPLIED, standing)


# --- what the relay concluded itself ---------------------------------------------------------------

DERIVED = Standing(Kind.SUBSCRIPTION, Status.EXPIRED, T, derived=True, before=Status.PENDING)


def _said(type_: EventType, occurred_ns: int = T + 1) -> tuple[Move, Standing | None]:
    verdict = judge(DERIVED, kind=Kind.SUBSCRIPTION, type_=type_, occurred_ns=occurred_ns)
    return verdict.move, verdict.standing


def test_a_derived_state_remembers_where_the_producer_left_the_transfer() -> None:
    pending = Standing(Kind.SUBSCRIPTION, Status.PENDING, T)
    verdict = judge(pending, kind=pending.kind, type_=EventType.EXPIRED, occurred_ns=T + 9, derived=True)
    assert (verdict.move, verdict.standing) == (Move.APPLIED, DERIVED)


def test_the_same_fact_is_confirmed_and_not_told_twice() -> None:
    assert _said(EventType.EXPIRED) == (Move.REPEAT, Standing(Kind.SUBSCRIPTION, Status.EXPIRED, T))


@pytest.mark.parametrize(
    ("type_", "status"),
    [
        (EventType.CANCELED, Status.CANCELED),
        (EventType.UPDATED, Status.IN_PROGRESS),
        (EventType.COMPLETED, Status.COMPLETED),
    ],
)
def test_another_fact_replaces_a_derived_one_and_is_told(type_: EventType, status: Status) -> None:
    assert _said(type_) == (Move.APPLIED, Standing(Kind.SUBSCRIPTION, status, T + 1))


def test_what_the_producer_had_said_already_is_a_repeat_and_the_derived_state_stays() -> None:
    assert _said(EventType.CREATED) == (Move.REPEAT, DERIVED)


def test_an_older_step_than_the_producers_last_is_late_although_the_state_is_derived() -> None:
    assert _said(EventType.UPDATED, T - 1) == (Move.LATE, DERIVED)


def test_the_relay_concludes_one_thing_only() -> None:
    again = judge(DERIVED, kind=Kind.SUBSCRIPTION, type_=EventType.EXPIRED, occurred_ns=T, derived=True)
    assert again.move is Move.REPEAT
    other = judge(DERIVED, kind=Kind.SUBSCRIPTION, type_=EventType.FAILED, occurred_ns=T, derived=True)
    assert other.move is Move.REFUSED


def test_the_relay_concludes_nothing_about_what_has_ended() -> None:
    done = Standing(Kind.SUBSCRIPTION, Status.COMPLETED, T)
    verdict = judge(done, kind=done.kind, type_=EventType.EXPIRED, occurred_ns=T + 1, derived=True)
    assert verdict.move is Move.REFUSED


# --- whatever comes -----------------------------------------------------------------------------------

_EVENTS = st.lists(
    st.tuples(st.sampled_from(EventType), st.integers(0, 50), st.booleans()), min_size=1, max_size=30
)


@given(st.sampled_from(Kind), _EVENTS)
def test_a_final_state_is_left_only_when_it_was_derived(
    kind: Kind, events: list[tuple[EventType, int, bool]]
) -> None:
    standing: Standing | None = None
    for type_, at, derived in events:
        verdict = judge(standing, kind=kind, type_=type_, occurred_ns=at, derived=derived)
        after = verdict.standing
        if standing is not None and standing.status in FINAL and not standing.derived:
            assert after is not None
            assert after.status is standing.status
            assert not after.derived
        if verdict.move is not Move.APPLIED and standing is not None:
            assert after is not None
            assert after.status is standing.status
            assert after.moved_ns == standing.moved_ns
        if after is not None and not derived and verdict.move is Move.APPLIED and type_ in MOVES_TO:
            assert not after.derived
        standing = after


@given(st.sampled_from(Kind), _EVENTS)
def test_posting_everything_again_changes_nothing_once_it_has_ended(
    kind: Kind, events: list[tuple[EventType, int, bool]]
) -> None:
    standing: Standing | None = None
    for type_, at, _ in events:
        standing = judge(standing, kind=kind, type_=type_, occurred_ns=at).standing
    if standing is not None and standing.status in FINAL:
        for type_, at, _ in events:
            assert judge(standing, kind=kind, type_=type_, occurred_ns=at).standing == standing
