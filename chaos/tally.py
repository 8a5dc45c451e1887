"""What was acknowledged, what has arrived, and what is wrong with that?

Pure accounts of one run. An arrival is a request that a receiver read to its end and whose signature it
verified; a delivery counts once its receiver has answered 2xx. What arrives again after that is a
duplicate, which at-least-once allows; what arrives again after an answer that asks for it is a retry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple


class Arrival(NamedTuple):
    """One message at one receiver; its `webhook-id` is the id of its event."""

    receiver: str
    transfer: str
    sequence: int
    message_id: str
    body: bytes


@dataclass(slots=True)
class Tally:
    """The accounts; `owed` is by receiver the ids of the acknowledged events that it must get."""

    acknowledged: int = 0
    owed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    mails_owed: int = 0
    delivered: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    arrivals: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    problems: list[str] = field(default_factory=list)
    _newest: dict[tuple[str, str], int] = field(default_factory=dict)
    _known: dict[tuple[str, str, int], tuple[str, bytes]] = field(default_factory=dict)

    def acknowledge(self, event_id: str, receivers: Iterable[str], mails: int) -> None:
        """A producer was answered 202 (or 200 to a repeat)."""
        self.acknowledged += 1
        self.mails_owed += mails
        for receiver in receivers:
            self.owed[receiver].add(event_id)

    def arrive(self, one: Arrival) -> None:
        """A receiver has read a message; whether it accepts it is another question."""
        self.arrivals += 1
        place = (one.receiver, one.transfer)
        if one.sequence < self._newest.get(place, 0):
            self.out_of_order += 1
            self.problems.append(f"{one.receiver}: {one.transfer} {one.sequence} after {self._newest[place]}")
        self._newest[place] = max(one.sequence, self._newest.get(place, 0))
        said = (one.message_id, sha256(one.body).digest())
        first = self._known.setdefault((*place, one.sequence), said)
        if first != said:
            what = "body" if first[0] == one.message_id else "webhook-id"
            self.problems.append(f"{one.receiver}: {one.message_id} came again with another {what}")
        if one.message_id in self.delivered[one.receiver]:
            self.duplicates += 1

    def accept(self, one: Arrival) -> None:
        """A receiver answers 2xx."""
        self.delivered[one.receiver].add(one.message_id)

    def lost(self) -> dict[str, set[str]]:
        """By receiver, what it is still owed."""
        return {who: left for who, ids in self.owed.items() if (left := ids - self.delivered[who])}

    @property
    def delivered_count(self) -> int:
        """Deliveries of acknowledged events that their receivers have accepted."""
        return sum(len(ids & self.delivered[who]) for who, ids in self.owed.items())

    @property
    def owed_count(self) -> int:
        """Deliveries that there must be."""
        return sum(map(len, self.owed.values()))
