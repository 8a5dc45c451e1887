"""How does a SIM move that has left `ready`?

With the support's help: the source fills in a form and pays a fee, the destination gets a mail and accepts,
and it is done at the beginning of the next month if it was accepted by the 20th, else of the one after
(inferred). Days and months are Japan's (inferred). Never for a terminated SIM. No API: the form's fields are
the sandbox's own. Pure.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Final

import msgspec

from relay.model import Record
from relay.sandbox.sims import handlers
from relay.sandbox.sims.refusals import Code
from relay.sandbox.sims.world import Application, Owned, Phase, Sim, Status, World, new_id, put, with_sims
from relay.sandbox.system import Answer, Note, Step
from relay.times import from_ms, to_ms

JAPAN: Final = timezone(timedelta(hours=9))
LAST_DAY: Final = 20
MOST_APPLICATIONS: Final = 100


class Form(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the source fills in. `group`: one of the destination's, in which the SIMs are to be."""

    source: str
    target: str
    email: str
    imsis: tuple[str, ...]
    group: str = ""


def apply(world: World, form: Form, now_ms: int) -> Step[World]:
    """The source hands in the form."""
    source, target = world.operators.get(form.source), world.operators.get(form.target)
    if source is None or target is None:
        raise Code.NO_OPERATOR.refuse(form.source if source is None else form.target)
    if target.email.casefold() != form.email.casefold():
        raise Code.NO_MATCH.refuse()
    if source.id == target.id:
        raise Code.SAME_OPERATOR.refuse()
    if {source.id[:3], target.id[:3]} == {"OP0", "OP2"}:
        raise Code.OTHER_COVERAGE.refuse("OP0… and OP2…")
    if not form.imsis:
        raise Code.INVALID.refuse("name the SIMs")
    for imsi in form.imsis:
        _may_go(world, source.id, imsi)
    world, id_ = new_id(world, "application")
    made = Application(
        id=id_, source=source.id, target=target.id, imsis=tuple(dict.fromkeys(form.imsis)), applied_ms=now_ms,
        group=form.group,
    )  # fmt: skip
    text = f"{source.name} applies to transfer {len(made.imsis)} SIMs that are in use; {target.name} gets a mail"
    return Step(_with(world, made), Answer(201, {"id": id_, "fee": made.fee}), notes=(_note(made, text, now_ms),))


def accept(world: World, id_: str, now_ms: int) -> Step[World]:
    """The destination accepts."""
    found = world.applications.get(id_)
    if found is None or found.phase is not Phase.APPLIED:
        raise Code.NO_APPLICATION.refuse()
    if not world.operators[found.target].has_payment:
        raise Code.NO_PAYMENT.refuse(about=id_)
    after = msgspec.structs.replace(found, phase=Phase.ACCEPTED, accepted_ms=now_ms, starts_ms=begins(now_ms))
    day = f"{from_ms(after.starts_ms).astimezone(JAPAN):%Y-%m-%d}"
    text = f"{world.operators[found.target].name} accepts; it is done on {day}"
    return Step(_with(world, after), Answer(200, {"id": id_, "starts_on": day}), notes=(_note(after, text, now_ms),))


def begins(accepted_ms: int) -> int:
    """When what is accepted at this moment is done: a first of a month, in Japan."""
    at = from_ms(accepted_ms).astimezone(JAPAN)
    months = at.year * 12 + at.month - 1 + (1 if at.day <= LAST_DAY else 2)
    return to_ms(datetime(months // 12, months % 12 + 1, 1, tzinfo=JAPAN))


def due(world: World) -> int | None:
    """When the next one is done."""
    return min((one.starts_ms for one in world.applications.values() if one.phase is Phase.ACCEPTED), default=None)


def tick(world: World, now_ms: int) -> Step[World]:
    """What is due is done: what is not terminated meanwhile changes its owner."""
    notes = []
    for one in list(world.applications.values()):
        if one.phase is not Phase.ACCEPTED or one.starts_ms > now_ms:
            continue
        sims = [world.sims[imsi] for imsi in one.imsis if imsi in world.sims]
        going = [sim for sim in sims if sim.status is not Status.TERMINATED and sim.owner == one.source]
        world = handlers.without(world, {sim.imsi for sim in going})
        world = with_sims(world, *(_carried(sim, one, now_ms) for sim in going))
        after = msgspec.structs.replace(one, phase=Phase.DONE)
        world = _with(world, after)
        text = f"{len(going)} of {len(one.imsis)} SIMs are {world.operators[one.target].name}'s; their sessions were cut"
        notes.append(_note(after, text, now_ms))
    return Step(world, notes=tuple(notes))


def _may_go(world: World, source: str, imsi: str) -> None:
    sim = world.sims.get(imsi)
    if sim is None or sim.owner != source:
        raise Code.NO_SIM.refuse(imsi)
    if sim.status is Status.TERMINATED:
        raise Code.TERMINATED.refuse(imsi)
    if sim.status is Status.READY:
        raise Code.STILL_READY.refuse(imsi)
    if any(imsi in one.imsis and one.phase is not Phase.DONE for one in world.applications.values()):
        raise Code.IN_TRANSFER.refuse(imsi)


def _carried(sim: Sim, one: Application, now_ms: int) -> Sim:
    """Its status, tags, expiry, IMEI lock and containers stay; its group, speed class and session do not."""
    return msgspec.structs.replace(
        sim, owners=(*sim.owners, Owned(from_ms=now_ms, operator=one.target)), group=one.group,
        speed_class="s1.standard", has_session=False, changed_ms=now_ms,
    )  # fmt: skip


def _with(world: World, one: Application) -> World:
    applications = put(world.applications, one.id, one)
    over = [id_ for id_, other in applications.items() if other.phase is Phase.DONE]
    for id_ in over[: max(0, len(applications) - MOST_APPLICATIONS)]:
        applications.pop(id_)
    return msgspec.structs.replace(world, applications=applications)


def _note(one: Application, text: str, now_ms: int) -> Note:
    return Note(at_ms=now_ms, what="moved", about=one.id, text=text, data={"status": one.phase.value})
