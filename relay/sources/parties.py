"""Under which id does the relay know the partner of a tenant?

A registered partner says its `tenant_id`; a configured tenant may name its partner. Whoever is not known is
called by the tenant's own id, and may be registered under it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.config_sources import Tenant
from relay.store.registry import Registry

_FRESH_MS = 30_000
_PAGE = 500
_MOST_PAGES = 200


class Parties:
    """Partners by tenant id, as registered at most half a minute ago."""

    def __init__(self, registry: Registry, tenants: Sequence[Tenant], clock: Callable[[], int]) -> None:
        self._registry = registry
        self._named = {one.tenant_id.casefold(): one.partner for one in tenants if one.partner}
        self._clock = clock
        self._known: dict[str, str] = {}
        self._read_ms = -_FRESH_MS

    async def of(self, tenant_id: str) -> str:
        """The partner's id. Raises StoreError."""
        named = self._named.get(tenant_id.casefold())
        if named is not None:
            return named
        now = self._clock()
        if now - self._read_ms >= _FRESH_MS:
            self._known = await self._read()
            self._read_ms = now
        return self._known.get(tenant_id.casefold(), tenant_id)

    async def _read(self) -> dict[str, str]:
        found: dict[str, str] = {}
        after: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._registry.list_partners(after, _PAGE)
            found |= {one.tenant_id.casefold(): one.id for one in page.data if one.tenant_id}
            after = page.next
            if after is None:
                break
        return found
