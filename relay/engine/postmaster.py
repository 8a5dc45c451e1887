"""How does the operator learn that a mail server is not well, and that it is well again?

Each worker knows how the servers treat it (`relay.mail.standing`). Once a second what changed is written down for
all processes: a line in the log, a number in the metrics, and, while it lasts, a complaint of `relay check` and a
word in `/readyz`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.mail.send import Transport
from relay.mail.standing import WELL, Standing
from relay.record import Recorder
from relay.store import Store
from relay.store.sources import Trouble

MAIL = "mail"
"""What the troubles of mail servers are kept under, one kind a server."""
_LOOK_AGAIN_MS = 10_000


class Postmaster:
    """Tells of the mail servers of one worker. What another one noted is taken back when nobody has seen it for
    `stale_ms`: that worker is dead, or the server is no longer in the settings."""

    def __init__(
        self,
        store: Store,
        transports: Sequence[Transport],
        recorder: Recorder,
        clock: Callable[[], int],
        *,
        stale_ms: int,
    ) -> None:
        self._store = store
        self._transports = transports
        self._recorder = recorder
        self._clock = clock
        self._stale_ms = stale_ms
        self._told: dict[str, Standing] = {}
        self._looked_ms = 0

    async def step(self) -> None:
        """Write down what changed. Raises StoreError; then it is told the next time."""
        now = self._clock()
        for transport in self._transports:
            standing, told = transport.standing, self._told.get(transport.name, WELL)
            if standing.failures != told.failures:
                await self._tell(transport.name, standing, now)
                self._told[transport.name] = standing
        if now - self._looked_ms >= _LOOK_AGAIN_MS:
            await self._forget_stale(now)
            self._looked_ms = now

    async def _tell(self, name: str, standing: Standing, now: int) -> None:
        if standing.is_up:
            await self._mended(name, now)
            return
        trouble = Trouble(
            kind=name, detail=standing.detail[:500], since_ms=standing.since_ms or now, at_ms=now,
            until_ms=standing.again_ms or 0,
        )  # fmt: skip
        if await self._store.sources.troubled(MAIL, trouble):
            self._recorder.mail_down(name, trouble.detail)

    async def _forget_stale(self, now: int) -> None:
        ours = {transport.name for transport in self._transports if not transport.standing.is_up}
        for trouble in await self._store.sources.troubles(MAIL):
            if trouble.kind not in ours and now - trouble.at_ms > self._stale_ms:
                await self._mended(trouble.kind, now)

    async def _mended(self, name: str, now: int) -> None:
        was = await self._store.sources.mended(MAIL, name)
        if was is not None:
            self._recorder.mail_up(name, round((now - was.since_ms) / 1000))
