"""Does a system of the sandbox keep its time, its calls and its faults?"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.sandbox import clock, desk, faults
from relay.sandbox.clock import Dial
from relay.sandbox.desk import Desk
from relay.sandbox.system import Answer, Call, Fault, Refusal, Step, Verdict
from relay.times import format_ms

NOW = 1_790_000_000_000
MINUTE = 60_000
Counts = tuple[int, ...]


class Ticking:
    """A system whose state is the moments at which it ticked: each minute from NOW on, five times."""

    name = "ticking"
    faults = {"own": "a fault of its own"}

    def new(self, seed: str, now_ms: int) -> Counts:
        return ()

    def anew(self, state: Counts, seed: str, now_ms: int) -> Counts:
        return ()

    def load(self, raw: bytes) -> Counts:
        return tuple(msgspec.json.decode(raw))

    def dump(self, state: Counts) -> bytes:
        return msgspec.json.encode(state)

    def due(self, state: Counts) -> int | None:
        return NOW + (len(state) + 1) * MINUTE if len(state) < 5 else None

    def tick(self, state: Counts, now_ms: int) -> Step[Counts]:
        return Step((*state, now_ms), calls=(call(f"tick-{len(state)}", now_ms),))

    def fault(self, state: Counts, fault: Fault, now_ms: int) -> Step[Counts]:
        if fault.item == 13:
            raise Refusal(Answer(400), "not this one")
        return Step((*state, -fault.item))

    def waiting(self, state: Counts) -> tuple[Fault, ...]:
        return ()

    def forgiven(self, state: Counts) -> Counts:
        return state

    def heard(self, state: Counts, call: Call, verdict: Verdict, now_ms: int) -> Step[Counts]:
        return Step(state)

    def waits_ms(self, call: Call) -> int:
        return call.tried * MINUTE

    def summary(self, state: Counts, now_ms: int) -> dict[str, Any]:
        return {}


def call(id_: str, due_ms: int = NOW, **changes: Any) -> Call:
    given = {"id": id_, "url": "https://r.example/", "event": "e", "about": "t", "to": "one", "body": "{}",
             "headers": {}, "due_ms": due_ms}  # fmt: skip
    return Call(**given | changes)


MODEL = Ticking()


def test_however_far_the_clock_jumps_each_timer_fires_at_its_own_moment() -> None:
    done = desk.passed(MODEL, Desk(()), NOW + 3 * MINUTE)
    assert done.desk.state == (NOW + MINUTE, NOW + 2 * MINUTE, NOW + 3 * MINUTE)
    done = desk.passed(MODEL, done.desk, NOW + 100 * MINUTE)
    assert len(done.desk.state) == len(done.desk.calls) == 5
    assert desk.due(MODEL, done.desk) == NOW + MINUTE  # the calls are owed still


def test_a_desk_is_read_back_as_it_was_written() -> None:
    found = desk.passed(MODEL, Desk((), (), (Fault(kind="drop"),)), NOW + 2 * MINUTE).desk
    assert desk.load(MODEL, desk.dump(MODEL, found), "seed", NOW) == found
    assert desk.load(MODEL, b"", "seed", NOW) == Desk(())


def test_a_refusal_changes_nothing_and_is_noted() -> None:
    def refuse(state: Counts, now_ms: int) -> Step[Counts]:
        raise Refusal(Answer(403), "no", "t")

    done = desk.asked(MODEL, Desk(()), refuse, NOW)
    assert (done.desk, done.answer.status) == (Desk(()), 403)
    assert [(note.what, note.about) for note in done.notes] == [("refused", "t")]


def test_a_call_is_tried_again_later_and_given_up_in_the_end() -> None:
    found, now = Desk((), (call("c", tries=3),)), NOW
    for tried in (1, 2):
        found = desk.called(MODEL, found, "c", Verdict(500), now).desk
        now = found.calls[0].due_ms
        assert (found.calls[0].tried, now) == (tried, NOW + (1 + 2 * (tried - 1)) * MINUTE)
    done = desk.called(MODEL, found, "c", Verdict(0, "ClientError"), now)
    assert done.desk.calls == ()
    assert [note.what for note in done.notes] == ["called", "gave_up"]
    assert desk.called(MODEL, Desk((), (call("c"),)), "c", Verdict(200), NOW).desk.calls == ()
    assert desk.called(MODEL, Desk(()), "unknown", Verdict(200), NOW).desk == Desk(())


@pytest.mark.parametrize(
    ("fault", "ids"),
    [
        (Fault(kind="drop"), ["b", "c"]),
        (Fault(kind="drop", count=2), ["c"]),
        (Fault(kind="drop", event="other"), ["a", "b", "c"]),
        (Fault(kind="drop", tenant="two"), ["a", "c"]),
        (Fault(kind="drop", transfer="u"), ["a", "b"]),
        (Fault(kind="twice"), ["a", "a-again", "b", "c"]),
        (Fault(kind="reorder"), ["b", "a", "c"]),
    ],
)
def test_faults_of_calls(fault: Fault, ids: list[str]) -> None:
    new = [call("a"), call("b", to="two"), call("c", NOW + 5_000, about="u")]
    waiting, left, notes = faults.queued([], new, [fault], NOW)
    assert [one.id for one in sorted(waiting, key=lambda one: one.due_ms)] == ids
    assert bool(left) is (fault.event == "other")
    assert bool(notes) is not bool(left)


def test_a_badly_signed_call_is_signed_well_the_next_time() -> None:
    (bad,), _, _ = faults.queued([], [call("a")], [Fault(kind="bad_signature")], NOW)
    assert bad.is_badly_signed
    (again,) = desk.called(MODEL, Desk((), (bad,)), "a", Verdict(401), NOW).desk.calls
    assert not again.is_badly_signed


def test_a_call_that_is_held_back_for_nothing_goes_in_the_end() -> None:
    (held,), _, _ = faults.queued([], [call("a")], [Fault(kind="reorder")], NOW)
    assert NOW < held.due_ms <= NOW + 10 * MINUTE


def test_an_api_that_is_away_comes_back_and_one_that_throttles_counts() -> None:
    found = desk.faulted(MODEL, Desk(()), Fault(kind="down", seconds=3600), NOW).desk
    answer, _ = desk.gated(MODEL, found, NOW + 3_599_000)
    assert answer is not None
    assert answer.status == 503
    answer, done = desk.gated(MODEL, found, NOW + 3_600_000)
    assert (answer, done.desk.faults) == (None, ())
    found = desk.faulted(MODEL, Desk(()), Fault(kind="throttle", seconds=7, count=2), NOW).desk
    for _ in range(2):
        answer, done = desk.gated(MODEL, found, NOW)
        assert answer == Answer(429, headers={"Retry-After": "7"})
        found = done.desk
    assert desk.gated(MODEL, found, NOW)[0] is None


def test_a_systems_own_fault_is_its_own_and_may_be_refused() -> None:
    assert desk.faulted(MODEL, Desk(()), Fault(kind="own", item=7), NOW).desk.state == (-7,)
    refused = desk.faulted(MODEL, Desk(()), Fault(kind="own", item=13), NOW)
    assert (refused.desk.state, refused.answer.status) == ((), 400)


def test_the_clock_stands_where_years_end_that_can_be_written() -> None:
    dial = clock.run(clock.jump(Dial(shown_ms=10**12, rate=1.0), 0, 10**17), 0, clock.FASTEST)
    for real in (0, 10**9):
        assert format_ms(clock.shown(dial, real)) == "9000-01-01T00:00:00.000Z"


@given(st.lists(st.tuples(st.integers(0, 10**9), st.sampled_from(["run", "stop", "jump"]), st.integers(0, 10**9))))
def test_the_clock_never_goes_back(steps: list[tuple[int, str, int]]) -> None:
    dial, real, shown = Dial(), NOW, NOW
    for later, what, how in steps:
        real += later
        assert clock.shown(dial, real) >= shown
        if what == "jump":
            dial = clock.jump(dial, real, how)
        else:
            dial = clock.run(dial, real, 0.0 if what == "stop" else how % 1000 / 10)
        shown = clock.shown(dial, real)
        assert clock.dial_of(clock.dump(dial)) == dial
        moment = clock.real(dial, shown + 5_000)
        assert moment is None if dial.rate == 0 else abs(clock.shown(dial, moment or 0) - shown - 5_000) <= 1 + dial.rate
