"""What if a queue is taken again before its last pass has heard that it ended?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relay.store.passes import Advanced
from relay.store.queues import Queues
from tests.fakes.partner import Answer
from tests.pipeline.caller import eventually
from tests.pipeline.events import step
from tests.pipeline.inside import Inside


async def test_a_pass_that_begins_before_the_last_has_heard_of_its_end_is_not_lost(
    world: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the last step of a pass comes late. What is put in the queue meanwhile is taken by the next, and
    is not left in flight until a lease is over."""
    await world.api.register("contoso", world.hooks)
    advance, ended, go_on = Queues.advance, asyncio.Event(), asyncio.Event()

    async def late(self: Queues, *args: Any, **more: Any) -> Advanced:
        answer = await advance(self, *args, **more)
        if answer.released and not ended.is_set():
            ended.set()
            await go_on.wait()
        return answer

    monkeypatch.setattr(Queues, "advance", late)
    await world.api.post(step("tr-1", "created", 1, source="contoso"))
    await world.engine.sweep()
    async with asyncio.timeout(30):
        await ended.wait()
    await world.api.post(step("tr-2", "created", 1, source="contoso"))
    await world.engine.sweep()
    go_on.set()

    async def both() -> bool | None:
        return True if len(world.hooks.requests) == 2 else None

    await eventually(both, "both are delivered", 10)


async def test_a_transfer_with_quotes_and_backslashes_in_its_id_is_told(world: Inside) -> None:
    await world.api.register("contoso", world.hooks)
    for n, name in enumerate(('"', "\\", '","audience":"target', "\\u0022")):
        await world.api.post(step(f"tr-{name}", "created", 1, id=f"evt-{n}", source="contoso"))
    await world.sweep()
    assert len(world.hooks.requests) == 4


async def test_what_comes_while_a_request_hangs_goes_beside_it(world: Inside) -> None:
    """Where the endpoint's window has room: it waits neither for that request nor for the lease to be renewed."""
    await world.api.register("contoso", world.hooks)
    world.hooks.answers(Answer(hang=True))
    await world.api.post(step("tr-1", "created", 1, source="contoso"))
    await world.engine.fan_out()
    await world.hooks.wait_for(1)
    await world.api.post(step("tr-2", "created", 1, source="contoso"))
    await world.engine.fan_out()
    await world.hooks.wait_for(2, timeout=5)
    world.hooks.release()
