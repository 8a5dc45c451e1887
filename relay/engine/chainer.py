"""Who chains the activity logs?

One process at a time, every few seconds, from partner to partner: the lines behind the last head get the
next. Each head is said in the log too, which is kept elsewhere: who can write to the database cannot take
back what was said there.
"""

from __future__ import annotations

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from relay.chain import extend
from relay.chain_key import chain_key
from relay.errors import VaultError
from relay.store import Store
from relay.store.chain import Standing
from relay.vault import Vault

JOB = "chain"
_LEASE_MS = 30_000
_PARTNERS = 500
_LINES = 1_000
_MOST_BATCHES = 20
"""In one step; the next goes on a second later."""


class Chainer:
    """One process's hand in it."""

    def __init__(
        self, store: Store, vault: Vault, every_s: float, clock: Callable[[], int], log: FilteringBoundLogger
    ) -> None:
        self._store = store
        self._vault = vault
        self._every_ms = round(every_s * 1000)
        self._clock = clock
        self._log = log

    async def step(self) -> None:
        """Chain what is behind, if it is this process's shift."""
        shift = await self._store.shifts.take(JOB, now_ms=self._clock(), lease_ms=_LEASE_MS)
        if shift is None:
            return
        wait_ms, state = self._every_ms, shift.state
        try:
            after, behind = await self._round(state.decode() or None)
        except VaultError as error:
            self._log.error("chain.stopped", detail=str(error))
        else:
            state = (after or "").encode()
            wait_ms = 0 if after is not None or behind else self._every_ms
        await self._store.shifts.give(shift, state, not_before_ms=self._clock() + wait_ms)

    async def _round(self, after: str | None) -> tuple[str | None, bool]:
        """The next partners: where to go on (None: from the start), and whether some are still behind."""
        page = await self._store.registry.list_partners(after, _PARTNERS)
        standings = [one for one in await self._store.chains.standing([p.key for p in page.data]) if one.is_behind]
        left = _MOST_BATCHES
        for one in standings:
            if not left:
                return after, True
            left -= await self._chain(one, left)
        return page.next, False

    async def _chain(self, standing: Standing, most: int) -> int:
        """Chain a log, at most so many batches; how many."""
        chains, partner = self._store.chains, standing.partner
        key = await chain_key(chains, self._vault)
        last, count = standing.last, standing.count
        for done in range(most):
            lines = await chains.lines(partner, 0 if last is None else last.last, _LINES)
            if not lines:
                return done
            head = extend(partner, last, lines, self._clock(), key)
            if not await chains.extend(partner, count, head):
                return done + 1  # another did it: the next step sees how far
            self._log.info("activity.chained", partner=partner, head=head.number, last=head.last, hash=head.after)
            last, count = head, count + 1
        return most
