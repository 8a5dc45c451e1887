"""What has a transfer yet to plan, as it is kept, and can it be read?

An inbox entry names an event by its sequence, and whom of its audiences it is for; with it come the step, the event
as stored, and the plan where somebody fixed one before. What cannot be read is told as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from relay.model import Audience, Channel
from relay.store.hints import Claim
from relay.store.stored import AcceptedStep, FixedPlan, Held, reader

_HELD, _STEP, _PLAN = reader(Held), reader(AcceptedStep), reader(FixedPlan)


class Unplanned(msgspec.Struct, frozen=True, gc=False):
    """One inbox entry: an event, all of whose audiences (or only `audience`) are to be told, by every
    channel (or only `channel`)."""

    member: str
    sequence: int
    audience: Audience | None
    channel: Channel | None
    step: AcceptedStep
    body: bytes
    plan: FixedPlan | None


class Broken(msgspec.Struct, frozen=True, gc=False):
    """An inbox entry of which something cannot be read, or is not there: as it is kept. `event_body` may be sound."""

    member: str
    step: bytes | None
    event_body: bytes | None
    plan: bytes | None

    @property
    def sequence(self) -> int:
        """Of which event."""
        return int(self.member.partition("~")[0])


Inbox = tuple[Held | None, list[Unplanned | Broken]]
"""How a transfer stands (None where there is nothing to plan, or it cannot be read), and what it has to plan."""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Transfers that were taken, and what each has to plan."""

    claims: list[Claim]
    inboxes: list[Inbox]


def batch_of(replies: Sequence[Sequence[Any]], until: float) -> Batch:
    """What `lua/unplanned.lua` took."""
    claims, inboxes = [], []
    for flat in replies:
        for at in range(0, len(flat), 2):
            claims.append(Claim(flat[at].decode(), until))
            inboxes.append(inbox_of(flat[at + 1]))
    return Batch(claims, inboxes)


def inbox_of(reply: Sequence[bytes]) -> Inbox:
    """What `lua/inbox.lua` found."""
    return _standing(reply[0]) if reply[0] else None, _unplanned(reply[1:])


def _unplanned(flat: Sequence[bytes]) -> list[Unplanned | Broken]:
    found: list[Unplanned | Broken] = []
    for at in range(0, len(flat), 4):
        member, entry, body, plan = flat[at : at + 4]
        sequence, audience, channel = (*member.decode().split("~"), "", "")[:3]
        try:
            found.append(
                Unplanned(
                    member.decode(),
                    int(sequence),
                    Audience(audience) if audience else None,
                    Channel(channel) if channel else None,
                    _STEP.decode(entry),
                    body,
                    None if plan is None else _PLAN.decode(plan),
                )
                if entry is not None and body is not None
                else Broken(member.decode(), entry, body, plan)
            )
        except msgspec.DecodeError:
            found.append(Broken(member.decode(), entry, body, plan))
    return found


def _standing(raw: bytes) -> Held | None:
    try:
        return _HELD.decode(raw)
    except msgspec.DecodeError:
        return None


def is_step(raw: bytes | None) -> bool:
    """Whether this is a step that can be read."""
    return raw is not None and step_of(raw) is not None


def step_of(raw: bytes) -> AcceptedStep | None:
    """A step as it is kept; None where it cannot be read."""
    try:
        return _STEP.decode(raw)
    except msgspec.DecodeError:
        return None
