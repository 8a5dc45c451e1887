"""What leaves now, and in which order does it go?

A batch is decided from what is kept, its deliveries are retired so that nobody opens them meanwhile, and then, from
list to record, everything of it goes; each step may be done again by whoever comes after a crash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from relay.chain import Line, Taken
from relay.engine.leaving import Trim, of_delivery, of_log, written
from relay.model import Record
from relay.retention import Cutoffs, Leaving, leaving
from relay.store import Store
from relay.store.records import DeliveryRecord
from relay.store.retention import Contents, Notice
from relay.times import format_ms

_AGAIN_MS = 3_600_000
_SOON_MS = 1_000
"""What is pending is looked at again when it has been kept twice as long, but after an hour at most, and a second at least."""


class Pruning(Record, frozen=True, kw_only=True):
    """The oldest lines of a partner's activity log, behind one position and up to another, and what is kept of them."""

    partner: str
    after: int = 0
    last: int
    taking: Taken | None = None


class Batch(Record, frozen=True, kw_only=True):
    """What leaves together."""

    trims: list[Trim] = msgspec.field(default_factory=list)
    logs: list[Pruning] = msgspec.field(default_factory=list)
    notices: list[Notice] = msgspec.field(default_factory=list)
    done: list[str] = msgspec.field(default_factory=list)
    """Transfers that need not be looked at again once this has left."""

    @property
    def is_anything(self) -> bool:
        """Whether something leaves."""
        return bool(self.trims or self.logs or self.notices)


class Departures:
    """Decides, tells what is written of it, and carries out."""

    def __init__(self, store: Store, ids_ms: int | None) -> None:
        self._store = store
        self._ids_ms = ids_ms

    async def of_transfers(self, keys: Sequence[str], cutoffs: Cutoffs, now_ms: int) -> tuple[Batch, dict[str, Contents]]:
        """What leaves of these transfers, with what is kept of them. When to look at one again is noted."""
        found = await self._store.retention.contents(keys)
        letters = await self._store.accounts.owed([id_ for one in found for event in one.kept.events for id_ in event.ids])
        going: list[tuple[Contents, Leaving]] = []
        # What is no more, or cannot be read, says nothing of when to look at it again.
        again: dict[str, int | None] = dict.fromkeys(keys)
        for one in found:
            goes = leaving(one.kept, letters, cutoffs)
            again[one.kept.key] = _again(one, now_ms) if goes.waits else None
            if goes.is_anything:
                going.append((one, goes))
        await self._retire(going, again, now_ms)
        trims = [_trim(one, goes) for one, goes in going if goes.is_anything]
        # It may yet come to nothing: the archive's disk may be full, and this worker may die.
        done = {trim.key for trim in trims if again[trim.key] is None}
        await self._store.retention.look_again({key: at_ms for key, at_ms in again.items() if key not in done})
        return Batch(trims=trims, done=sorted(done)), {one.kept.key: one for one, _ in going}

    async def _retire(self, going: Sequence[tuple[Contents, Leaving]], again: dict[str, int | None], now_ms: int) -> None:
        """What leaves is not opened again; what was opened in this moment stays."""
        concerned: list[str] = []
        for one, goes in going:
            told = {event.sequence: event.deliveries for event in one.kept.events}
            concerned += [id_ for ids in goes.records.values() for id_ in ids]
            concerned += [id_ for n, audience in goes.bodies for id_ in told[n].get(audience, ())]
        pending = await self._store.retention.retire(list(dict.fromkeys(concerned))) if concerned else set()
        for one, goes in going if pending else ():
            busy = {event.sequence for event in one.kept.events if pending & set(event.ids)}
            if busy:
                goes.records = {n: ids for n, ids in goes.records.items() if n not in busy}
                goes.bodies = [(n, audience) for n, audience in goes.bodies if n not in busy]
                goes.events = [n for n in goes.events if n not in busy]
                goes.whole = False
                again[one.kept.key] = _again(one, now_ms)

    async def notices(self, skip: int, cutoffs: Cutoffs, most: int) -> tuple[Batch, int | None]:
        """Which mails of no event leave, and where the next are looked for; None at the end."""
        found = await self._store.retention.notices(skip, max(cutoffs.delivered, cutoffs.canceled, cutoffs.exhausted), most)
        letters = await self._store.accounts.owed([one.delivery for one in found])
        # Those that share a body go together, or not yet; what a page cut off is whole on the next.
        groups: dict[tuple[tuple[str, str], int], list[Notice]] = {}
        for one in found:
            groups.setdefault((one.place, one.at_ms), []).append(one)
        whole = list(groups.values())
        if len(found) == most and len(whole) > 1:
            whole.pop()
        over = [group for group in whole if all(one.at_ms <= _cutoff(letters[one.delivery], cutoffs) for one in group)]
        ids = [one.delivery for group in over for one in group]
        pending = await self._store.retention.retire(ids) if ids else set()
        leave = [one for group in over if not pending & {n.delivery for n in group} for one in group]
        looked = sum(map(len, whole))
        return Batch(notices=leave), skip + looked - len(leave) if len(found) == most else None

    async def lines(self, batch: Batch, contents: dict[str, Contents], now_ms: int) -> list[dict[str, Any]]:
        """What is written of a batch before it goes."""
        at = format_ms(now_ms)
        lines: list[dict[str, Any]] = []
        records = await self._records([id_ for trim in batch.trims for id_ in trim.deliveries])
        for trim in batch.trims:
            one = contents[trim.key]
            wanted = trim.fields if trim.whole is None else [*trim.fields, *(f"x:{n}" for n in one.steps)]
            texts = await self._store.retention.fields(trim.key, list(dict.fromkeys(wanted)))
            lines += written(trim, one, records, texts, at)
        mails = await self._records([one.delivery for one in batch.notices])
        lines += [of_delivery(mails[one.delivery], at) for one in batch.notices if one.delivery in mails]
        for log in batch.logs:
            head = None if log.taking is None else log.taking.head
            lines += of_log(log.partner, head, await self._log(log), at)
        return lines

    async def _log(self, log: Pruning) -> list[Line]:
        found: list[Line] = []
        while more := await self._store.chains.lines(
            log.partner, found[-1].position if found else log.after, 500, last=log.last
        ):
            found += more
        return found

    async def _records(self, ids: Sequence[str]) -> dict[str, DeliveryRecord]:
        try:
            return {one.delivery.id: one for one in await self._store.queues.deliveries(ids)} if ids else {}
        except msgspec.DecodeError:
            if len(ids) == 1:
                return {}  # nobody can read it: it goes as it is
            return {key: one for id_ in ids for key, one in (await self._records([id_])).items()}

    async def carry_out(self, batch: Batch, now_ms: int) -> Counter[str]:
        """It goes; how much of each kind."""
        retention, counts = self._store.retention, Counter[str]()
        for trim in batch.trims:
            counts["feed"] += await retention.unfeed(trim.feed) if trim.feed else 0
            if trim.fields or trim.records:
                await retention.shed(trim.key, gone=list(trim.records), fields=trim.fields)
            counts["bodies"] += len(trim.bodies)
            counts["events"] += len(trim.events)
            counts["refusals"] += len(trim.refusals)
            counts["deliveries"] += await retention.forget(trim.deliveries) if trim.deliveries else 0
            if trim.whole is not None and await retention.begin(trim.whole, self._ids_ms, now_ms):
                await retention.finish(trim.whole)
                counts["transfers"] += 1
        if batch.notices:
            counts["deliveries"] += await retention.forget([one.delivery for one in batch.notices])
            await retention.unnotice(batch.notices)
        await retention.look_again(dict.fromkeys(batch.done))
        for log in batch.logs:
            counts["lines"] += await self._store.chains.prune(log.partner, log.taking, log.last)
        return +counts

    async def finish(self) -> None:
        """What was leaving when a process died is out of every list."""
        for one in await self._store.retention.departing(100):
            await self._store.retention.finish(one)


def _again(contents: Contents, now_ms: int) -> int:
    return now_ms + min(_AGAIN_MS, max(_SOON_MS, now_ms - contents.kept.updated_ms))


def _cutoff(letter: str, cutoffs: Cutoffs) -> int:
    return -1 if letter in ("p", "l") else cutoffs.of(letter)


def _trim(contents: Contents, goes: Leaving) -> Trim:
    feed = [entry for place in goes.bodies for entry in contents.feed.get(place, ())]
    made = Trim(
        key=contents.kept.key,
        bodies=goes.bodies,
        events=goes.events,
        records=goes.records,
        refusals=goes.refusals,
        feed=feed,
    )
    return replace(made, whole=contents.departure) if goes.whole else made
