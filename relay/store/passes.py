"""What does one step of a pass over a queue record, and what does it bring?

The results that go to `lua/advance.lua` and what it answers: deliveries that are in flight from then on, when the
queue is due again, how the recipient has been doing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from relay.breaker import CLOSED, Breaker
from relay.model import Delivery
from relay.store.stored import reader

_DELIVERY, _BREAKER = reader(Delivery), reader(Breaker)


class Mark(StrEnum):
    """What a result does to its delivery (`lua/advance.lua`)."""

    DELIVERED = "d"
    EXHAUSTED = "x"
    CANCELED = "c"
    AGAIN = "r"
    BACK = "b"
    PROBED = "p"
    KEEP = "m"


class Taken(msgspec.Struct, frozen=True, gc=False):
    """A due delivery that this pass now has in flight. Of the `attempts` made, `base` do not count: those
    before it was reopened, and probes before their time, as with `early` this one is. `lane` is as in
    `Entry`. `body` is what it carries: None where that was not told, empty where it is no longer kept."""

    delivery: Delivery
    attempts: int
    base: int
    sealed: str | None
    early: bool = False
    lane: str = ""
    body: bytes | None = None


FORGET = "-"


class Result(msgspec.Struct, frozen=True, gc=False):
    """What came of one delivery that was in flight. `next_at_ms` 0 with BACK: it waits as it did before.
    `sealed` is the message to KEEP, or FORGET where one may be kept and is of no more use."""

    of: Taken
    mark: Mark
    next_at_ms: int = 0
    reason: str = ""
    attempt: bytes = b""
    sealed: str = ""

    @property
    def flat(self) -> tuple[bytes | str | int, ...]:
        """As `lua/advance.lua` reads it."""
        of = self.of
        return (
            of.delivery.id,
            self.mark.value,
            self.next_at_ms,
            self.reason,
            self.attempt,
            self.sealed,
            of.lane,
            of.attempts,
        )


class Advanced(msgspec.Struct, frozen=True):
    """The answer to a step. `lease_until_ms` is set when another pass holds the queue; `lost` when this
    one does no longer. When `released`, `next_due_ms` says when there is something to do again.
    `incident_ms` is the beginning of what the partner was told of and is not over. `version` is that of what
    the partner has registered, where it was told."""

    taken: list[Taken] = msgspec.field(default_factory=list)
    failing_since_ms: int | None = None
    breaker: Breaker = CLOSED
    incident_ms: int | None = None
    released: bool = False
    next_due_ms: int | None = None
    lease_until_ms: int | None = None
    lost: bool = False
    version: int | None = None


class Opening(msgspec.Struct, frozen=True, gc=False):
    """By which token passes may begin in the step that puts deliveries in their queues, the score that their hints are
    taken with, which is when the lease ends (Unix ms) with a fraction, and how many deliveries each may take."""

    token: str
    until: float
    want: int


class Begun(msgspec.Struct, frozen=True):
    """The first step of a pass, made together with those of others (`Queues.begin`) or with the planning."""

    token: str
    step: Advanced
    lease_until_ms: int


def advanced_of(reply: list[Any]) -> Advanced:
    """The answer of one step."""
    word = reply[0]
    if word == b"busy":
        return Advanced(lease_until_ms=int(reply[1]))
    if word == b"lost":
        return Advanced(lost=True)
    early = reply[5] == b"1"
    taken = [
        Taken(
            _DELIVERY.decode(reply[at + 1]),
            int(reply[at + 2]),
            int(reply[at + 4]),
            reply[at + 3].decode() if reply[at + 3] else None,
            early,
            reply[at + 5].decode(),
            reply[at + 6],
        )
        for at in range(7, len(reply), 7)
    ]
    return Advanced(
        taken=taken,
        failing_since_ms=int(reply[1]) if reply[1] else None,
        breaker=_BREAKER.decode(reply[3]) if reply[3] else CLOSED,
        incident_ms=int(reply[4]) if reply[4] else None,
        released=reply[2] != b"-",
        next_due_ms=int(reply[2]) if reply[2] not in (b"-", b"") else None,
        version=int(reply[6]) if reply[6] else None,
    )
