"""Which events follow from what a callback said and what was fetched?

A callback names a step and its moment; what is fetched is the state by then, which may be further on.
Steps are told as they were said, each once, in order: a callback that is repeated adds nothing, an outcome
that comes before the submission waits for it a little while, and the creation, whose time the transfer
itself has, is told first in any case. What no callback ever says is found by looking (`said` None).
Pure; times are RFC 3339.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from relay.lifecycle import FINAL
from relay.model import EventType, Status
from relay.sources.entity import Fetched, type_of
from relay.times import to_ns

_OUTCOMES = frozenset(
    {EventType.COMPLETED, EventType.FAILED, EventType.PARTIALLY_COMPLETED, EventType.EXPIRED, EventType.CANCELED}
)
_AFTER_SUBMISSION = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.PARTIALLY_COMPLETED})


@dataclass(frozen=True, slots=True)
class Past:
    """A step that the relay was told of before, by a producer and not by its own conclusion."""

    type: EventType
    occurred_at: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step to tell now. `number` counts how often the transfer came to it, from 0."""

    type: EventType
    occurred_at: str
    number: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What to tell now, and whether to look at the callback again shortly. `over`: nothing more will come."""

    tell: tuple[Step, ...]
    wait: bool
    over: bool


def decide(
    said: EventType | None, said_at: str | None, fetched: Fetched, past: Sequence[Past], *, patient: bool
) -> Decision:
    """`said` is what a callback named at `said_at`; None when somebody only looked. `patient`: a step that
    is missing before this one may still be said."""
    found = None if fetched.status is None else type_of(fetched.status)
    type_ = found if said is None else said
    stale = False
    if said in _OUTCOMES and found is not said:
        # One word, "complete" or "fail", may stand for a partial outcome; the state says which it is.
        type_ = found if found in _OUTCOMES else said
        stale = found not in _OUTCOMES
    told = list(past)
    tell: list[Step] = []
    if not any(one.type is EventType.CREATED for one in told):
        tell.append(Step(EventType.CREATED, fetched.created_at, 0))
        told.append(Past(EventType.CREATED, fetched.created_at))
    over = bool(told) and found is not None and fetched.status in FINAL
    if type_ is None:
        return Decision(tuple(tell), wait=False, over=False)
    at = said_at if said is not None and said_at is not None else _found_at(fetched, told)
    if _is_told(type_, at, told):
        return Decision(tuple(tell), wait=False, over=over and any(one.type is found for one in told))
    unsubmitted = type_ in _AFTER_SUBMISSION and not _submitted(told)
    if patient and (stale or (unsubmitted and said is not None)):
        return Decision(tuple(tell), wait=True, over=False)
    tell.append(Step(type_, at, sum(one.type is type_ for one in told)))
    return Decision(tuple(tell), wait=False, over=over and type_ is found)


def event_id(transfer: str, step: Step) -> str:
    """A function of the transfer and the step, whichever tenant's callback or look brought it."""
    about = f"{transfer.casefold()}\0{step.type.value}\0{step.number}"
    return f"pc-{hashlib.blake2b(about.encode(), digest_size=16).hexdigest()}"


def is_further(status: Status | None, past: Sequence[Past]) -> bool:
    """Whether what was fetched is a state that nobody has said yet."""
    return status is not None and not any(one.type is type_of(status) for one in past)


def _is_told(type_: EventType, at: str, told: Sequence[Past]) -> bool:
    """Whether this very step was told. Only a partial outcome lets a transfer come to a step again."""
    places = [place for place, one in enumerate(told) if one.type is type_]
    if not places:
        return False
    after = told[places[-1] + 1 :]
    if type_ is EventType.UPDATED:
        partial = [one for one in after if one.type is EventType.PARTIALLY_COMPLETED]
        return not any(to_ns(at) > to_ns(one.occurred_at) for one in partial)
    if type_ is EventType.PARTIALLY_COMPLETED:
        return not any(one.type is EventType.UPDATED for one in after)
    return True


def _submitted(told: Sequence[Past]) -> bool:
    return any(one.type in (EventType.UPDATED, EventType.PARTIALLY_COMPLETED) for one in told)


def _found_at(fetched: Fetched, told: Sequence[Past]) -> str:
    """When a state was reached that was only looked at: when the transfer was last modified, and not before
    what is known of it."""
    last = max((one.occurred_at for one in told), key=to_ns)
    moved = fetched.moved_at
    return moved if moved is not None and to_ns(moved) >= to_ns(last) else last
