"""May this event move this transfer, and what is it then?

The two transfer lifecycles of the contract, section 2, as one pure decision: what the transfer is now
(`Standing`, or None before its first event) and one event give a `Verdict`. Nothing here knows how a
standing is stored or who is told.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from functools import cache

from msgspec import Struct
from msgspec.structs import replace

from relay.model import MOVES_TO, EventType, Kind, Status

_IN_PROGRESS_ON = frozenset({Status.COMPLETED, Status.PARTIALLY_COMPLETED, Status.FAILED})
_AFTER_PARTIAL = frozenset({Status.IN_PROGRESS, Status.COMPLETED, Status.FAILED})
MOVES: dict[Kind, dict[Status, frozenset[Status]]] = {
    Kind.SUBSCRIPTION: {
        Status.PENDING: frozenset({Status.IN_PROGRESS, Status.EXPIRED, Status.CANCELED}),
        Status.IN_PROGRESS: _IN_PROGRESS_ON,
        Status.PARTIALLY_COMPLETED: _AFTER_PARTIAL,
    },
    Kind.SIM: {
        Status.PENDING: _IN_PROGRESS_ON | {Status.IN_PROGRESS, Status.CANCELED},
        Status.IN_PROGRESS: _IN_PROGRESS_ON,
        Status.PARTIALLY_COMPLETED: _AFTER_PARTIAL,
    },
}
FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.EXPIRED, Status.CANCELED})


class Move(StrEnum):
    """What an event is to a transfer."""

    APPLIED = "applied"
    LATE = "late"
    REPEAT = "repeat"
    REFUSED = "refused"


class Standing(Struct, frozen=True, gc=False):
    """Where a transfer stands. `moved_ns` is the `occurred_at` of the last applied event.

    While `derived`, the status is the relay's own conclusion and `before` is where the producers left
    the transfer: what a producer says next is judged from there.
    """

    kind: Kind
    status: Status
    moved_ns: int
    derived: bool = False
    before: Status | None = None


class Verdict(Struct, frozen=True, gc=False):
    """What the event is, where the transfer stands after it, and, when refused, the reason in a sentence."""

    move: Move
    standing: Standing | None
    gap: bool = False
    reason: str = ""

    @property
    def is_accepted(self) -> bool:
        """Whether the event is recorded and given a sequence."""
        return self.move is not Move.REFUSED


def judge(
    standing: Standing | None, *, kind: Kind, type_: EventType, occurred_ns: int, derived: bool = False
) -> Verdict:
    """The verdict on one event. `derived` says that the relay itself concluded it."""
    if type_ is EventType.STALLED:
        return Verdict(Move.APPLIED, standing)
    to = MOVES_TO[type_]
    if standing is None:
        return Verdict(
            Move.APPLIED, Standing(kind, to, occurred_ns, derived), gap=type_ is not EventType.CREATED
        )
    if kind is not standing.kind:
        return Verdict(Move.REFUSED, standing, reason=f"this is a {standing.kind} transfer, not a {kind} one")
    if to is standing.status:
        confirmed = standing if derived else replace(standing, derived=False, before=None)
        return Verdict(Move.REPEAT, confirmed)
    if standing.derived and derived:
        return Verdict(Move.REFUSED, standing, reason="another state was already derived")
    said = standing.before if standing.derived and standing.before is not None else standing.status
    if to is said:
        return Verdict(Move.REPEAT, standing)
    if to not in FINAL and (said in FINAL or occurred_ns < standing.moved_ns):
        return Verdict(Move.LATE, standing)
    steps = _steps(kind, said, to)
    if steps is None:
        return Verdict(Move.REFUSED, standing, reason=f"a {kind} transfer that is {said} cannot become {to}")
    moved = Standing(
        kind,
        to,
        standing.moved_ns if derived else occurred_ns,
        derived,
        said if derived else None,
    )
    return Verdict(Move.APPLIED, moved, gap=steps > 1)


@cache
def _steps(kind: Kind, start: Status, goal: Status) -> int | None:
    """How many legal moves lead from `start` to `goal`; None when no path does."""
    reached = {start: 0}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for there in MOVES[kind].get(here, frozenset()):
            if there not in reached:
                reached[there] = reached[here] + 1
                queue.append(there)
    return reached.get(goal)
