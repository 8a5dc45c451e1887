"""Who carries out a replay?

Any worker, a part at a time, beside its sweeps: how far it has come is kept after each part, so that one
that dies in the middle is gone on with. What a part opens, it opens once, whoever repeats it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from relay.engine.aside import Aside
from relay.model import Channel
from relay.store import Store
from relay.store.hints import Claim, Hint
from relay.store.replays import Replay

_PART = 200
_PARTS = 50
"""Gone through in one go; then others have their turn."""
_AT_ONCE = 8
_LEASE_MS = 30_000


class Replayer(Aside):
    """The replays that one process carries out. `wake` is called when deliveries were made due."""

    def __init__(
        self, store: Store, clock: Callable[[], int], log: FilteringBoundLogger, wake: Callable[[Channel], None]
    ) -> None:
        super().__init__("replay", log)
        self._store = store
        self._clock = clock
        self._wake = wake

    async def step(self) -> None:
        """Take up what is due, unless that is under way here."""
        if not self._may_begin:
            return
        now = self._clock()
        taken = await self._store.replays.take(now_ms=now, until=now + _LEASE_MS + random.random(), most=_AT_ONCE)
        if taken:
            self._begin(self._carry_out(taken))

    async def _carry_out(self, taken: list[tuple[Claim, Replay | None]]) -> None:
        for claim, replay in taken:
            going, parts = replay, 0
            while going is not None and not going.done and parts < _PARTS and not self._stopping:
                going, parts = await self._part(going), parts + 1
            unfinished = going is not None and not going.done
            await self._store.replays.give_back(claim, self._clock() if unfinished else None)

    async def _part(self, replay: Replay) -> Replay:
        store, now = self._store, self._clock()
        span = await store.replays.span(replay, replay.after, _PART)
        answers = await store.queues.reopen(span.wanted, now, once=replay.mark)
        reopened = sum(word == "reopened" for word, _ in answers)
        due = [at for _, at in answers if at is not None]
        if due:
            await store.hints.make_due(Hint.WEBHOOK, [(replay.endpoint, due[-1])])
        store.counters.owe(Channel.WEBHOOK.value, reopened)
        self._wake(Channel.WEBHOOK)
        gone_on = replace(
            replay,
            processed=replay.processed + len(span.wanted),
            reopened=replay.reopened + reopened,
            gone=replay.gone + sum(word in ("gone", "absent") for word, _ in answers),
            after=span.after,
            done=span.after is None,
        )
        await store.replays.keep(gone_on)
        return gone_on
