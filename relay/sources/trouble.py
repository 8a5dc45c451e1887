"""How does the operator learn that a source is not well, and that it is well again?

Said once when it begins and once when it ends: a line in the log, a number in the metrics, a line in the
activity log of the partner whose source it is, and, while it lasts, a complaint of `relay check` and of
`GET /v1/sources`.
"""

from __future__ import annotations

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from relay.store import Store
from relay.store.ledger import Line
from relay.store.sources import Trouble
from relay.store.stored import Activity

KINDS = {
    "authorization": "no token is given to the relay, or the one it has is not taken",
    "throttled": "Partner Center asks the relay to wait (429)",
    "unreachable": "the system does not answer, or answers that it cannot",
    "registration": "the registered callback URL or list of events is not the relay's",
    "certificate": "the certificate of a callback cannot be fetched, or is not trusted",
    "unusable": "what was fetched cannot be made an event of",
    "uncertain": "a call was cut off, and whether it was done is not known",
}
"""Every kind of trouble; explained in docs/operations.md."""

_FRESH_MS = 10_000


class Health:
    """Notes what is wrong with one source. `partner` is the key of the partner whose source it is, or ""."""

    def __init__(
        self, store: Store, log: FilteringBoundLogger, clock: Callable[[], int], source: str, partner: str
    ) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._source = source
        self._partner = partner
        self._right_ms: dict[str, int] = {}

    async def wrong(self, kind: str, detail: str, *, until_ms: int = 0) -> None:
        """Something is wrong, and the source waits until then. Raises StoreError."""
        now = self._clock()
        trouble = Trouble(kind=kind, detail=detail[:500], since_ms=now, at_ms=now, until_ms=until_ms)
        self._right_ms.pop(kind, None)
        self._store.counters.add(f"relay_source_troubles_total|source={self._source}|kind={kind}")
        if not await self._store.sources.troubled(self._source, trouble):
            return
        self._store.counters.add(f"relay_source_troubled|source={self._source}|kind={kind}")
        self._log.warning("source.troubled", source=self._source, kind=kind, detail=detail[:500])
        await self._note("source.troubled", f"{kind}: {detail[:300]}", now)

    async def right(self, *kinds: str) -> None:
        """This is right, or right again. Raises StoreError."""
        now = self._clock()
        for kind in kinds:
            # Asked of the database now and then only: another process may have noted what was wrong.
            if now - self._right_ms.get(kind, -_FRESH_MS) < _FRESH_MS:
                continue
            was = await self._store.sources.mended(self._source, kind)
            self._right_ms[kind] = now
            if was is None:
                continue
            lasted = round((now - was.since_ms) / 1000)
            self._store.counters.add(f"relay_source_troubled|source={self._source}|kind={kind}", -1)
            self._log.warning("source.recovered", source=self._source, kind=kind, lasted_s=lasted)
            await self._note("source.recovered", f"{kind}: well again after {lasted} s", now)

    def forget(self) -> None:
        """Another process may have noted something since: ask again."""
        self._right_ms.clear()

    def count(self, what: str, outcome: str) -> None:
        """One callback, request or event and how it ended: `relay_source_<what>_total`."""
        self._store.counters.add(f"relay_source_{what}_total|source={self._source}|outcome={outcome}")

    async def _note(self, type_: str, text: str, now: int) -> None:
        if not self._partner:
            return
        id_ = f"{type_}-{self._source}-{now}"
        record = Activity(id=id_, type=type_, at_ms=now, note=f"{self._source}: {text}")
        await self._store.ledger.append([Line(self._partner, id_, record, "", "", 0)])
