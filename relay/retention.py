"""What of a transfer has been kept long enough?

Pure: what is kept of a transfer, how its deliveries stand, and until when each kind of record has had its time
give what leaves now. What was delivered leaves first, what nobody took last; the transfer itself only when
nothing of it is left. Nothing that is pending leaves, nor anything that it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from relay.closed import Audience

_PENDING = frozenset({"p", "l"})
"""Letters of deliveries that something is still to come of (`relay.accounts`)."""
_EVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """By kind of record, the moment (Unix milliseconds) before which it has had its time; -1 for never."""

    bodies: int = -1
    feed: int = -1
    delivered: int = -1
    canceled: int = -1
    exhausted: int = -1
    refusals: int = -1
    transfers: int = -1

    def of(self, letter: str) -> int:
        """That of deliveries which ended so; what is gone holds up nothing."""
        return {"d": self.delivered, "c": self.canceled, "x": self.exhausted}.get(letter, _EVER)

    @property
    def latest(self) -> int:
        """The moment before which anything at all may have had its time."""
        return max(
            self.bodies, self.feed, self.delivered, self.canceled, self.exhausted, self.refusals, self.transfers
        )


KINDS = ("bodies", "feed", "delivered", "canceled", "exhausted", "refusals", "transfers")
"""The kinds of record that hang on an event, in the order in which they leave by default."""


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """What is kept of one event. `deliveries` are by audience, all that its plans name; `fed` the audiences with an
    entry in a feed; `gone` says that its deliveries' records have left."""

    sequence: int
    accepted_ms: int
    deliveries: Mapping[Audience, Sequence[str]] = field(default_factory=dict)
    bodies: frozenset[Audience] = frozenset()
    fed: frozenset[Audience] = frozenset()
    has_event: bool = False
    gone: bool = False

    @property
    def ids(self) -> list[str]:
        """Every delivery of it."""
        return [one for ids in self.deliveries.values() for one in ids]


@dataclass(frozen=True, slots=True)
class KeptTransfer:
    """What is kept of one transfer. `unplanned`: something of it is still to be planned, or cannot be read."""

    key: str
    final: bool
    unplanned: bool
    current: int
    updated_ms: int
    events: Sequence[KeptEvent] = ()
    refusals: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Leaving:
    """What leaves of one transfer: bodies by (sequence, audience), the events' own stored bodies, the records of
    deliveries by sequence, refusals by event id, and with `whole` all the rest. `waits`: something that has had its time
    is pending still."""

    bodies: list[tuple[int, Audience]] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    records: dict[int, list[str]] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    whole: bool = False
    waits: bool = False

    @property
    def is_anything(self) -> bool:
        """Whether something leaves."""
        return bool(self.bodies or self.events or self.records or self.refusals or self.whole)


def leaving(transfer: KeptTransfer, letters: Mapping[str, str], cutoffs: Cutoffs) -> Leaving:
    """What leaves of a transfer. `letters` are how its deliveries stand: d, x, c, p, l, or '' for no record."""
    found = Leaving()
    if transfer.unplanned:
        found.waits = True
        return found
    last = True
    for event in transfer.events:
        last &= _event(transfer, event, letters, cutoffs, found)
    found.refusals = [id_ for id_, at_ms in transfer.refusals.items() if at_ms <= cutoffs.refusals]
    found.whole = last and transfer.final and transfer.updated_ms <= cutoffs.transfers
    return found


def _event(
    transfer: KeptTransfer, event: KeptEvent, letters: Mapping[str, str], cutoffs: Cutoffs, found: Leaving
) -> bool:
    """Note what leaves of one event; whether nothing of it then holds up its transfer."""
    at_ms = event.accepted_ms
    stands = [letters.get(one, "") for one in event.ids]
    # What is not there and was not taken is missing: the reconciler makes it again.
    pending = any(letter in _PENDING or (letter == "" and not event.gone) for letter in stands)
    found.waits |= pending and at_ms <= cutoffs.latest
    over = not pending and all(at_ms <= cutoffs.of(letter) for letter in stands)
    kept = event.bodies - {audience for audience in event.bodies if _said(event, audience, letters, cutoffs)}
    found.bodies += [(event.sequence, audience) for audience in sorted(event.bodies - kept)]
    if over and not kept and any(stands):
        found.records[event.sequence] = event.ids
    if event.has_event and not kept and transfer.final and event.sequence != transfer.current and at_ms <= cutoffs.bodies:
        found.events.append(event.sequence)
    return over and not kept


def _said(event: KeptEvent, audience: Audience, letters: Mapping[str, str], cutoffs: Cutoffs) -> bool:
    """Whether what an audience was shown of an event has had its time."""
    at_ms = event.accepted_ms
    if audience in event.fed and at_ms > cutoffs.feed:
        return False
    for one in event.deliveries.get(audience, ()):
        letter = letters.get(one, "")
        if letter in _PENDING or (letter == "" and not event.gone) or (letter == "x" and at_ms > cutoffs.exhausted):
            return False
    return at_ms <= max(cutoffs.bodies, _records(event, audience, letters, cutoffs))


def _records(event: KeptEvent, audience: Audience, letters: Mapping[str, str], cutoffs: Cutoffs) -> int:
    """Until when the records of an audience's deliveries have had their time: no body outlives them."""
    known = [cutoffs.of(letters[one]) for one in event.deliveries.get(audience, ()) if letters.get(one)]
    return min(known, default=-1)
