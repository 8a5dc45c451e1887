"""What if the clock steps back an hour, and forth again?"""

from __future__ import annotations

from tests.pipeline.events import life, step
from tests.pipeline.inside import Inside

_HOUR_S = 3600


async def test_a_clock_that_steps_back_and_forth_loses_nothing_and_keeps_order(world: Inside) -> None:
    await world.api.register("contoso", world.hooks)
    created, updated, completed = life("tr-1")
    await world.api.post(created)
    world.pass_time(-_HOUR_S)
    await world.api.post(updated)
    await world.api.post(step("tr-2", "created", 1))
    await world.sweep()
    assert "tr-2-1" in {r.message_id for r in world.hooks.requests}, "what is new goes on at once"
    world.pass_time(2 * _HOUR_S)
    await world.api.post(completed)
    await world.sweep()
    world.pass_time(-_HOUR_S)
    await world.api.post(step("tr-3", "created", 1))
    await world.sweep()
    came = [r.message_id for r in world.hooks.requests]
    assert sorted(came) == ["tr-1-1", "tr-1-2", "tr-1-3", "tr-2-1", "tr-3-1"]
    assert [one for one in came if one.startswith("tr-1")] == ["tr-1-1", "tr-1-2", "tr-1-3"]


async def test_a_clock_that_steps_forth_neither_exhausts_nor_expires_anything(world: Inside) -> None:
    await world.api.register("contoso", world.hooks)
    for event in life("tr-1"):
        await world.api.post(event)
        world.pass_time(_HOUR_S)
        await world.sweep()
        world.pass_time(-_HOUR_S)
    world.pass_time(_HOUR_S)
    await world.sweep()
    deliveries = await world.api.all("/v1/transfers/tr-1/deliveries?channel=webhook")
    assert [one["status"] for one in deliveries] == ["delivered"] * 3
    assert [r.message_id for r in world.hooks.requests] == ["tr-1-1", "tr-1-2", "tr-1-3"]
