"""What happens to a transfer by itself?

A pending one expires after 30 days. A submitted one has its items moved, each in its own time: usually within
15 minutes; what cannot be moved is tried again every hour, and given up after 72 hours. When the last item is
done the transfer is complete, partially complete or failed. Pure.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from relay.sandbox.subscriptions import telling
from relay.sandbox.subscriptions.world import (
    Line,
    State,
    Subscription,
    Transfer,
    World,
    new_id,
    put,
    with_transfer,
)
from relay.sandbox.system import Call, Fault, Note, Step

FAULTS: Final = {
    "fail_item": "item number `item` (from 1) of the next submission, or of `transfer`, fails",
    "stall": "the next submission, or `transfer`, is held up for `seconds` (72 h); `then`: complete or fail",
    "forget_tokens": "no token that was given until now is taken any more",
    "overwrite": "another tool replaces the one registration of `tenant` (its id with the relay)",
}
_SOONEST_MS, _SPREAD_MS = 120_000, 660_000
"""Between two and thirteen minutes: "usually 15"."""
_AGAIN_MS: Final = 3_600_000
LONGEST_MS: Final = 72 * 3_600_000
_SYSTEM: Final = "system"
_FAILED: Final = (
    "Subscription SyncState must be SyncComplete for the Subscription to be a source in a Subscription Ownership "
    "Transfer, current state: None"
)
_HELD_UP: Final = "The item could not be processed within 72 hours"
_EVENTS: Final = {State.COMPLETE: "complete-transfer", State.FAILED: "fail-transfer", State.EXPIRED: "expire-transfer"}


def begin(world: World, transfer: Transfer, now_ms: int) -> tuple[World, Transfer]:
    """A transfer was submitted; the faults that wait for that are used up on it."""
    lines = tuple(
        line
        if line.status is not State.IN_PROGRESS
        else msgspec.structs.replace(line, try_ms=now_ms + _takes_ms(transfer, line), blocked_ms=0, is_doomed=False)
        for line in transfer.lines
    )
    transfer = msgspec.structs.replace(
        transfer, status=State.IN_PROGRESS, submitted_ms=now_ms, moved_ms=now_ms, done_ms=0, lines=lines
    )
    mine = [one for one in world.plans if one.transfer in ("", transfer.id)]
    for plan in mine:
        transfer = troubled(transfer, plan)
    left = tuple(
        msgspec.structs.replace(one, count=one.count - 1) if one in mine else one
        for one in world.plans
        if one not in mine or one.count > 1
    )
    return msgspec.structs.replace(world, plans=left), transfer


def troubled(transfer: Transfer, plan: Fault) -> Transfer:
    """A transfer in progress to which this fault happens."""
    lines = tuple(
        _troubled(transfer, line, plan) if line.status is State.IN_PROGRESS else line for line in transfer.lines
    )
    return msgspec.structs.replace(transfer, lines=lines)


def due(world: World) -> int | None:
    """When something happens next."""
    return min((moment for one in world.transfers.values() if (moment := _due(one)) is not None), default=None)


def tick(world: World, now_ms: int, url: str) -> Step[World]:
    """All that is due now has happened."""
    step = Step(world)
    for transfer in world.transfers.values():
        moment = _due(transfer)
        if moment is not None and moment <= now_ms:
            one = _expired(step.state, transfer, now_ms, url) if transfer.status is State.ACTIVE else _tried(
                step.state, transfer, now_ms, url
            )
            step = Step(one.state, calls=(*step.calls, *one.calls), notes=(*step.notes, *one.notes))
    return step


def _due(transfer: Transfer) -> int | None:
    if transfer.status is State.ACTIVE:
        return transfer.expires_ms
    if transfer.status is State.IN_PROGRESS:
        return min((line.try_ms for line in transfer.lines if line.status is State.IN_PROGRESS), default=0)
    return None


def _expired(world: World, transfer: Transfer, now_ms: int, url: str) -> Step[World]:
    after = msgspec.structs.replace(transfer, status=State.EXPIRED, moved_ms=now_ms)
    return _told(world, after, "nobody has accepted it in 30 days", now_ms, url)


def _tried(world: World, transfer: Transfer, now_ms: int, url: str) -> Step[World]:
    lines: list[Line] = []
    notes: list[Note] = []
    for line in transfer.lines:
        if line.status is not State.IN_PROGRESS or line.try_ms > now_ms:
            lines.append(line)
            continue
        world, after = _moved(world, transfer, line, now_ms)
        lines.append(after)
        text = f"item {line.number + 1}, {line.name}: {after.status.value}"
        if after.status is not State.IN_PROGRESS:
            notes.append(Note(at_ms=now_ms, what="moved", about=transfer.id, text=text))
    transfer = msgspec.structs.replace(transfer, lines=tuple(lines), moved_ms=now_ms)
    states = {line.status for line in lines}
    if State.IN_PROGRESS in states:
        return Step(with_transfer(world, transfer), notes=tuple(notes))
    outcome = states.pop() if len(states) == 1 else State.PARTIALLY_COMPLETE
    transfer = msgspec.structs.replace(transfer, status=outcome, done_ms=now_ms)
    done = sum(line.status is State.COMPLETE for line in lines)
    step = _told(world, transfer, f"{done} of {len(lines)} items have moved to {transfer.target_name}", now_ms, url)
    return Step(step.state, calls=step.calls, notes=(*notes, *step.notes))


def _moved(world: World, transfer: Transfer, line: Line, now_ms: int) -> tuple[World, Line]:
    """One item is tried: it is moved under a new id, or fails, or is tried again later."""
    given_up = now_ms >= transfer.submitted_ms + LONGEST_MS
    if line.blocked_ms > now_ms and not given_up:
        again = min(now_ms + _AGAIN_MS, line.blocked_ms, transfer.submitted_ms + LONGEST_MS)
        return world, msgspec.structs.replace(line, try_ms=again)
    before = world.subscriptions.get(line.subscription)
    if before is None or line.is_doomed or line.blocked_ms > now_ms:
        error = _HELD_UP if line.blocked_ms else _FAILED
        return world, msgspec.structs.replace(line, status=State.FAILED, error=error)
    world, id_ = new_id(world)
    gone = msgspec.structs.replace(before, is_active=False)
    new = Subscription(
        id=id_, customer=before.customer, owner=transfer.target, name=before.name, product=before.product,
        quantity=before.quantity,
    )  # fmt: skip
    owned = put(put(world.subscriptions, gone.id, gone), id_, new)
    done = msgspec.structs.replace(line, status=State.COMPLETE, result=id_)
    return msgspec.structs.replace(world, subscriptions=owned), done


def _told(world: World, transfer: Transfer, text: str, now_ms: int, url: str) -> Step[World]:
    world = with_transfer(world, transfer)
    event = _EVENTS.get(transfer.status)
    calls: tuple[Call, ...] = ()
    if event is not None:
        world, calls = telling.told(world, event, transfer, now_ms, by=_SYSTEM, url=url)
    else:
        text += "; there is no event for it"
    note = Note(at_ms=now_ms, what="moved", about=transfer.id, text=text, data={"status": transfer.status.value})
    return Step(world, calls=calls, notes=(note,))


def _takes_ms(transfer: Transfer, line: Line) -> int:
    return _SOONEST_MS + zlib.crc32(f"{transfer.id}{line.number}".encode()) % _SPREAD_MS


def _troubled(transfer: Transfer, line: Line, plan: Fault) -> Line:
    if plan.kind == "fail_item":
        return msgspec.structs.replace(line, is_doomed=True) if line.number + 1 == plan.item else line
    until = transfer.submitted_ms + (plan.seconds * 1000 or LONGEST_MS)
    dooms = line.is_doomed or plan.then == "fail"
    return msgspec.structs.replace(line, blocked_ms=until, is_doomed=dooms)
