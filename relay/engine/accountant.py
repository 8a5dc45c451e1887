"""Is everything that was accepted accounted for, all the time?

A reconciler in small steps: each sweep of some worker goes on with a walk through all transfers, compares what
was accepted with what its recipients' queues know (`relay.accounts`), has gone through again what stood still,
and publishes what the lap came to. It reads at a bounded rate, beside the work and not in its way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec.structs import replace

from relay.accounts import Missing, State, Tally, drift, settle
from relay.config import Config
from relay.deadlines import may_have_any
from relay.engine.deadlines import rules_of
from relay.model import Channel, DeliveryStatus
from relay.record import Recorder
from relay.store import Store
from relay.store.accounts import BOOKS, JOB, Books, Lap
from relay.store.stored import Held, dump

_AT_ONCE = 50
_LEASE_MS = 30_000
_STEP_MS = 900
_MOST_TOLD = 20
"""Missing recipients that a lap names; the log names all."""
_CHANNELS = (Channel.WEBHOOK, Channel.EMAIL)


class Accountant:
    """One process's hand in the laps."""

    def __init__(self, store: Store, config: Config, recorder: Recorder, clock: Callable[[], int]) -> None:
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._most = config.accounts.transfers_per_second
        self._pause_ms = round(config.accounts.pause_seconds * 1000)
        self._rules = rules_of(config)

    async def step(self) -> None:
        """A second's worth of the walk, if it is this process's shift."""
        if not self._most:
            return
        shift = await self._store.shifts.take(JOB, now_ms=self._clock(), lease_ms=_LEASE_MS)
        if shift is None:
            return
        books = BOOKS.decode(shift.state) if shift.state else Books()
        lap = books.lap or Lap(began_ms=self._clock(), began=await self._counted())
        left = self._most
        ended = False
        while left > 0 and not ended:
            lap, ended = await self._walk(lap, min(left, _AT_ONCE))
            left -= _AT_ONCE
        wait = self._pause_ms if ended else _STEP_MS
        books = await self._ended(books, lap) if ended else replace(books, lap=lap)
        await self._store.shifts.give(shift, dump(books), not_before_ms=self._clock() + wait)

    async def _walk(self, lap: Lap, most: int) -> tuple[Lap, bool]:
        """The next transfers of the lap, and whether they were the last."""
        accounts = self._store.accounts
        cursors = await accounts.after(lap.cursor, most)
        keys = [cursor.partition("|")[2] for cursor in cursors]
        read = await accounts.read(keys)
        owed = await accounts.owed([one for _, account in read for one in account.deliveries])
        tally = Tally()
        for _, account in read:
            settle(account, owed, tally)
        await self._keep_deadlines([(account.key, held) for held, account in read if held is not None])
        repaired = await self._mend(tally.missing)
        lap = replace(
            lap,
            cursor=cursors[-1] if cursors else lap.cursor,
            transfers=lap.transfers + len(read),
            events=lap.events + tally.events,
            states=dict(Counter(lap.states) + tally.states),
            pending=dict(Counter(lap.pending) + tally.pending),
            repaired=lap.repaired + repaired,
            missing=[*lap.missing, *((m.transfer, m.sequence, m.delivery, m.detail) for m in tally.missing)][:_MOST_TOLD],
        )
        return lap, len(cursors) < most

    async def _mend(self, missing: list[Missing]) -> int:
        """Have what does not add up gone through again; how much is."""
        for one in missing:
            self._recorder.missing(one)
        stuck = sum(not one.member and one.delivery is not None for one in missing)
        return stuck + await self._store.accounts.redrive(missing, self._clock())

    async def _keep_deadlines(self, standing: list[tuple[str, Held]]) -> None:
        """An open transfer whose deadline nobody knows of (a hint was lost, or a rule was switched on) has one."""
        now = self._clock()
        times: list[tuple[str, int | None]] = [
            (key, now) for key, held in standing if may_have_any(held.kind, held.status, self._rules)
        ]
        if times:
            await self._store.client.batch([self._store.deadlines.scheduling(times, only_new=True)])

    async def _ended(self, books: Books, lap: Lap) -> Books:
        """Publish what the lap came to, and set right the count of pending deliveries where it has drifted."""
        pending = Counter(lap.pending)
        pending[Channel.EMAIL] += await self._pending_notices()
        counted = await self._counted()
        seen: dict[str, int] = {}
        changes: dict[str, int] = {"relay_accounts_repaired_total": lap.repaired}
        for channel in _CHANNELS:
            now, settled = counted[channel]
            by, seen[channel] = drift(
                now, pending[channel], before=lap.began.get(channel, (now, settled)), settled=settled,
                last=books.drift.get(channel, 0),
            )  # fmt: skip
            changes[_pending(channel)] = by
        gauges = {f"relay_accounts|state={state}": lap.states.get(state, 0) for state in State}
        await self._store.counters.mend(changes, gauges)
        last = replace(lap, ended_ms=self._clock(), pending=dict(pending))
        return Books(last=last, repaired=books.repaired + lap.repaired, drift=seen)

    async def _pending_notices(self) -> int:
        """How many mails that are of no event wait."""
        start = pending = 0
        while ids := await self._store.ledger.notices(start, 500):
            start += len(ids)
            letters = await self._store.accounts.owed(ids)
            pending += sum(letter in ("p", "l") for letter in letters.values())
        return pending

    async def _counted(self) -> dict[str, tuple[int, int]]:
        """What the counters say by channel: pending now, and settled ever."""
        counters = await self._store.counters.read()
        return {
            channel: (
                counters.get(_pending(channel), 0),
                sum(
                    counters.get(f"relay_deliveries_settled_total|channel={channel}|status={status}", 0)
                    for status in DeliveryStatus
                ),
            )
            for channel in _CHANNELS
        }


def _pending(channel: Channel) -> str:
    return f"relay_deliveries_pending|channel={channel}"
