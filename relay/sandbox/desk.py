"""What becomes of one system when time passes, when it is asked, and when a call of its was answered?

A `Desk` is a system's state with the calls that it owes and the faults that were asked for: all that is
kept of it, as one. Timers fire one by one, each at its own moment, however far the clock has jumped. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, TypeVar

import msgspec

from relay.model import Record
from relay.sandbox import faults
from relay.sandbox.system import Answer, Call, Fault, Model, Note, Refusal, Step, Verdict

S = TypeVar("S")
_MOST_TICKS: Final = 10_000
_MOST_FAULTS: Final = 100


class _Kept(Record, frozen=True, kw_only=True):
    state: msgspec.Raw
    calls: list[Call] = msgspec.field(default_factory=list)
    faults: list[Fault] = msgspec.field(default_factory=list)


_dump = msgspec.json.Encoder().encode
_load = msgspec.json.Decoder(_Kept).decode


@dataclass(frozen=True, slots=True)
class Desk(Generic[S]):
    """One system, whole."""

    state: S
    calls: tuple[Call, ...] = ()
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Done(Generic[S]):
    """What it is now, what was answered and what there is to note."""

    desk: Desk[S]
    answer: Answer = field(default_factory=Answer)
    notes: tuple[Note, ...] = ()


def load(model: Model[S], raw: bytes, seed: str, now_ms: int) -> Desk[S]:
    """The system that was kept; a new one where there is none."""
    if not raw:
        return Desk(model.new(seed, now_ms))
    kept = _load(raw)
    return Desk(model.load(bytes(kept.state)), tuple(kept.calls), tuple(kept.faults))


def dump(model: Model[S], desk: Desk[S]) -> bytes:
    """As it is kept."""
    kept = _Kept(state=msgspec.Raw(model.dump(desk.state)), calls=list(desk.calls), faults=list(desk.faults))
    return _dump(kept)


def passed(model: Model[S], desk: Desk[S], now_ms: int) -> Done[S]:
    """All that happens by itself until now has happened."""
    done = Done(desk)
    for _ in range(_MOST_TICKS):
        due = model.due(done.desk.state)
        if due is None or due > now_ms:
            return done
        done = _taken(done, model.tick(done.desk.state, due), due)
    raise RuntimeError(f"{model.name}: time does not pass")


def asked(model: Model[S], desk: Desk[S], decide: Callable[[S, int], Step[S]], now_ms: int) -> Done[S]:
    """Somebody asked for something, and it was done or refused."""
    done = passed(model, desk, now_ms)
    try:
        step = decide(done.desk.state, now_ms)
    except Refusal as refusal:
        note = Note(at_ms=now_ms, what="refused", about=refusal.about, text=refusal.note)
        return replace(done, answer=refusal.answer, notes=(*done.notes, note))
    return _taken(done, step, now_ms)


def gated(model: Model[S], desk: Desk[S], now_ms: int) -> tuple[Answer | None, Done[S]]:
    """What a request is answered instead of being heard, if anything is wrong with the API just now."""
    answer, left = faults.gate(desk.faults, now_ms)
    return answer, Done(replace(desk, faults=tuple(left)))


def faulted(model: Model[S], desk: Desk[S], fault: Fault, now_ms: int) -> Done[S]:
    """Something is to go wrong."""
    note = Note(at_ms=now_ms, what="fault", about=fault.transfer, text=f"{fault.kind} is asked for")
    if fault.kind not in faults.COMMON:
        done = asked(model, desk, lambda state, now: model.fault(state, fault, now), now_ms)
        return replace(done, notes=(*done.notes, note)) if done.answer.status < 300 else done
    if fault.kind == "down":
        fault = msgspec.structs.replace(fault, until_ms=now_ms + fault.seconds * 1000)
    waiting = (*desk.faults, fault)[-_MOST_FAULTS:]
    return Done(replace(desk, faults=waiting), notes=(note,))


def called(model: Model[S], desk: Desk[S], id_: str, verdict: Verdict, now_ms: int) -> Done[S]:
    """A call was made: it is done, or is to be tried again, or is given up."""
    call = next((one for one in desk.calls if one.id == id_), None)
    if call is None:
        return Done(desk)
    rest = tuple(one for one in desk.calls if one is not call)
    call = msgspec.structs.replace(call, tried=call.tried + 1, is_badly_signed=False)
    data: dict[str, Any] = {"event": call.event, "to": call.to, "status": verdict.status, "tried": call.tried}
    said = str(verdict.status) if verdict.status else verdict.why
    note = Note(at_ms=now_ms, what="called", about=call.about, text=f"{call.event} to {call.to}: {said}", data=data)
    notes = [note]
    if not verdict.is_success and call.tried < call.tries:
        again = msgspec.structs.replace(call, due_ms=now_ms + model.waits_ms(call))
        rest = (*rest, again)
    elif not verdict.is_success:
        text = f"{call.event} to {call.to} is given up after {call.tried} tries"
        notes.append(msgspec.structs.replace(note, what="gave_up", text=text))
    done = Done(replace(desk, calls=rest), notes=tuple(notes))
    return _taken(done, model.heard(done.desk.state, call, verdict, now_ms), now_ms)


def due(model: Model[S], desk: Desk[S]) -> int | None:
    """When there is something to do next: a timer or a call."""
    moments = [call.due_ms for call in desk.calls]
    timer = model.due(desk.state)
    return min(moments if timer is None else (*moments, timer), default=None)


def _taken(done: Done[S], step: Step[S], now_ms: int) -> Done[S]:
    calls, left, notes = faults.queued(done.desk.calls, step.calls, done.desk.faults, now_ms)
    return Done(
        Desk(step.state, tuple(calls), tuple(left)), step.answer, (*done.notes, *step.notes, *notes)
    )
