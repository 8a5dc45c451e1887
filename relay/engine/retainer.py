"""Who sees to it that what is over leaves in its time?

One worker at a time, beside its sweeps, in small steps: behind what was accepted walks a cursor for each kind of
record, and takes a look at every transfer whose event has had that kind's time; what something pending keeps back is
looked at again, and so is what was listed behind the cursors. How far it has come is kept, so that a worker that dies
is gone on from. What the archive is to have is on disk before it goes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from relay.archive import Archive, Busy
from relay.chain import take
from relay.chain_key import chain_key
from relay.config import Config
from relay.config_retention import LISTED_MS, Kept
from relay.engine.aside import Aside
from relay.engine.departures import Batch, Departures, Pruning
from relay.engine.leaving import as_bytes
from relay.errors import VaultError
from relay.model import Record
from relay.record import Recorder
from relay.retention import KINDS, Cutoffs
from relay.store import Store
from relay.store.retention import JOB, Contents
from relay.store.shifts import Shift
from relay.store.stored import dump, reader
from relay.vault import Vault

_LEASE_MS = 30_000
"""A worker that dies leaves the job to others after this long, or after the lease of its queues where that is shorter."""
_STEP_MS = 900
_TRANSFERS = 100
"""Looked at together."""
_LAP = "lap"
"""The cursor of a walk through all that the others have passed by, with what they leave of a second: what was to be looked
at again was lost where a server died before it had told another."""
_LAP_MS = 7 * 86_400_000
"""From the begin of one to that of the next."""
_LOGS_MS = 600_000
"""Between two walks through the activity logs and the mails of no event."""
_PARTNERS = 100
_HEADS = 20
_AFTER_TROUBLE_MS = 60_000


class Intent(Record, frozen=True, kw_only=True):
    """A batch that is being written to the archive, and where."""

    file: str
    at: int
    batch: Batch


class Progress(Record, frozen=True, kw_only=True):
    """How far the job has come: a cursor by kind and one of a lap, the next partner, mails passed by. `settings` are those
    it went by."""

    settings: str = ""
    lap_ms: int = 0
    cursors: dict[str, str] = msgspec.field(default_factory=dict)
    logs_ms: int = 0
    partner: str | None = None
    notices: int = 0
    intent: Intent | None = None


_PROGRESS = reader(Progress)


class _Taken(Exception):
    """Somebody else has the shift."""


class Retainer(Aside):
    """One process's hand in it."""

    def __init__(
        self,
        store: Store,
        config: Config,
        vault: Vault,
        recorder: Recorder,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
    ) -> None:
        super().__init__("retention", log)
        self._store = store
        self._vault = vault
        self._settings = config.retention
        # Kinds that are kept alike have their time together: one walk looks at all of them.
        alike: dict[Kept, str] = {}
        for kind in KINDS:
            alike.setdefault(getattr(self._settings, kind), kind)
        self._walks = list(alike.values())
        self._lease_ms = min(_LEASE_MS, round(config.worker.lease_seconds * 1000))
        self._chained = config.audit.chain_every_seconds > 0
        self._recorder = recorder
        self._clock = clock
        self._departures = Departures(store, config.retention.event_ids.age_ms)
        self._archive = Archive(Path(config.retention.archive)) if config.retention.archive else None

    async def step(self) -> None:
        """Go on, unless that is under way here or the operator keeps everything."""
        if self._may_begin and self._settings.events_per_second:
            self._begin(self._work())

    async def _work(self) -> None:
        next_ms = self._clock() + _STEP_MS
        shift = await self._store.shifts.take(JOB, now_ms=self._clock(), lease_ms=self._lease_ms)
        if shift is None:
            return
        progress = _read(shift.state)
        try:
            if self._archive is None:
                progress = await self._round(shift, progress)
            else:
                with self._archive.alone():
                    progress = await self._round(shift, await self._resumed(self._archive, progress))
        except _Taken:
            return
        except Busy:
            self._log.warning("retention.archive_busy", folder=self._settings.archive)
            next_ms = self._clock() + _AFTER_TROUBLE_MS
        except (OSError, VaultError) as error:
            # Nothing leaves that the archive has not got. What was begun there is looked at when it goes on.
            self._log.error("retention.stopped", error=type(error).__name__, detail=str(error))
            progress = _read(await self._store.shifts.state(JOB))
            next_ms = self._clock() + _AFTER_TROUBLE_MS
        await self._store.shifts.give(shift, dump(progress), not_before_ms=next_ms)

    async def _resumed(self, archive: Archive, progress: Progress) -> Progress:
        """What a process that died was writing goes now if it was written, and is not there if it was not."""
        intent = progress.intent
        if intent is None:
            return progress
        if await asyncio.to_thread(archive.is_whole, intent.file, intent.at):
            await self._departures.carry_out(intent.batch, self._clock())
        else:
            await asyncio.to_thread(archive.cut, intent.file, intent.at)
        return replace(progress, intent=None)

    async def _round(self, shift: Shift, progress: Progress) -> Progress:
        """A second's worth."""
        now = self._clock()
        await self._departures.finish()
        settings = self._settings.model_dump_json()
        if progress.settings != settings:
            progress = replace(progress, settings=settings, lap_ms=now, cursors={}, logs_ms=0)
        cutoffs = await self._cutoffs(now)
        counts: Counter[str] = Counter()
        left = self._settings.events_per_second
        progress, looked, behind_ms = await self._again(shift, progress, cutoffs, (left + 1) // 2, counts)
        left = max(1, left - looked)
        for kind in self._walks:
            progress, looked, at_ms = await self._follow(shift, progress, kind, cutoffs, left, counts)
            left -= looked
            behind_ms = max(behind_ms, at_ms)
        progress = await self._lap(shift, progress, cutoffs, left, counts)
        if now >= progress.logs_ms:
            progress = await self._others(shift, progress, cutoffs, counts)
        if counts:
            self._recorder.left(counts, behind_ms / 1000)
        gauges = {"relay_retention_behind_seconds": behind_ms // 1000, "relay_retention_kept": await self._store.retention.waiting()}
        await self._store.counters.mend({}, gauges)
        return progress

    async def _cutoffs(self, now_ms: int) -> Cutoffs:
        found: dict[str, int] = {}
        for kind in KINDS:
            kept: Kept = getattr(self._settings, kind)
            aged = -1 if kept.age_ms is None else now_ms - kept.age_ms
            crowded = min(await self._store.retention.beyond(kept.most), now_ms - LISTED_MS) if kept.most else -1
            found[kind] = max(aged, crowded)
        return Cutoffs(**found)

    async def _again(
        self, shift: Shift, progress: Progress, cutoffs: Cutoffs, most: int, counts: Counter[str]
    ) -> tuple[Progress, int, int]:
        """Look at what is to be looked at again by now; how many transfers, and how far behind that is (milliseconds)."""
        now, looked = self._clock(), 0
        while looked < most and not self._stopping:
            keys = await self._store.retention.again(now, min(_TRANSFERS, most - looked))
            progress = await self._look(shift, progress, keys, cutoffs, counts)
            looked += len(keys)
            if len(keys) < _TRANSFERS:
                break
        first_ms = await self._store.retention.again_from()
        return progress, looked, 0 if first_ms is None else max(0, now - first_ms)

    async def _follow(
        self, shift: Shift, progress: Progress, kind: str, cutoffs: Cutoffs, most: int, counts: Counter[str]
    ) -> tuple[Progress, int, int]:
        """Look at what has had its time of one kind; how many events, and how far behind that is (milliseconds)."""
        cutoff_ms, looked = cutoffs.latest if kind == _LAP else getattr(cutoffs, kind), 0
        while cutoff_ms >= 0 and not self._stopping:
            size = min(_TRANSFERS, most - looked)
            if size <= 0:
                return progress, looked, await self._behind_ms(progress.cursors.get(kind, ""), cutoff_ms)
            events, cursor = await self._store.retention.passed(progress.cursors.get(kind, ""), cutoff_ms, size)
            if not events:
                break
            keys = list(dict.fromkeys(key for key, _ in events))
            progress = await self._look(shift, progress, keys, cutoffs, counts)
            gone = await self._store.retention.absent(keys)
            if orphans := [event for event in events if event[0] in gone]:
                await self._store.retention.unlist(orphans)
            looked += len(events)
            progress = replace(progress, cursors={**progress.cursors, kind: cursor})
            if len(events) < size:
                break
        return progress, looked, 0

    async def _behind_ms(self, cursor: str, cutoff_ms: int) -> int:
        events, following = await self._store.retention.passed(cursor, cutoff_ms, 1)
        return cutoff_ms - int(following.partition("|")[0]) if events else 0

    async def _lap(
        self, shift: Shift, progress: Progress, cutoffs: Cutoffs, most: int, counts: Counter[str]
    ) -> Progress:
        """Go on with a lap, or begin one when it is time."""
        now = self._clock()
        if _LAP not in progress.cursors:
            if 0 <= now - progress.lap_ms <= _LAP_MS:
                return progress
            progress = replace(progress, lap_ms=now, cursors={**progress.cursors, _LAP: ""})
        progress, looked, _ = await self._follow(shift, progress, _LAP, cutoffs, most, counts)
        if looked < most and not self._stopping:
            progress = replace(progress, cursors={kind: at for kind, at in progress.cursors.items() if kind != _LAP})
        return progress

    async def _look(
        self, shift: Shift, progress: Progress, keys: list[str], cutoffs: Cutoffs, counts: Counter[str]
    ) -> Progress:
        if not keys:
            return progress
        batch, contents = await self._departures.of_transfers(keys, cutoffs, self._clock())
        return await self._leave(shift, progress, batch, contents, counts)

    async def _others(self, shift: Shift, progress: Progress, cutoffs: Cutoffs, counts: Counter[str]) -> Progress:
        """Go on with the mails that are of no event, and then with the activity logs."""
        batch, skip = await self._departures.notices(progress.notices, cutoffs, _TRANSFERS)
        progress = await self._leave(shift, progress, batch, {}, counts)
        if skip is not None:
            return replace(progress, notices=skip)
        page = await self._store.registry.list_partners(progress.partner, _PARTNERS)
        more = False
        for partner in page.data:
            logs = await self._pruned(partner.key)
            more |= len(logs) == _HEADS
            progress = await self._leave(shift, progress, Batch(logs=logs), {}, counts)
        if more:
            return progress
        done = self._clock() + _LOGS_MS if page.next is None else 0
        return replace(progress, partner=page.next, notices=0, logs_ms=done)

    async def _pruned(self, partner: str) -> list[Pruning]:
        """What leaves of a partner's activity log: whole batches, as they were chained."""
        chains, kept, now = self._store.chains, self._settings.activity, self._clock()
        taken = await chains.taken(partner)
        heads = await chains.heads(partner, 0 if taken is None else taken.head.number, _HEADS + 1)
        length = await chains.length(partner)
        before_ms = -1 if kept.age_ms is None else now - kept.age_ms
        found: list[Pruning] = []
        for head in heads[:-1]:
            if head.at_ms > before_ms and not (kept.most and length - head.count >= kept.most):
                break
            taking = take(partner, head, now, await chain_key(chains, self._vault))
            after = found[-1].last if found else 0
            found.append(Pruning(partner=partner, after=after, last=head.last, taking=taking))
            length -= head.count
        if heads or self._chained:
            return found
        lines = await chains.lines(partner, 0, _TRANSFERS)
        over = [one for n, one in enumerate(lines, 1) if one.at_ms <= before_ms or (kept.most and length - n >= kept.most)]
        return [Pruning(partner=partner, last=over[-1].position)] if over else []

    async def _leave(
        self, shift: Shift, progress: Progress, batch: Batch, contents: dict[str, Contents], counts: Counter[str]
    ) -> Progress:
        """A batch goes, after it was archived; nothing is done where somebody else has the shift by now."""
        if not batch.is_anything:
            return progress
        now = self._clock()
        if self._archive is None:
            await self._hold(shift, progress, now)
        else:
            lines = await self._departures.lines(batch, contents, now)
            name, at = await asyncio.to_thread(self._archive.place, now)
            await self._hold(shift, replace(progress, intent=Intent(file=name, at=at, batch=batch)), now)
            await asyncio.to_thread(self._archive.append, name, at, as_bytes(lines))
        counts += await self._departures.carry_out(batch, now)
        return progress

    async def _hold(self, shift: Shift, progress: Progress, now_ms: int) -> None:
        if not await self._store.shifts.keep(shift, dump(progress), until_ms=now_ms + self._lease_ms):
            raise _Taken


def _read(state: bytes) -> Progress:
    return _PROGRESS.decode(state) if state else Progress()
