"""What has each partner registered, as of now?

A cache that is never used stale: either the database is asked for what changed since the version that is known, and
uses that come together ask together; or what is done with it names the version, and is not done where that is another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from relay.plan import Registered
from relay.store.registry import Registry

_NOBODY = Registered(None, {})


class Registrations:
    """The registrations that this process has seen."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, tuple[int, Registered]] = {}
        self._wanted: set[str] = set()
        self._next: asyncio.Task[None] | None = None
        self._under_way: asyncio.Task[None] | None = None

    async def fresh(self, partners: Iterable[str]) -> dict[str, Registered]:
        """The registrations of these partners (casefolded ids), none older than this call."""
        wanted = set(partners)
        if not wanted:
            return {}
        self._wanted |= wanted
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._read(self._under_way))
        await asyncio.shield(self._next)
        return {key: self._known[key][1] if key in self._known else _NOBODY for key in wanted}

    async def seen(self, partners: Iterable[str]) -> dict[str, tuple[int, Registered]]:
        """The registrations of these partners as they were when last asked for, each with its version."""
        wanted = set(partners)
        if not wanted <= self._known.keys():
            await self.fresh(wanted - self._known.keys())
        return {key: self._known[key] for key in wanted}

    def at(self, partner: str, version: int | None) -> Registered | None:
        """What was registered at a version, where that is the one that is known."""
        known = self._known.get(partner)
        return known[1] if known is not None and known[0] == version else None

    async def _read(self, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        self._under_way, self._next = self._next, None
        wanted, self._wanted = list(self._wanted), set()
        changed = await self._registry.registrations(
            [(key, self._known[key][0] if key in self._known else -1) for key in wanted]
        )
        for key, registration in changed.items():
            self._known[key] = (
                registration.version,
                Registered(registration.partner, registration.endpoints, registration.preferences),
            )
