"""What happens to deliveries when egress is kept in a forward proxy, and the proxy is away?"""

from __future__ import annotations

from tests.fakes.outside import Proxy
from tests.pipeline.events import step
from tests.pipeline.inside import inside
from tests.ports import free_port


async def test_while_the_proxy_is_away_deliveries_wait_and_spend_no_attempt(valkey_url: str) -> None:
    port = free_port()
    proxy_url = f"http://127.0.0.1:{port}"
    async with inside(valkey_url, RELAY_EGRESS__PROXY=proxy_url) as world:
        member = await world.api.register("contoso", world.hooks)
        await world.api.post(step("tr-1", "created", 1))
        await world.sweep()
        before = await world.delivery("tr-1-1")
        assert (before["status"], before["attempt_count"], world.hooks.requests) == ("pending", 0, [])
        endpoint = await member.caller.ask("GET", member.at)
        assert (endpoint["state"], endpoint["failing_since"]) == ("enabled", None)
        async with Proxy(world.hooks.port, port=port) as proxy:
            await world.to(before["next_attempt_at"])
            after = await world.delivery("tr-1-1")
            assert (after["status"], after["attempt_count"]) == ("delivered", 1)
            assert proxy.asked == [f"POST http://127.0.0.1:{world.hooks.port}{member.path}"]
            assert [request.message_id for request in world.hooks.requests] == ["tr-1-1"]
            await world.services.sender.session.close()
