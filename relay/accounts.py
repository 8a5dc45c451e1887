"""Does what was accepted add up with what was told?

For every accepted event and everyone it was to be told to, one of a few states; what fits none of them is
*unaccounted*, and there must be none of it. Pure: what the store found of one transfer gives a `Tally`, and
what to do about what is missing. Also here: whether the count of pending deliveries has drifted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from relay.model import Channel


class State(StrEnum):
    """How one recipient of one event stands; `UNPLANNED` and `GONE` count events."""

    DELIVERED = "delivered"  # it arrived
    SCHEDULED = "scheduled"  # it waits for its time, its turn or its endpoint, or is on the wire
    EXHAUSTED = "exhausted"  # every attempt failed, or none could be made; the delivery says why
    CANCELED = "canceled"  # no longer to be sent; the delivery says why
    SKIPPED = "skipped"  # not to be told; the plan says why
    UNPLANNED = "unplanned"  # accepted a moment ago: who is told is about to be settled
    GONE = "gone"  # settled so long ago that retention has taken the records
    UNACCOUNTED = "unaccounted"  # none of these: a fault of the relay's, which the next lap mends


OWED = {"d": State.DELIVERED, "x": State.EXHAUSTED, "c": State.CANCELED, "p": State.SCHEDULED}
"""How a delivery stands, by the letter its record has."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One plan of one event: whom it names, and how many it says are not told. None where it cannot be read."""

    member: str
    sequence: int
    deliveries: tuple[str, ...] | None
    skips: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """What the transfer's own slot says: the sequences accepted, those whose records are gone, what waits to be
    planned (`<sequence>` or `<sequence>~<audience>…`), and the plans."""

    key: str
    accepted: frozenset[int]
    gone: frozenset[int]
    waiting: frozenset[str]
    plans: tuple[Planned, ...]

    @property
    def deliveries(self) -> tuple[str, ...]:
        """Every delivery that the plans name."""
        return tuple(one for plan in self._counted for one in plan.deliveries or ())

    @property
    def _counted(self) -> list[Planned]:
        return [plan for plan in self.plans if plan.sequence not in self.gone]


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that does not add up, in a sentence. `member` is what to plan, or carry out, once
    more; '' where that would not mend it."""

    transfer: str
    sequence: int
    member: str
    detail: str
    delivery: str | None = None


@dataclass(slots=True)
class Tally:
    """What one or more transfers come to. `pending` counts scheduled deliveries by channel."""

    events: int = 0
    states: Counter[str] = field(default_factory=Counter)
    pending: Counter[str] = field(default_factory=Counter)
    missing: list[Missing] = field(default_factory=list)


def settle(account: Account, owed: Mapping[str, str], tally: Tally) -> None:
    """Add one transfer to the tally. `owed` is each delivery's letter; '' where there is no such delivery, 'l'
    where it was pending and nothing would have come of it: that is mended by whoever looked, and told."""
    tally.events += len(account.accepted)
    settled = {plan.member for plan in account.plans}
    for sequence in sorted(account.accepted):
        if sequence in account.gone:
            tally.states[State.GONE] += 1
        elif str(sequence) in account.waiting:
            tally.states[State.UNPLANNED] += 1
        elif str(sequence) not in settled:
            _miss(tally, Missing(account.key, sequence, str(sequence), "it was accepted and never planned"))
    counted: set[str] = set()
    for plan in account.plans:
        if plan.sequence in account.gone:
            continue
        tally.states[State.SKIPPED] += plan.skips
        if plan.deliveries is None:
            _miss(tally, Missing(account.key, plan.sequence, "", "its plan cannot be read"))
        for delivery in plan.deliveries or ():
            if delivery not in counted:
                counted.add(delivery)
                _one(account, plan, delivery, owed.get(delivery, ""), tally)


def _one(account: Account, plan: Planned, delivery: str, letter: str, tally: Tally) -> None:
    if letter in OWED:
        tally.states[OWED[letter]] += 1
        if letter == "p":
            tally.pending[_channel(delivery)] += 1
    elif letter == "l":
        tally.pending[_channel(delivery)] += 1
        detail = "it was pending and nothing would have come of it"
        _miss(tally, Missing(account.key, plan.sequence, "", detail, delivery))
    elif plan.member in account.waiting:
        # Its plan is being carried out in this moment.
        tally.states[State.SCHEDULED] += 1
    else:
        detail = "the plan names it and no queue knows it"
        _miss(tally, Missing(account.key, plan.sequence, plan.member, detail, delivery))


def _miss(tally: Tally, one: Missing) -> None:
    tally.states[State.UNACCOUNTED] += 1
    tally.missing.append(one)


def _channel(delivery: str) -> Channel:
    return Channel.EMAIL if delivery.startswith("dlv_mb_") else Channel.WEBHOOK


def drift(counted: int, found: int, *, before: Sequence[int], settled: int, last: int) -> tuple[int, int]:
    """By how much the count of pending deliveries is to be changed, and the drift that was seen.

    `found` were pending when the lap came by each of them; `before` is (pending, settled) as they were counted
    when it began, `settled` at its end. What was planned and settled meanwhile may or may not have been seen: only
    what that cannot explain is drift, and only what two laps see alike (`last`) is mended, because a process
    writes its counts up to a second late.
    """
    pending_before, settled_before = before
    ended = max(0, settled - settled_before)
    begun = max(0, counted - pending_before + ended)
    off = found - counted
    slack = begun + ended
    seen = 0 if abs(off) <= slack else off - slack if off > 0 else off + slack
    return (seen if seen and seen == last else 0), seen
