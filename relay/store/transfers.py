"""What has happened to a transfer, and what is still to be planned?

The face of a transfer's keys. One hash tag `t:<transfer key>` holds them: the hash itself (`v` version,
`s` standing, `link` sealed acceptance link, and for each sequence n `i:n` timeline entry, `x:n` event as
stored, `p:n` plan, `b:n:<audience>` what that audience is shown, `r:<event>` refusals; `c:<address>` where its mail
goes instead) and `in`, the inbox of sequences that nobody has planned yet. An event id is claimed under `e:<event id>`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import IntEnum

import msgspec
import orjson

from relay.model import Audience, Channel, Delivery, EventType, Skip, Status
from relay.store.client import Call, Client, Op, Script
from relay.store.group_commit import GroupCommit
from relay.store.hints import Hint, tag_of, taking
from relay.store.inboxes import Broken, Inbox, inbox_of, is_step, step_of
from relay.store.records import PlannedDelivery, Refusal, TimelineEntry, TransferRecord
from relay.store.registry import Contended
from relay.store.stored import AcceptedStep, FixedPlan, Held, Named, dump, reader


class Accepted(IntEnum):
    """How an acceptance ended."""

    DONE = 0
    MOVED = 1
    REPEATED = 2
    CLAIMED = 3


_TRIES = 32
_HELD, _STEP, _PLAN = reader(Held), reader(AcceptedStep), reader(FixedPlan)


class Known(msgspec.Struct, frozen=True, gc=False):
    """What is known of an event and its transfer before it is judged. `ended`: the id is of an event whose transfer
    retention has taken."""

    claim: bytes | None
    version: int
    held: Held | None
    sequence: int | None
    ended: bool = False


class Acceptance(msgspec.Struct, frozen=True, gc=False):
    """One event on its way in: judged from `version`, it leaves the transfer as `held`."""

    key: str
    event_id: str
    fingerprint: str
    version: int
    held: Held
    step: AcceptedStep
    body: bytes
    link: str
    now_ms: int


class Transfers:
    """Reading and changing transfers."""

    def __init__(self, client: Client, *, joint: bool | None = None) -> None:
        self._client = client
        self._joint = "1" if (client.joint if joint is None else joint) else "0"
        self._look = GroupCommit(client, Script.read("look"))
        self._claim = GroupCommit(client, Script.read("claim"))
        self._accept = GroupCommit(client, Script.read("accept"), lanes=2, confirm=True)
        self._index = GroupCommit(client, Script.read("index"))
        self._refuse = Script.read("refuse")
        self._fields_of = Script.read("fields")
        self.fields = self._fields = GroupCommit(client, self._fields_of, lanes=2)
        self._whole = Script.read("whole")
        self._inbox = Script.read("inbox")
        self._take_unplanned = Script.read("unplanned")
        self._plan = Script.read("plan")
        self._planned = Script.read("planned")
        self._retell = Script.read("retell")
        self._swap = Script.read("swap")
        self._mend = Script.read("mend")

    async def look(self, key: str, event_id: str) -> Known:
        """What is known of the event's id and its transfer."""
        claim, version, held, sequence = await self._look((f"t:{key}", event_id, self._joint))
        if self._joint == "0":
            claim = await self._client.ask("GET", self._client.key(f"e:{event_id}"))
        ended = claim is not None and claim.startswith(b"+")  # lua/release.lua
        return Known(
            claim[1:] if ended else claim,
            int(version or 0),
            None if held is None else _HELD.decode(held),
            None if sequence is None else int(sequence),
            ended,
        )

    async def accept(self, new: Acceptance) -> Accepted:
        """Write one event, if the transfer has not moved since it was judged. Durable on return."""
        if self._joint == "0":
            owner = await self._claim((f"e:{new.event_id}", new.fingerprint))
            if owner.decode() != new.fingerprint:
                return Accepted.CLAIMED
        answer = Accepted(
            await self._accept(
                (
                    f"t:{new.key}",
                    new.version,
                    new.event_id,
                    new.fingerprint,
                    self._joint,
                    new.held.sequence,
                    dump(new.held),
                    dump(new.step),
                    new.body,
                    new.link,
                    new.now_ms,
                    tag_of(Hint.PLAN, new.key),
                )
            )
        )
        if self._joint == "0" and answer is Accepted.DONE:
            # Another slot: a crash right here leaves the event to the sweep, which finds lost hints.
            await self._index((tag_of(Hint.PLAN, new.key), "at", "LT", new.now_ms, new.key))
        return answer

    async def repeat(self, key: str, now_ms: int) -> None:
        """An event of this transfer came again: what a crash or a lack of replicas left undone after its
        acceptance is done now."""
        if self._client.copies.least:
            await self._client.run(self._fields_of, [(f"t:{key}", "v")], confirm=True)
        if self._joint == "0":
            await self._index((tag_of(Hint.PLAN, key), "at", "LT", now_ms, key))

    async def refuse(self, key: str, refusal: Refusal) -> None:
        """Record a refusal on the transfer, once an event."""
        await self._client.run(self._refuse, [(f"t:{key}", refusal.event_id, orjson.dumps(refusal))])

    async def inboxes(self, keys: Sequence[str], most: int) -> list[Inbox]:
        """What each of these transfers has yet to plan, oldest first, at most `most` each. The standing is None where
        there is none, or it cannot be read."""
        replies = await self._client.run(self._inbox, [(f"t:{key}", most) for key in keys])
        return [inbox_of(reply) for reply in replies]

    def taking(self, *, now_ms: int, until: float, most: int, most_each: int) -> Call:
        """The call that takes up to `most` transfers that have something to plan, as `Hints.take` does, with what that
        is, as `inboxes` tells; `batch_of` reads the replies. Only where all data is on one server."""
        ops = taking(Hint.PLAN, now_ms=now_ms, until=until, most=most)
        return Call(self._take_unplanned, [(*op, most_each) for op in ops])

    async def mend(self, key: str, broken: Broken, step: AcceptedStep | None, plan: FixedPlan) -> bool:
        """Settle an inbox entry that cannot be read with this plan, and this step where its own cannot be; what stood
        there is put aside. False where it is not so any more."""
        fields: list[str | bytes] = [f"p:{broken.member}", broken.plan or "", dump(plan)]
        if not is_step(broken.step):
            fields += [f"i:{broken.sequence}", broken.step or "", b"" if step is None else dump(step)]
        (done,) = await self._client.run(self._mend, [(f"t:{key}", broken.member, *fields)])
        return bool(done)

    def fixing(self, plans: Sequence[tuple[str, str, FixedPlan, dict[str, bytes]]], *, alone: bool) -> Call:
        """The call that stores plans (transfer key, inbox member, plan, bodies by `sequence:audience`); in a
        chain, `alone` stops it where somebody stored another before."""
        batch: list[Op] = []
        for key, member, plan, bodies in plans:
            op: list[str | bytes] = [f"t:{key}", member, dump(plan), "1" if alone else ""]
            for name, body in bodies.items():
                op += (name, body)
            batch.append(tuple(op))
        return Call(self._plan, batch)

    async def fix_plans(
        self, plans: Sequence[tuple[str, str, FixedPlan, dict[str, bytes]]]
    ) -> list[FixedPlan | None]:
        """Store plans. The reply to each is None when it is stored now, else the plan that somebody stored before."""
        if not plans:
            return []
        (replies,) = await self._client.batch([self.fixing(plans, alone=False)])
        pairs = zip(plans, replies, strict=True)
        return [plan if reply == b"=" else _PLAN.decode(reply) if reply else None for (_, _, plan, _), reply in pairs]

    def planning_done(self, members: Sequence[tuple[str, str]]) -> Call:
        """The call that says: these inbox members (transfer key, member) are carried out."""
        return Call(self._planned, [(f"t:{key}", member) for key, member in members])

    async def retell(
        self, key: str, sequence: int, audience: Audience, channel: Channel | None = None
    ) -> None:
        """Have one audience of a past event told, unless it was; by one channel, where one came later."""
        member = f"{sequence}~{audience.value}" + (f"~{channel.value}" if channel is not None else "")
        await self._client.run(self._retell, [(f"t:{key}", member, sequence)])

    async def correct(self, key: str, wrong: str, email: str) -> None:
        """From now on mail of this transfer to the one address goes to the other."""
        await self._client.ask("HSET", self._client.key(f"t:{key}"), f"c:{wrong.casefold()}", email)

    async def corrected(self, key: str, wrong: str) -> str | None:
        """Where mail of this transfer to an address goes instead."""
        found = await self._client.ask("HGET", self._client.key(f"t:{key}"), f"c:{wrong.casefold()}")
        return None if found is None else found.decode()

    async def plan_also(self, made: Delivery) -> bool:
        """Add a delivery to what is planned of its event; False when it is planned already."""
        tag, name = f"t:{made.transfer_key}", f"p:{made.sequence}~{made.recipient.audience.value}~{Channel.EMAIL.value}"
        for _ in range(_TRIES):
            raw = await self._client.ask("HGET", self._client.key(tag), name)
            plan = _PLAN.decode(raw) if raw else FixedPlan()
            if any(one.id == made.id for one in plan.deliveries):
                return False
            also = msgspec.structs.replace(plan, deliveries=[*plan.deliveries, made])
            (done,) = await self._client.run(self._swap, [(tag, "", name, raw or b"", dump(also))])
            if done:
                return True
        raise Contended

    async def body(self, key: str, sequence: int, audience: Audience) -> bytes | None:
        """What an audience is shown of an event, as it was fixed when the event was planned."""
        (found,) = await self._fields((f"t:{key}", f"b:{sequence}:{audience.value}"))
        return None if found is None else bytes(found)

    async def keep_body(self, key: str, sequence: int, audience: Audience, body: bytes) -> None:
        """Keep what a message of the relay's own shows, where a transfer's bodies are kept."""
        await self._client.ask("HSET", self._client.key(f"t:{key}"), f"b:{sequence}:{audience.value}", body)

    def asked_bodies(
        self, wanted: Sequence[tuple[str, int, Audience]]
    ) -> asyncio.Future[list[tuple[bytes | None, bytes | None]]]:
        """The same for several (transfer key, sequence, audience), each with the transfer's sealed
        acceptance link while it has one; asked at once, awaited when wanted."""
        return self._fields.asked(
            [(f"t:{key}", f"b:{sequence}:{audience}", "link") for key, sequence, audience in wanted]
        )

    async def held(self, keys: Sequence[str]) -> list[Held | None]:
        """The standings of several transfers."""
        replies = await self._fields.many([(f"t:{key}", "s") for key in keys])
        return [_HELD.decode(r[0]) if r[0] else None for r in replies]

    async def get(self, key: str) -> TransferRecord | None:
        """The whole record of one transfer, by its casefolded id."""
        (flat,) = await self._client.run(self._whole, [(f"t:{key}", "")])
        return next(iter(_records([key], [flat])), None)

    async def several(self, keys: Sequence[str]) -> list[TransferRecord]:
        """The records of several transfers; absent ones are left out."""
        replies = await self._client.run(self._whole, [(f"t:{key}", "") for key in keys])
        return _records(keys, replies)


def _plan(raw: bytes) -> FixedPlan | None:
    try:
        return _PLAN.decode(raw)
    except msgspec.DecodeError:
        return None  # the reconciler says so


def _records(keys: Sequence[str], replies: Sequence[Sequence[bytes]]) -> list[TransferRecord]:
    found = []
    for key, flat in zip(keys, replies, strict=True):
        fields = {flat[at].decode(): flat[at + 1] for at in range(0, len(flat), 2)}
        # What a message of the relay's own shows is kept under such a key too, and is no transfer.
        if "s" in fields:
            found.append(_record(key, fields))
    return found


def _record(key: str, fields: dict[str, bytes]) -> TransferRecord:
    held = _HELD.decode(fields["s"])
    steps = [step_of(fields[f"i:{n}"]) for n in range(1, held.sequence + 1) if f"i:{n}" in fields]
    timeline = [_entry(fields, step) for step in steps if step is not None]
    refusals = [_refusal(raw) for name, raw in fields.items() if name.startswith("r:")]
    return TransferRecord(
        key=key,
        id=held.id,
        kind=held.kind,
        status=held.status,
        sequence=held.sequence,
        derived=held.derived,
        producer=held.producer,
        source_key=held.source,
        target_key=held.target,
        created_at_ms=held.created_ms,
        updated_at_ms=held.updated_ms,
        transfer=orjson.loads(fields[f"x:{held.current}"])["transfer"]
        if f"x:{held.current}" in fields
        else {},
        timeline=timeline,
        refusals=sorted(refusals, key=lambda refusal: refusal.refused_at_ms),
    )


def _entry(fields: dict[str, bytes], step: AcceptedStep) -> TimelineEntry:
    sequence = step.sequence
    # Who is told afterwards may be planned twice: a SIM target's root user is told before its partner is known.
    deliveries: dict[str, PlannedDelivery] = {}
    skips: list[Skip] = []
    later = [
        f"{a.value}{way}"
        for a in Audience
        for way in ("", f"~{Channel.WEBHOOK.value}", f"~{Channel.EMAIL.value}")
    ]
    for name in [f"p:{sequence}", *(f"p:{sequence}~{who}" for who in later)]:
        plan = _plan(fields[name]) if name in fields else None
        if plan is not None:
            deliveries |= {d.id: shown(d) for d in plan.deliveries}
            skips += plan.skips
    return TimelineEntry(
        sequence=step.sequence,
        event_id=step.event_id,
        type=step.type,
        occurred_at=step.occurred_at,
        accepted_at_ms=step.accepted_at_ms,
        producer=step.producer,
        late=step.late,
        repeat=step.repeat,
        derived=step.derived,
        gap=step.gap,
        actor_role=step.actor_role,
        planned=f"p:{sequence}" in fields,
        deliveries=list(deliveries.values()),
        skips=skips,
    )


def shown(delivery: Delivery | Named) -> PlannedDelivery:
    """A planned delivery as a record names it."""
    to = delivery.recipient
    return PlannedDelivery(delivery.id, to.audience, to.channel, to.partner, to.endpoint, to.email)


def _refusal(raw: bytes) -> Refusal:
    known = orjson.loads(raw)
    return Refusal(**{**known, "type": EventType(known["type"]), "status": Status(known["status"])})
