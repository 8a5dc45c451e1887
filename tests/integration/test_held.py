"""Is a queue held exactly while its endpoint is disabled?"""

from __future__ import annotations

import pytest

from relay.engine.watch import Patience, Watch
from relay.model import Endpoint, Partner
from relay.services import Services


@pytest.mark.parametrize("by_now", ["disabled", "enabled"])
async def test_who_found_an_endpoint_disabled_holds_it_unless_it_was_enabled_meanwhile(
    services: Services, by_now: str
) -> None:
    store = services.store
    endpoint = Endpoint(id="ep_1", partner="p", url="https://x.example", created_at_ms=1, updated_at_ms=1)
    disabled = endpoint.disabled("requested", 1)
    await store.registry.put_partner(Partner(id="p", name="P", created_at_ms=1, updated_at_ms=1))
    await store.registry.create_endpoint(disabled if by_now == "disabled" else endpoint)
    await Watch(store, Patience(1, 1, "en"), services.log).hold_soon(disabled)
    assert (await store.queues.state("ep_1")).held is (by_now == "disabled")
