"""Which accepted events are not planned yet, and what does planning one lead to?

The chain for each event, every step idempotent, so that a crash anywhere is finished by whoever comes
next: fix the plan in the transfer's slot → append to the recipients' queues, the activity logs and the
feeds → forget the inbox entry. Events of one transfer are planned in their sequence; transfers are
planned many at a time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from structlog.typing import FilteringBoundLogger

from relay.config import Config
from relay.engine.carrying import Job, as_first_given, due_of, entry_of, fixed, kept, lines_of
from relay.engine.deadlines import rules_of, scheduled
from relay.engine.registered import Registrations
from relay.engine.unreadable import settle
from relay.lifecycle import FINAL
from relay.model import Audience, Channel, Event, EventType
from relay.people import Person, people
from relay.plan import PARTNERS, Plan, Registered, Step, party_key, plan, tells_nobody
from relay.preferences import slot
from relay.store import Store
from relay.store.client import Call
from relay.store.hints import SHARDS, Claim, Hint, hint_of
from relay.store.ledger import Line
from relay.store.queues import Entry
from relay.store.stored import Held
from relay.store.transfers import Broken, Unplanned

_AT_ONCE = 4
_TRANSFERS = 32
"""Transfers planned in one round."""
_EVENTS = 16
"""Events of one transfer planned in one round."""
_CLAIM_MS = 30_000
"""A worker that dies while planning leaves its transfers to others after this long, or after the lease
of its queues where that is shorter."""


class FanOut:
    """Plans everything that is due. `run` may be called by several at once."""

    def __init__(
        self,
        store: Store,
        config: Config,
        registrations: Registrations,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        wake: Callable[[Channel], None],
    ) -> None:
        self._store = store
        self._config = config
        self._registrations = registrations
        self._clock = clock
        self._log = log
        self._wake = wake
        self._rules = rules_of(config)
        self._origins = config.formats.origins(config.server.base_url)
        self._claim_ms = min(_CLAIM_MS, round(config.worker.lease_seconds * 1000))

    async def run(self) -> None:
        """Plan until nothing is due, waking each channel that got something to do. While one round waits
        for the database, another works."""
        await asyncio.gather(*(self._rounds() for _ in range(_AT_ONCE)))

    async def _rounds(self) -> None:
        while True:
            now = self._clock()
            until = now + self._claim_ms + random.random()
            claims = await self._store.hints.take(Hint.PLAN, now_ms=now, until=until, most=_TRANSFERS)
            if claims:
                await self._round(claims)
            if len(claims) < _TRANSFERS // SHARDS:
                return  # no shard had more to give

    async def _round(self, claims: Sequence[Claim]) -> None:
        keys = [claim.member for claim in claims]
        inboxes = await self._store.transfers.inboxes(keys, _EVENTS)
        parsed: list[tuple[str, Held, Unplanned, Event]] = []
        for key, (held, unplanned) in zip(keys, inboxes, strict=True):
            if held is None:
                continue
            for one in unplanned:
                if isinstance(one, Broken):
                    await settle(self._store, self._log, key, held, one)
                    continue
                try:
                    event = Event.model_validate_json(one.body)
                except ValueError:
                    await settle(self._store, self._log, key, held, one)
                    continue
                parsed.append((key, held, one, as_first_given(event, held)))
        parties = {p for *_, event in parsed for a in PARTNERS if (p := party_key(a, event)) is not None}
        parties |= {slot(None, person.email) for *_, event in parsed for person in self._contacts(event)}
        registered = await self._registrations.fresh(parties)
        jobs = [self._plan(*one, registered) for one in parsed]
        finish = self._finishing(claims, inboxes, jobs)
        channels = await self._at_once(jobs, registered, finish) if self._store.client.joint else None
        if channels is None:
            await self._fix(jobs)
            await self._wait_for_parties(jobs)
            channels = await self._step_by_step(jobs, registered, finish)
        for channel in channels:
            self._wake(channel)

    def _contacts(self, event: Event) -> Sequence[Person]:
        """The customer's people that the policy tells of this event."""
        row = self._config.notify.row(event.transfer.kind, event.type)
        return people(event.transfer, Audience.CUSTOMER, None) if Audience.CUSTOMER in row.email else ()

    def _plan(
        self, key: str, held: Held, one: Unplanned, event: Event, registered: dict[str, Registered]
    ) -> Job:
        if one.plan is not None:
            return Job(key, held, one, event, {}, one.plan)
        accepted = one.step
        step = Step(
            event=event,
            sequence=one.sequence,
            accepted_at_ms=accepted.accepted_at_ms,
            late=accepted.late,
            repeat=accepted.repeat,
            derived=accepted.derived,
            gap=accepted.gap,
            has_link=accepted.link,
        )
        ended = one.audience is not None and held.status in FINAL
        try:
            made = (
                Plan()
                if ended
                else plan(
                    step,
                    row=self._config.notify.row(event.transfer.kind, event.type),
                    registered=registered,
                    default_locale=self._config.mail.default_locale,
                    derived_email=self._config.notify.derived_email,
                    only=one.audience,
                    by=one.channel,
                    origins=self._origins,
                )
            )
        except Exception:
            # An event that cannot be planned must neither hold up the others nor come again for ever:
            # it is settled with a plan that tells nobody and why, and the operator is told.
            self._log.exception("plan.failed", event_id=event.id, transfer=event.transfer.id)
            made = tells_nobody()
        return Job(key, held, one, event, made.bodies, fixed(made))

    async def _at_once(
        self, jobs: Sequence[Job], registered: dict[str, Registered], finish: Sequence[Call]
    ) -> set[Channel] | None:
        """The whole chain in one call; which channels got something due. None when it could not be, because
        somebody planned one of these before: then nothing that follows from a plan was done."""
        new = [job for job in jobs if job.unplanned.plan is None]
        await self._wait_for_parties(jobs)
        entries, calls = self._carrying(jobs, registered)
        first = [self._store.transfers.fixing([kept(job) for job in new], alone=True)] if new else []
        replies = await self._store.client.chain([*first, *calls, *finish])
        if replies is None:
            return None
        if new:
            self._owe([job for job, reply in zip(new, replies[0], strict=True) if reply == b""])
        return {channel for channel, _ in due_of(entries, replies[len(first)])} if entries else set()

    async def _fix(self, jobs: Sequence[Job]) -> None:
        """The first plan that is stored holds; whoever comes second carries out that one."""
        new = [job for job in jobs if job.unplanned.plan is None]
        replies = await self._store.transfers.fix_plans([kept(job) for job in new])
        for job, reply in zip(new, replies, strict=True):
            if reply is not None:
                job.plan = reply
        self._owe([job for job, reply in zip(new, replies, strict=True) if reply is None])

    def _owe(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            for made in job.plan.deliveries:
                self._store.counters.owe(made.recipient.channel, 1)

    async def _step_by_step(
        self, jobs: Sequence[Job], registered: dict[str, Registered], finish: Sequence[Call]
    ) -> set[Channel]:
        """Append to the queues, logs and feeds, then forget the inbox entries; which channels got something due."""
        entries, calls = self._carrying(jobs, registered)
        replies = await self._store.client.batch(calls)
        due = due_of(entries, replies[0]) if entries else []
        hinted = [
            self._store.hints.due(hint_of(channel), [member for of, member in due if of is channel])
            for channel in {channel for channel, _ in due}
        ]
        await self._store.client.batch([*hinted, *finish])
        return {channel for channel, _ in due}

    def _carrying(
        self, jobs: Sequence[Job], registered: dict[str, Registered]
    ) -> tuple[list[Entry], list[Call]]:
        """The deliveries of these jobs, and the calls that append them, the first, and what the logs and feeds
        get."""
        store = self._store
        entries: list[Entry] = []
        lines: list[Line] = []
        for job in jobs:
            entries += [entry_of(made, job.plan.unordered, registered) for made in job.plan.deliveries]
            lines += lines_of(job)
        calls: list[Call] = []
        if entries:
            calls.append(store.queues.enqueuing(entries))
        if lines:
            calls.append(store.ledger.appending(lines))
        if jobs:
            listed = [
                (j.key, j.unplanned.sequence, j.unplanned.step.accepted_at_ms, j.held.created_ms)
                for j in jobs
            ]
            calls.append(store.ledger.indexing(listed))
        return entries, calls

    async def _wait_for_parties(self, jobs: Sequence[Job]) -> None:
        """A creation message is kept for a party that is not registered, until the transfer ends."""
        waits: list[tuple[Job, Audience, tuple[str, str, int]]] = []
        for job in jobs:
            created = job.event.type is EventType.CREATED and job.held.status not in FINAL
            for audience in job.plan.unknown if created else ():
                party = party_key(audience, job.event)
                if party is not None:
                    member = f"{job.unplanned.sequence}|{audience}|{job.key}"
                    waits.append((job, audience, (party, member, job.held.created_ms)))
        if not waits:
            return
        registered = await self._store.ledger.wait_for([wait for *_, wait in waits])
        for (job, audience, _), is_registered in zip(waits, registered, strict=True):
            if is_registered:
                await self._store.transfers.retell(job.key, job.unplanned.sequence, audience)
                await self._store.hints.make_due(Hint.PLAN, [(job.key, self._clock())])

    def _finishing(
        self,
        claims: Sequence[Claim],
        inboxes: Sequence[tuple[Held | None, list[Unplanned | Broken]]],
        jobs: Sequence[Job],
    ) -> list[Call]:
        """What follows once everything is appended."""
        store, now = self._store, self._clock()
        calls: list[Call] = []
        times = scheduled(
            ((job.key, job.held, job.unplanned.sequence, job.event) for job in jobs), self._rules
        )
        if times:
            calls.append(store.deadlines.scheduling(times))
        if jobs:
            calls.append(store.transfers.planning_done([(job.key, job.unplanned.member) for job in jobs]))
        calls.append(
            store.hints.giving_back(
                Hint.PLAN,
                [
                    (claim, now if len(unplanned) == _EVENTS else None)
                    for claim, (_, unplanned) in zip(claims, inboxes, strict=True)
                ],
            )
        )
        return calls
