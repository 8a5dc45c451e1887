"""Which accepted events are not planned yet, and what does planning one lead to?

The chain for each event, every step idempotent, so that a crash anywhere is finished by whoever comes
next: fix the plan in the transfer's slot → append to the recipients' queues, the activity logs and the
feeds → forget the inbox entry. Events of one transfer are planned in their sequence; transfers are
planned many at a time.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from relay.config import Config
from relay.engine.carrying import Job, as_first_given, begun_of, due_of, entry_of, fixed, kept, lines_of
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
from relay.store.inboxes import Batch, Broken, Unplanned, batch_of
from relay.store.ledger import Line
from relay.store.passes import Begun, Opening
from relay.store.queues import Entry
from relay.store.retention import looking_again
from relay.store.stored import Held

_AT_ONCE = 4
_TRANSFERS = 64
"""Transfers planned in one round."""
_EVENTS = 8
"""Events of one transfer planned in one round."""
_CLAIM_MS = 30_000
"""A worker that dies while planning leaves its transfers to others after this long, or after the lease
of its queues where that is shorter."""


_Read = tuple[str, Held, Unplanned, Event]
"""Of a transfer (its key, how it stands), one event that is to be planned."""


@dataclass(frozen=True, slots=True)
class _Done:
    """Whose queues have something due by a round, and what is planned next."""

    due: list[tuple[Channel, str]]
    following: Batch | None


class Opener(Protocol):
    """Who runs passes that begin in the step that plans."""

    def opening(self, most: int) -> Opening | None:
        """By what up to `most` of them may begin; None when none may."""
        ...

    def opened(self, passes: Sequence[tuple[Claim, Begun]]) -> None:
        """Those that did: told once for each opening, though there be none."""
        ...


class FanOut:
    """Plans everything that is due, by one `run` at a time. `stopping` makes it finish what was taken and take no
    more."""

    def __init__(
        self,
        store: Store,
        config: Config,
        registrations: Registrations,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        wake: Callable[[Channel, Sequence[str]], None],
        opener: Opener | None = None,
    ) -> None:
        self._opener = opener if store.client.joint else None
        self.stopping = False
        self._store = store
        self._config = config
        self._row = cache(config.notify.row)
        self._registrations = registrations
        self._clock = clock
        self._log = log
        self._wake = wake
        self._rules = rules_of(config)
        self._running: set[asyncio.Task[None]] = set()
        self._ended: list[asyncio.Task[None]] = []
        self._origins = config.formats.origins(config.server.base_url)
        self._late_ms = config.retention.late_ms
        self._claim_ms = min(_CLAIM_MS, round(config.worker.lease_seconds * 1000))

    async def run(self) -> None:
        """Plan until nothing is due, waking each channel that got something to do. While one round waits
        for the database, another works: as many as there is work for."""
        self._begin()
        try:
            while self._running:
                await asyncio.wait(self._running)
        except asyncio.CancelledError:
            for task in self._running:
                task.cancel()
            raise
        failures = [failure for task in self._ended if (failure := task.exception()) is not None]
        self._ended = []
        if failures:
            raise failures[0]

    def _begin(self) -> None:
        task = asyncio.get_running_loop().create_task(self._rounds())
        self._running.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            self._ended.append(task)

    async def _rounds(self) -> None:
        batch = None if self.stopping else await self._take()
        while batch is not None and batch.claims:
            if len(batch.claims) == _TRANSFERS and len(self._running) < _AT_ONCE:
                self._begin()
            batch = await self._round(batch)

    async def _take(self) -> Batch:
        store, until = self._store, self._until()
        if store.client.joint:
            (replies,) = await store.client.batch([self._taking(until)])
            return batch_of(replies, until)
        claims = await store.hints.take(Hint.PLAN, now_ms=self._clock(), until=until, most=_TRANSFERS)
        return Batch(claims, await store.transfers.inboxes([claim.member for claim in claims], _EVENTS))

    def _taking(self, until: float) -> Call:
        return self._store.transfers.taking(
            now_ms=self._clock(), until=until, most=_TRANSFERS, most_each=_EVENTS
        )

    def _until(self) -> float:
        return self._clock() + self._claim_ms + random.random()

    async def _round(self, batch: Batch) -> Batch | None:
        """Plan what was taken; what was taken next."""
        more = not self.stopping and len(batch.claims) >= _TRANSFERS // SHARDS  # else no shard has more to give
        read = await self._read(batch)
        done = await self._at_once(read, batch, more) if self._store.client.joint else None
        if done is None:
            done = _Done(await self._step_by_step(read, batch), await self._take() if more else None)
        for channel in {channel for channel, _ in done.due}:
            self._wake(channel, [member for of, member in done.due if of is channel])
        return done.following

    async def _read(self, batch: Batch) -> list[_Read]:
        """What can be read of it; the rest is settled."""
        read: list[_Read] = []
        for claim, (held, unplanned) in zip(batch.claims, batch.inboxes, strict=True):
            if held is None:
                continue
            for one in unplanned:
                if isinstance(one, Broken):
                    await settle(self._store, self._log, claim.member, held, one)
                    continue
                try:
                    event = as_first_given(one.body, held)
                except ValueError:
                    await settle(self._store, self._log, claim.member, held, one)
                    continue
                read.append((claim.member, held, one, event))
        return read

    def _parties(self, read: Sequence[_Read]) -> set[str]:
        """Whose registrations say who is told."""
        parties = {p for *_, event in read for a in PARTNERS if (p := party_key(a, event)) is not None}
        return parties | {slot(None, person.email) for *_, event in read for person in self._contacts(event)}

    def _contacts(self, event: Event) -> Sequence[Person]:
        """The customer's people that the policy tells of this event."""
        row = self._row(event.transfer.kind, event.type)
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
                    row=self._row(event.transfer.kind, event.type),
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

    async def _at_once(self, read: Sequence[_Read], batch: Batch, more: bool) -> _Done | None:
        """The whole chain in one call, with what is taken next where there is `more`. None when it could not be, because
        somebody planned one of these before, or what the plans rest on has changed: then nothing that follows was
        done."""
        store = self._store
        known = await self._registrations.seen(self._parties(read))
        registered = {party: registration for party, (_, registration) in known.items()}
        jobs = [self._plan(*one, registered) for one in read]
        new = [job for job in jobs if job.unplanned.plan is None]
        await self._wait_for_parties(jobs)
        until = self._until()
        first, last = [], [*self._finishing(batch, jobs), *([self._taking(until)] if more else [])]
        if known:
            first.append(store.registry.unchanged([(party, version) for party, (version, _) in known.items()]))
        if new:
            first.append(store.transfers.fixing([kept(job) for job in new], alone=True))
        # Where there is more to plan than a round holds, it costs less to send what comes to be in a queue together.
        most = sum(len(job.plan.deliveries) for job in jobs) if len(batch.claims) < _TRANSFERS else 0
        with self._opening(most) as (opening, begun):
            entries, calls = self._carrying(jobs, registered, opening)
            replies = await store.client.chain([*first, *calls, *last])
            if replies is None:
                return None
            stored = replies[len(first) - 1] if new else []
            made = [job for job, reply in zip(new, stored, strict=True) if reply == b""]
            self._owe(made)
            entered = replies[len(first)] if entries else []
            if opening is not None:
                versions = {party: version for party, (version, _) in known.items()}
                ours = {(job.key, job.unplanned.sequence) for job in made}
                begun += begun_of(entries, entered, opening, versions, ours)
        due = [(channel, to) for channel, (to, _) in due_of(entries, entered)]
        return _Done(due, batch_of(replies[-1], until) if more else None)

    @contextmanager
    def _opening(self, most: int) -> Iterator[tuple[Opening | None, list[tuple[Claim, Begun]]]]:
        """By what up to `most` passes may begin, and the list of those that did: they go on at the end."""
        opener, begun = self._opener, list[tuple[Claim, Begun]]()
        opening = None if opener is None or not most else opener.opening(most)
        try:
            yield opening, begun
        finally:
            if opener is not None and opening is not None:
                opener.opened(begun)

    async def _fix(self, jobs: Sequence[Job]) -> None:
        """The first plan that is stored holds; whoever comes second carries out that one."""
        new = [job for job in jobs if job.unplanned.plan is None]
        replies = await self._store.transfers.fix_plans([kept(job) for job in new])
        for job, reply in zip(new, replies, strict=True):
            if reply is not None:
                job.plan = reply
        self._owe([job for job, reply in zip(new, replies, strict=True) if reply is None])

    def _owe(self, jobs: Sequence[Job]) -> None:
        for channel, count in Counter(made.recipient.channel for job in jobs for made in job.plan.deliveries).items():
            self._store.counters.owe(channel, count)

    async def _step_by_step(self, read: Sequence[_Read], batch: Batch) -> list[tuple[Channel, str]]:
        """Fix the plans, append to the queues, logs and feeds, then forget the inbox entries; who got something due."""
        registered = await self._registrations.fresh(self._parties(read))
        jobs = [self._plan(*one, registered) for one in read]
        await self._fix(jobs)
        await self._wait_for_parties(jobs)
        finish = self._finishing(batch, jobs)
        entries, calls = self._carrying(jobs, registered)
        replies = await self._store.client.batch(calls)
        due = due_of(entries, replies[0]) if entries else []
        hinted = [
            self._store.hints.due(hint_of(channel), [member for of, member in due if of is channel])
            for channel in {channel for channel, _ in due}
        ]
        await self._store.client.batch([*hinted, *finish])
        return [(channel, to) for channel, (to, _) in due]

    def _carrying(
        self, jobs: Sequence[Job], registered: dict[str, Registered], opening: Opening | None = None
    ) -> tuple[list[Entry], list[Call]]:
        """The deliveries of these jobs, and the calls that append them, the first, and what the logs and feeds
        get. Passes may begin by the `opening`."""
        store = self._store
        entries: list[Entry] = []
        lines: list[Line] = []
        for job in jobs:
            entries += [entry_of(made, job, registered) for made in job.plan.deliveries]
            lines += lines_of(job)
        calls: list[Call] = []
        if entries:
            calls.append(store.queues.enqueuing(entries, opening))
        if lines:
            calls.append(store.ledger.appending(lines))
        if jobs:
            listed = [
                (j.key, j.unplanned.sequence, j.unplanned.step.accepted_at_ms, j.held.created_ms)
                for j in jobs
            ]
            late = self._late(jobs)
            calls.append(store.ledger.indexing(listed, *([looking_again(late, self._clock())] if late else ())))
        return entries, calls

    def _late(self, jobs: Sequence[Job]) -> list[str]:
        """The transfers of events that are listed so late that what follows the list may have passed their places."""
        if self._late_ms is None:
            return []
        before_ms = self._clock() - self._late_ms
        return list(dict.fromkeys(job.key for job in jobs if job.unplanned.step.accepted_at_ms <= before_ms))

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

    def _finishing(self, batch: Batch, jobs: Sequence[Job]) -> list[Call]:
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
                    for claim, (_, unplanned) in zip(batch.claims, batch.inboxes, strict=True)
                ],
            )
        )
        return calls
