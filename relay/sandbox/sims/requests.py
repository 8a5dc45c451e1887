"""What may an operator ask for, and when is it refused?

To offer a batch of its SIMs, to accept one, to call one off, and to change a SIM's status, which takes the SIM
out of its batch. Every rule that can refuse is here, in the order in which it is asked. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from relay.sandbox.sims import handlers
from relay.sandbox.sims.refusals import Code
from relay.sandbox.sims.sign_in import Keys
from relay.sandbox.sims.world import (
    Batch,
    BatchState,
    Operator,
    Owned,
    Sim,
    Status,
    World,
    put,
    with_batch,
    with_sims,
)
from relay.sandbox.system import Answer, Call, Note, Step
from relay.sources.sims import transfer_id

MOST_IN_A_BATCH: Final = 100
"""The sandbox's own bound: the documents name none."""
MOVES: Final = {
    "activate": Status.ACTIVE, "deactivate": Status.INACTIVE, "set_to_standby": Status.STANDBY,
    "suspend": Status.SUSPENDED, "terminate": Status.TERMINATED,
}  # fmt: skip
"""How a SIM's status is changed by the API, and to what."""


def issue(world: World, who: Operator, body: Any, now_ms: int, keys: Keys, coverage: str = "jp") -> Step[World]:
    """`POST /v1/subscribers/transfer_token/issue`, by the source: these SIMs, as one batch."""
    fields = body if isinstance(body, dict) else {}
    email, target = fields.get("transferDestinationOperatorEmail"), fields.get("transferDestinationOperatorId")
    imsis = fields.get("transferImsi")
    if not isinstance(email, str) or not isinstance(target, str) or not isinstance(imsis, list):
        raise Code.INVALID.refuse(
            "transferDestinationOperatorEmail, transferDestinationOperatorId and transferImsi are required."
        )
    wanted = list(dict.fromkeys(one for one in imsis if isinstance(one, str)))
    if not wanted or len(wanted) > MOST_IN_A_BATCH:
        raise Code.INVALID.refuse(f"transferImsi: give 1 to {MOST_IN_A_BATCH} IMSIs.")
    _may_go(world, who, target, email)
    sims = [_own(world, who, imsi, coverage) for imsi in wanted]
    for sim in sims:
        if sim.status is not Status.READY:
            raise Code.NOT_READY.refuse(f"{sim.imsi} is {sim.status.value}.")
        if sim.batch:
            raise Code.IN_TRANSFER.refuse(sim.imsi, sim.batch)
    number = world.made + 1
    token = keys.transfer_token(world.seed, number)
    batch = Batch(
        id=transfer_id(token), source=who.id, target=target, imsis=tuple(wanted), issued_ms=now_ms, coverage=coverage
    )
    world = msgspec.structs.replace(world, made=number)
    world = with_batch(with_sims(world, *(msgspec.structs.replace(sim, batch=batch.id) for sim in sims)), batch)
    text = f"{who.name} offers {len(sims)} SIMs to {world.operators[target].name}; the platform mails a link to {email}"
    return Step(world, Answer(200, {"token": token}), notes=(_moved(batch, text, now_ms),))


def verify(world: World, who: Operator, body: Any, now_ms: int) -> Step[World]:
    """`POST /v1/subscribers/transfer_token/verify`, by the destination: what is still ready comes over."""
    token = body.get("token") if isinstance(body, dict) else None
    if not isinstance(token, str):
        raise Code.INVALID.refuse("token is required.")
    batch = _offered(world, token)
    if batch.target != who.id:
        raise Code.NOT_YOURS.refuse(about=batch.id)
    if not who.has_payment:
        raise Code.NO_PAYMENT.refuse(about=batch.id)
    coming = [imsi for imsi in batch.imsis if imsi not in batch.void]
    if world.left_out:
        place, world = world.left_out[0] - 1, msgspec.structs.replace(world, left_out=world.left_out[1:])
        coming = [imsi for imsi in coming if place >= len(batch.imsis) or imsi != batch.imsis[place]]
    if not coming:
        raise Code.ALL_VOID.refuse(about=batch.id)
    world = handlers.without(world, set(coming))
    world = with_sims(world, *(_carried(world.sims[imsi], who.id, now_ms) for imsi in coming))
    world = _released(world, batch)
    after = msgspec.structs.replace(batch, state=BatchState.ACCEPTED, moved=tuple(coming), ended_ms=now_ms)
    text = f"{who.name} takes over {len(coming)} of {len(batch.imsis)} SIMs"
    return Step(with_batch(world, after), Answer(200, {"transferredImsi": coming}), notes=(_moved(after, text, now_ms),))


def delete(world: World, who: Operator, token: str, now_ms: int) -> Step[World]:
    """`DELETE /v1/subscribers/transfer_token/{token}`, by the source: the whole batch stays."""
    batch = _offered(world, token)
    if batch.source != who.id:
        raise Code.NO_TOKEN.refuse(about=batch.id)
    after = msgspec.structs.replace(batch, state=BatchState.CANCELED, ended_ms=now_ms)
    text = f"{who.name} cancels: all {len(batch.imsis)} SIMs of this start stay"
    return Step(_released(with_batch(world, after), after), Answer(204), notes=(_moved(after, text, now_ms),))


def move(world: World, who: Operator, imsi: str, status: Status, now_ms: int) -> Step[World]:
    """A status is set by its owner, in the console or by the API."""
    sim = _own(world, who, imsi)
    if status is Status.READY:
        raise Code.NOT_AGAIN.refuse(about=sim.batch)
    if sim.status is Status.TERMINATED:
        raise Code.TERMINATED.refuse(about=sim.batch)
    if status is Status.TERMINATED and sim.is_protected:
        raise Code.PROTECTED.refuse(about=sim.batch)
    return _changed(world, sim, status, f"{who.name} sets {imsi} to {status.value}", now_ms)


def go_online(world: World, imsi: str, now_ms: int) -> Step[World]:
    """A device connects: a SIM that was ready (or waits in standby) is active from then on."""
    sim = world.sims.get(imsi)
    if sim is None:
        raise Code.NO_SIM.refuse(imsi)
    if sim.status not in (Status.READY, Status.STANDBY, Status.ACTIVE):
        raise Code.INVALID.refuse(f"a SIM that is {sim.status.value} cannot connect")
    world = with_sims(world, msgspec.structs.replace(sim, has_session=True))
    if sim.status is Status.ACTIVE:
        return Step(world, Answer(200, {"imsi": imsi, "status": "active"}))
    return _changed(world, world.sims[imsi], Status.ACTIVE, f"a device with {imsi} connects: it is active", now_ms)


def _changed(world: World, sim: Sim, status: Status, text: str, now_ms: int) -> Step[World]:
    before = sim.status
    after = msgspec.structs.replace(sim, status=status, changed_ms=now_ms)
    world = with_sims(world, after)
    notes = [Note(at_ms=now_ms, what="asked", about=sim.batch, text=text)]
    calls: tuple[Call, ...] = ()
    if status is not before:
        world, calls = handlers.fired(world, after, before, now_ms)
    if sim.batch and status is not before:
        world, note = _voided(world, world.batches[sim.batch], after, now_ms)
        notes.append(note)
    return Step(world, Answer(200, {"imsi": sim.imsi, "status": status.value}), calls, tuple(notes))


def _voided(world: World, batch: Batch, sim: Sim, now_ms: int) -> tuple[World, Note]:
    """A SIM has left the procedure; when none is left in it, there is nothing to accept any more."""
    void = put(batch.void, sim.imsi, sim.status)
    is_lost = set(batch.imsis) <= void.keys()
    after = msgspec.structs.replace(
        batch, void=void, state=BatchState.VOID if is_lost else batch.state, ended_ms=now_ms if is_lost else 0
    )
    world = with_batch(with_sims(world, msgspec.structs.replace(sim, batch="")), after)
    left = len(batch.imsis) - len(void)
    text = f"{sim.imsi} is void for this procedure; " + (f"{left} can still come over" if left else "none is left")
    return world, _moved(after, text, now_ms)


def _may_go(world: World, who: Operator, target: str, email: str) -> None:
    found = world.operators.get(target)
    if found is None or found.email.casefold() != email.casefold():
        raise Code.NO_MATCH.refuse()
    if target == who.id:
        raise Code.SAME_OPERATOR.refuse()
    if {who.id[:3], target[:3]} == {"OP0", "OP2"}:
        raise Code.OTHER_COVERAGE.refuse("OP0… and OP2…")


def _own(world: World, who: Operator, imsi: str, coverage: str = "") -> Sim:
    sim = world.sims.get(imsi)
    if sim is None or sim.owner != who.id or coverage not in ("", sim.coverage):
        raise Code.NO_SIM.refuse(imsi)
    return sim


def _offered(world: World, token: str) -> Batch:
    batch = world.batches.get(transfer_id(token))
    if batch is None or batch.state is not BatchState.OFFERED:
        raise Code.NO_TOKEN.refuse(about=batch.id if batch else "")
    return batch


def _carried(sim: Sim, owner: str, now_ms: int) -> Sim:
    """As a SIM arrives: ready, and without what is not carried over."""
    return msgspec.structs.replace(
        sim, owners=(*sim.owners, Owned(from_ms=now_ms, operator=owner)), changed_ms=now_ms, batch="",
        tags={}, group="", expires_ms=0, is_protected=False,
    )  # fmt: skip


def _released(world: World, batch: Batch) -> World:
    held: Sequence[Sim] = [one for imsi in batch.imsis if (one := world.sims.get(imsi)) and one.batch == batch.id]
    return with_sims(world, *(msgspec.structs.replace(one, batch="") for one in held))


def _moved(batch: Batch, text: str, now_ms: int) -> Note:
    return Note(at_ms=now_ms, what="moved", about=batch.id, text=text, data={"status": batch.state.value})
