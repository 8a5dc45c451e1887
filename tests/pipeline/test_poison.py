"""What becomes of an event that the relay itself cannot plan?"""

from __future__ import annotations

import pytest

from tests.pipeline.events import step
from tests.pipeline.inside import Inside


@pytest.mark.parametrize("body", [b"{", b'{"type":"transfer.created"}', b"\xff"])
async def test_an_unreadable_body_is_settled_with_a_reason_and_holds_up_nobody(world: Inside, body: bytes) -> None:
    await world.api.register("contoso", world.hooks)
    for event in (step("bad", "created", 1), step("good", "created", 1), step("bad", "updated", 2)):
        await world.api.post(event)
    client = world.services.store.client
    await client.ask("HSET", client.key("t:bad"), "x:1", body)
    await world.sweep()
    assert {r.message_id for r in world.hooks.requests} == {"good-1", "bad-2"}
    seen = await world.api.ask("GET", "/v1/transfers/bad")
    first = next(entry for entry in seen["timeline"] if entry["sequence"] == 1)
    assert {skip["reason"] for skip in first["skipped"]} == {"unplannable"}
    assert not first["told"]
    assert not await client.ask("EXISTS", client.key("t:bad", "in"))
