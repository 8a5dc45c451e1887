"""Which deliveries go together in one daily mail, and which wait for their day?

Pure: what waits for one person, what they chose and `now` give the mails to make. A mail that was begun stays as it
was: it is sent again with the same deliveries, whatever has come since. What is carried keeps its own identity, state
and attempts; a bundle is a way of carrying.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from relay.model import Delivery
from relay.preferences import Preferences, may_go_ms


@dataclass(frozen=True, slots=True)
class Ticket:
    """By which mail a delivery was to go: the delivery that holds its bytes, and how many it carries."""

    lead: str
    count: int

    def to_bytes(self, letter: bytes = b"") -> bytes:
        """As it is kept with the delivery, before the letter itself where this is the one that holds it."""
        return f"@{self.lead} {self.count}\n".encode() + letter

    @classmethod
    def from_bytes(cls, kept: bytes) -> tuple[Ticket, bytes] | None:
        """What was kept, and the letter; None for what is no ticket."""
        head, _, letter = kept.partition(b"\n")
        if not head.startswith(b"@"):
            return None
        lead, _, count = head[1:].decode().rpartition(" ")
        return cls(lead, int(count)), letter


@dataclass(frozen=True, slots=True)
class Bundled:
    """What is to be done with what waits, by delivery id. `begun` are mails that were made before, under the id that
    holds their bytes; `fresh` is still to be made, `most` at a time; `later` waits until a time, Unix ms."""

    begun: dict[str, list[str]] = field(default_factory=dict)
    fresh: list[list[str]] = field(default_factory=list)
    later: dict[str, int] = field(default_factory=dict)


def bundle(
    waiting: Sequence[tuple[Delivery, Ticket | None]],
    known: Mapping[str, Preferences],
    *,
    now_ms: int,
    hour: int,
    zone: ZoneInfo,
    most: int,
) -> Bundled:
    """Sort what waits for one person, oldest first in each mail. `hour` and `zone` are for who chose none."""
    made = Bundled()
    ready: list[str] = []
    there = {delivery.id for delivery, ticket in waiting if ticket is not None and ticket.lead == delivery.id}
    for delivery, ticket in sorted(waiting, key=_age):
        if ticket is not None and ticket.lead in there:
            made.begun.setdefault(ticket.lead, []).append(delivery.id)
            continue
        at_ms = may_go_ms(known, delivery, hour, zone)
        if at_ms > now_ms and ticket is None:
            made.later[delivery.id] = at_ms
        else:
            ready.append(delivery.id)
    made.fresh.extend(ready[at : at + most] for at in range(0, len(ready), most))
    return made


def _age(one: tuple[Delivery, Ticket | None]) -> tuple[int, str, int, str]:
    delivery = one[0]
    return delivery.created_at_ms, delivery.transfer_key, delivery.sequence, delivery.id
