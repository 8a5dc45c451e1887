"""What is a system that the sandbox plays?

A pure model: a function of its state, of what is asked and of the time, to a `Step`: the new state, the
answer, the calls that it now owes to others, and notes for who watches. It reads no clock, throws no dice
(ids follow from the state) and touches nothing. Times are Unix milliseconds of the sandbox's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from relay.model import Record

S = TypeVar("S")


class Call(Record, frozen=True, kw_only=True):
    """A request that a system owes somebody: `event` is what it tells, `about` of which transfer, `to` whom
    (as people know them), `scheme` how it is signed, in its system's own word. It is tried `tries` times in
    all, first when it is due."""

    id: str
    url: str
    event: str
    about: str
    to: str
    body: str
    headers: dict[str, str]
    due_ms: int
    scheme: str = ""
    tries: int = 10
    tried: int = 0
    is_badly_signed: bool = False
    is_held: bool = False


class Note(Record, frozen=True, kw_only=True):
    """Something that happened, for who watches. `what` is one of NOTES; `about` is the transfer, or ""."""

    at_ms: int
    what: str
    about: str
    text: str
    data: dict[str, Any] = msgspec.field(default_factory=dict)


NOTES = {
    "asked": "somebody used the system's API and it did as asked",
    "refused": "somebody used the system's API and was refused",
    "moved": "a transfer changed its state",
    "called": "a call was made, and how it was answered",
    "gave_up": "a call was tried as often as the system tries, and is tried no more",
    "fault": "a fault was asked for, or happened",
    "clock": "the sandbox's time was changed",
}
"""Every kind of note."""


class Fault(Record, frozen=True, kw_only=True):
    """Something that is to go wrong. What the fields mean is said by each kind (`Model.faults`)."""

    kind: str
    count: int = 1
    transfer: str = ""
    tenant: str = ""
    event: str = ""
    item: int = 0
    seconds: int = 0
    until_ms: int = 0
    then: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered: a status, JSON (None: no body) and headers."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step(Generic[S]):
    """What a system does: its new state, the answer to who asked, calls it owes now, notes."""

    state: S
    answer: Answer = field(default_factory=Answer)
    calls: tuple[Call, ...] = ()
    notes: tuple[Note, ...] = ()


class Refusal(Exception):
    """The system refuses: the state stays as it is. `note` says it to who watches."""

    def __init__(self, answer: Answer, note: str, about: str = "") -> None:
        super().__init__(note)
        self.answer = answer
        self.note = note
        self.about = about


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a call was answered: its status, 0 where there was no answer, and then why in a word or two."""

    status: int
    why: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the call has arrived."""
        return 200 <= self.status < 300


class Model(Protocol[S]):
    """A system. `faults` names the kinds of its own faults, each with a line for people."""

    name: str
    faults: Mapping[str, str]

    def new(self, seed: str, now_ms: int) -> S:
        """Its first state; `seed` makes ids differ from world to world."""

    def anew(self, state: S, seed: str, now_ms: int) -> S:
        """A first state again, in which whoever listens still does."""

    def load(self, raw: bytes) -> S:
        """A state from what `dump` made."""

    def dump(self, state: S) -> bytes:
        """As JSON."""

    def due(self, state: S) -> int | None:
        """When something happens by itself next; None: nothing will."""

    def tick(self, state: S, now_ms: int) -> Step[S]:
        """What is due at `now_ms` has happened."""

    def fault(self, state: S, fault: Fault, now_ms: int) -> Step[S]:
        """One of its own faults is to happen. Raises Refusal when it cannot."""

    def waiting(self, state: S) -> tuple[Fault, ...]:
        """Its own faults that were asked for and have not happened yet."""

    def forgiven(self, state: S) -> S:
        """None of them waits any more."""

    def heard(self, state: S, call: Call, verdict: Verdict, now_ms: int) -> Step[S]:
        """A call was made and this was the answer."""

    def waits_ms(self, call: Call) -> int:
        """How long until a call that failed `call.tried` times is tried again."""

    def summary(self, state: S, now_ms: int) -> dict[str, Any]:
        """The world as a person may look at it, as JSON."""
