"""What is done about what Partner Center said, and about what it never says?

A worker takes up the kept callbacks of one tenant, fetches the transfer, and posts the steps that follow;
and it looks, politely, at transfers that are open, because being canceled or partially completed is never
said. What cannot be done now stays and is taken up again: a tenant whose upstream is away waits as a whole.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec

from relay.auth import Caller
from relay.config_sources import PartnerCenter, Tenant
from relay.door import Door
from relay.intake import Invalid, parse
from relay.model import EventType, Record, Status, TokenHolder
from relay.sources import callback, entity
from relay.sources.callback import Callback
from relay.sources.entity import Fetched, Unusable
from relay.sources.parties import Parties
from relay.sources.partner_api import PartnerApi, Upstream, source_of
from relay.sources.partner_center import CALLBACK, Heard, dump, heard
from relay.sources.registration import WATCH, Registrar
from relay.sources.steps import Decision, Past, Step, decide, event_id, is_further
from relay.sources.trouble import Health
from relay.store import Store
from relay.store.records import TransferRecord
from relay.store.sources import Task
from relay.times import format_ms, to_datetime, to_ms

OPEN: Final = "o:"
"""What the task of an open transfer begins with; its key follows."""
CALLER: Final = Caller(TokenHolder.PRODUCER, "partner-center")
"""In whose name the events of every tenant are posted: two tenants may tell of one transfer."""
_AT_ONCE = 16
_LEASE_MS = 180_000
_LOOK_AGAIN_MS = 2_000
_ABSENT_S = (5, 30, 120, 600, 3600, 4 * 3600)
"""Waits for a transfer that is not there (yet), or that this tenant may not see."""
_PAUSES_S = (2, 5, 10, 20, 40, 80, 160, 300)
_WATCHED_MS = 120 * 86_400_000
_DAY_MS = 86_400_000


class Open(Record, frozen=True, kw_only=True):
    """A transfer that may still move. `tries` counts how often it was not there."""

    customer: str
    transfer: str
    since_ms: int
    tries: int = 0


_open = msgspec.json.Decoder(Open)


@dataclass(frozen=True, slots=True)
class Seen:
    """A transfer as it was fetched: what is told of it, what the other party sees of it, where that is asked."""

    transfer: Fetched
    other: Fetched | None
    ours: str


class Again(Exception):
    """The task is due again at `at_ms`, with this text; `note` says why."""

    def __init__(self, at_ms: int, text: bytes = b"") -> None:
        super().__init__(at_ms)
        self.at_ms = at_ms
        self.text = text


class TenantWorker:
    """Works for one tenant. `tick` may be called at any time, by any number of workers."""

    def __init__(
        self,
        tenant: Tenant,
        settings: PartnerCenter,
        apis: Mapping[str, PartnerApi],
        parties: Parties,
        door: Door,
        store: Store,
        health: Health,
        registrar: Registrar,
        clock: Callable[[], int],
    ) -> None:
        self._tenant = tenant
        self._settings = settings
        self._apis = apis
        self._api = apis[tenant.name]
        self._parties = parties
        self._door = door
        self._store = store
        self._health = health
        self._registrar = registrar
        self._clock = clock
        self.source = source_of(tenant)
        self._paused_until = 0
        self._failed = 0
        self._looks: list[int] = []

    @property
    def paused_until_ms(self) -> int:
        """The upstream is left alone until then."""
        return self._paused_until

    async def tick(self) -> int:
        """Take up what is due; how much that was. Raises StoreError."""
        now = self._clock()
        if now < self._paused_until:
            return 0
        until = now + _LEASE_MS + random.random()
        tasks = await self._store.sources.take(self.source, now_ms=now, until=until, most=_AT_ONCE)
        lanes: defaultdict[str, list[tuple[str, Task, Callback | None]]] = defaultdict(list)
        for task in tasks:
            said = None
            if task.id.startswith(CALLBACK) and task.text:
                said = callback.read(heard.decode(task.text).raw.encode())
            key = (said.transfer if said is not None else None) or task.id.removeprefix(OPEN)
            lanes[key.casefold()].append(((said.occurred_at if said is not None else None) or "~", task, said))
        await asyncio.gather(*(self._lane(sorted(lane, key=lambda one: one[0])) for lane in lanes.values()))
        return len(tasks)

    async def _lane(self, lane: list[tuple[str, Task, Callback | None]]) -> None:
        """What is due about one transfer, in the order in which it happened."""
        for _, task, said in lane:
            if task.id == WATCH:
                await self._registrar.watch(task)
                continue
            if not task.text:  # another has done it meanwhile
                await self._store.sources.settle(self.source, task)
                continue
            try:
                outcome = await (
                    self._hear(heard.decode(task.text), said)
                    if task.id.startswith(CALLBACK)
                    else self._look(_open.decode(task.text))
                )
            except Again as again:
                await self._store.sources.settle(self.source, task, again_ms=again.at_ms, text=again.text)
                continue
            except Upstream as error:
                await self._pause(error)
                await self._store.sources.settle(self.source, task, again_ms=self._paused_until)
                continue
            self._failed = 0
            await self._health.right("authorization", "throttled", "unreachable")
            note = b""
            if task.id.startswith(CALLBACK):
                self._health.count("worked", outcome)
                note = msgspec.json.encode(
                    {"at": format_ms(self._clock()), "event": said.name if said else "", "outcome": outcome,
                     "transfer": said.transfer if said else None}
                )  # fmt: skip
            await self._store.sources.settle(self.source, task, note=note)

    async def _pause(self, error: Upstream) -> None:
        """Leave the upstream alone for as long as it asks, or longer each time that it fails."""
        wait_s = error.after_s if error.after_s is not None else _PAUSES_S[min(self._failed, len(_PAUSES_S) - 1)]
        self._failed += 1
        self._paused_until = max(self._paused_until, self._clock() + max(1, wait_s) * 1000)
        await self._health.wrong(error.kind, error.detail, until_ms=self._paused_until)

    # --- what was said ----------------------------------------------------------------------------------

    async def _hear(self, kept: Heard, said: Callback | None) -> str:
        now = self._clock()
        if said is None:
            return "unreadable"
        if said.is_test:
            await self._store.sources.keep(self.source, "tested", format_ms(kept.at_ms).encode())
            return "test"
        if not said.is_transfer:
            return "unwanted"
        if said.transfer is None or said.customer is None:
            await self._health.wrong("unusable", f"a callback {said.name!r} names no transfer")
            return "untraceable"
        try:
            seen = await self._fetch(said.customer, said.transfer)
        except Unusable as why:
            await self._health.wrong("unusable", f"transfer {said.transfer}: {why}")
            seen = None
        if seen is None:
            if kept.tries >= len(_ABSENT_S):
                return "absent"
            later = msgspec.structs.replace(kept, tries=kept.tries + 1)
            raise Again(now + _ABSENT_S[kept.tries] * 1000, dump(later))
        patient = now - kept.at_ms < self._settings.reorder_seconds * 1000
        at = said.occurred_at or format_ms(kept.at_ms)
        decision, record, told = await self._tell(seen, said.says, at, {"said": kept.raw}, patient=patient)
        if decision.wait:
            raise Again(now + min(_LOOK_AGAIN_MS, round(self._settings.reorder_seconds * 1000)))
        if not decision.over:
            await self._watch(seen, record, now)
        return told

    async def _watch(self, seen: Seen, record: TransferRecord | None, now: int) -> None:
        """Look at the transfer now and then; soon, when it is further than anybody has said."""
        transfer = seen.transfer
        further = is_further(transfer.status, _past(record))
        wait_s = 3 * self._settings.reorder_seconds if further else self._settings.poll_seconds
        about = Open(customer=transfer.customer.tenant, transfer=transfer.id, since_ms=_created_ms(transfer))
        key = OPEN + transfer.id.casefold()
        await self._store.sources.put(self.source, key, dump(about), now + round(wait_s * 1000))

    # --- what is never said -----------------------------------------------------------------------------

    async def _look(self, about: Open) -> str:
        now = self._clock()
        self._looks = [at for at in self._looks if now - 60_000 < at <= now]
        if len(self._looks) >= self._settings.polls_per_minute:
            raise Again(now + 60_000)
        self._looks.append(now)
        age = now - about.since_ms
        try:
            seen = await self._fetch(about.customer, about.transfer)
        except Unusable as why:
            await self._health.wrong("unusable", f"transfer {about.transfer}: {why}")
            seen = None
        if seen is None:
            if about.tries >= len(_ABSENT_S) or age > _WATCHED_MS:
                return "absent"
            later = msgspec.structs.replace(about, tries=about.tries + 1)
            raise Again(now + _ABSENT_S[about.tries] * 1000, dump(later))
        decision, _, _ = await self._tell(seen, None, None, {}, patient=False)
        if decision.over or age > _WATCHED_MS:
            return "over"
        # What nobody has touched for a day is looked at less often.
        wait_s = self._settings.poll_seconds * (1 if age < _DAY_MS else 4)
        raise Again(now + round(wait_s * 1000))

    # --- both -------------------------------------------------------------------------------------------

    async def _fetch(self, customer: str, transfer: str) -> Seen | None:
        """The transfer as this tenant sees it, and as the other party does where that is ours to ask."""
        try:
            value = await self._api.transfer(customer, transfer)
        except Upstream as error:
            # Refused for this one: that is no reason to leave the others waiting.
            if error.status in (400, 403):
                self._health.count("requests", "refused")
                return None
            self._health.count("requests", error.kind)
            raise
        self._health.count("requests", "answered" if value is not None else "absent")
        if value is None:
            return None
        mine = entity.read(value)
        is_source = mine.source.tenant.casefold() == self._tenant.tenant_id.casefold()
        across = mine.target if is_source else mine.source
        other = None
        peer = next(
            (t for t in self._settings.tenants if t.tenant_id.casefold() == across.tenant.casefold()), None
        )
        # Before the source has submitted there is nothing that the two see differently.
        if peer is not None and peer.name != self._tenant.name and mine.status is not Status.PENDING:
            try:
                found = await self._apis[peer.name].transfer(customer, transfer)
                other = None if found is None else entity.read(found)
            except (Upstream, Unusable):
                # Its own worker says what is wrong there; what this side sees is told without it.
                other = None
        if is_source:
            return Seen(mine, other, self._tenant.name)
        return Seen(other, mine, self._tenant.name) if other is not None else Seen(
            entity.of_target(mine), mine, self._tenant.name
        )

    async def _tell(
        self, seen: Seen, said: EventType | None, at: str | None, origin: dict[str, Any], *, patient: bool
    ) -> tuple[Decision, TransferRecord | None, str]:
        key = seen.transfer.id.casefold()
        record = await self._store.transfers.get(key)
        decision = decide(said, at, seen.transfer, _past(record), patient=patient)
        outcome = "waiting" if decision.wait else "known"
        for step in decision.tell:
            outcome = await self._post(seen, step, record, origin)
        if decision.tell:
            record = await self._store.transfers.get(key)
        return decision, record, outcome

    async def _post(
        self, seen: Seen, step: Step, record: TransferRecord | None, origin: dict[str, Any]
    ) -> str:
        transfer, status = seen.transfer, _STATUS[step.type]
        id_ = event_id(transfer.id, step)
        fetched = {"status": transfer.said, "at": format_ms(self._clock()), "moved_at": transfer.moved_at}
        value = {
            "id": id_,
            "type": step.type.value,
            "occurred_at": step.occurred_at,
            "transfer": entity.canonical(transfer, seen.other, status, await self._parties_of(transfer, record)),
            # Kept with the event and shown to nobody: what was said, and what was seen when it was fetched.
            "origin": {"source": "partner-center", "tenant": seen.ours, "fetched": fetched, **origin},
        }
        try:
            answer = await self._door.accept(parse(value), CALLER)
        except Invalid as why:
            first = why.problems[0]
            await self._health.wrong("unusable", f"transfer {transfer.id}: {first.pointer} {first.detail}")
            return "unusable"
        if answer.code == HTTPStatus.SERVICE_UNAVAILABLE:
            raise Again(self._clock() + _LOOK_AGAIN_MS)
        await self._health.right("unusable")
        if answer.code == HTTPStatus.ACCEPTED:
            return "told"
        if answer.code == HTTPStatus.FORBIDDEN:
            return "forbidden"
        now = await self._store.transfers.get(transfer.id.casefold())
        known = now is not None and any(one.event_id == id_ for one in now.timeline)
        return "known" if known else "refused"

    async def _parties_of(self, transfer: Fetched, record: TransferRecord | None) -> tuple[str, str]:
        """As the transfer was told of first; who registers later changes nothing of it."""
        if record is not None:
            parties = record.transfer.get("source"), record.transfer.get("target")
            if all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in parties):
                return parties[0]["id"], parties[1]["id"]  # type: ignore[index]
        return await self._parties.of(transfer.source.tenant), await self._parties.of(transfer.target.tenant)


_STATUS = {entity.type_of(status): status for status in Status}


def _past(record: TransferRecord | None) -> list[Past]:
    """What producers have told of the transfer; its own conclusions the relay still wants confirmed."""
    if record is None:
        return []
    return [
        Past(one.type, one.occurred_at)
        for one in record.timeline
        if not one.derived and one.type is not EventType.STALLED
    ]


def _created_ms(transfer: Fetched) -> int:
    return to_ms(to_datetime(transfer.created_at))
