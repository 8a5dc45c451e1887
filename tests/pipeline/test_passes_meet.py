"""What if passes over a queue meet, or who plans and who delivers?

A pass may end in the database before its process hears of it, and begin there before it does; others may be busy
without end; another worker may have looked in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay.engine.dispatch import Dispatcher
from relay.engine.drain import Drain
from relay.engine.engine import Engine
from relay.engine.fanout import FanOut
from relay.engine.registered import Registrations
from relay.errors import StoreUnavailable
from relay.model import Channel
from relay.store.client import Client
from relay.store.passes import Advanced
from relay.store.queues import Queues
from tests.fakes.partner import Answer
from tests.pipeline.caller import eventually
from tests.pipeline.events import step
from tests.pipeline.inside import Inside


def comes_late(
    monkeypatch: pytest.MonkeyPatch, of: type, method: str, when: Callable[[Any], bool] = lambda _: True
) -> tuple[asyncio.Event, asyncio.Event]:
    """The first such answer of this method comes late: when it is there, and when it may come."""
    ask, there, go_on = getattr(of, method), asyncio.Event(), asyncio.Event()

    async def late(*args: Any, **more: Any) -> Any:
        answer = await ask(*args, **more)
        if when(answer) and not there.is_set():
            there.set()
            await go_on.wait()
        return answer

    monkeypatch.setattr(of, method, late)
    return there, go_on


@pytest.mark.parametrize("again", [Engine.sweep, Engine.fan_out], ids=["swept", "only told"])
async def test_a_pass_that_begins_before_the_last_has_heard_of_its_end_is_not_lost(
    world: Inside, again: Callable[[Engine], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the last step of a pass comes late. What is put in the queue meanwhile is taken by the next, and
    is not left in flight until a lease is over."""
    await world.api.register("contoso", world.hooks)
    ended, go_on = comes_late(monkeypatch, Queues, "advance", lambda step: step.released)
    await world.api.post(step("tr-1", "created", 1, source="contoso"))
    await world.engine.sweep()
    async with asyncio.timeout(30):
        await ended.wait()
    await world.api.post(step("tr-2", "created", 1, source="contoso"))
    await again(world.engine)
    go_on.set()
    await world.hooks.wait_for(2, timeout=10)


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


async def test_what_comes_before_a_pass_has_heard_of_its_beginning_goes_beside_it(
    world: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.api.register("contoso", world.hooks)
    monkeypatch.setattr(Dispatcher, "opening", lambda *_: None)
    begun, go_on = comes_late(monkeypatch, Queues, "begin", lambda answer: bool(answer[1]))
    world.hooks.answers(Answer(hang=True))
    await world.api.post(step("tr-1", "created", 1, source="contoso"))
    await world.engine.fan_out()
    async with asyncio.timeout(30):
        await begun.wait()
    await world.api.post(step("tr-2", "created", 1, source="contoso"))
    await world.engine.fan_out()
    go_on.set()
    await world.hooks.wait_for(2, timeout=5)
    world.hooks.release()


async def test_what_comes_before_the_planner_has_heard_that_a_pass_began_goes_beside_it(
    world: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.api.register("contoso", world.hooks)
    await world.api.post(step("tr-0", "created", 1, source="contoso"))
    await world.sweep()  # by now all is known that planning asks for
    begun, go_on = comes_late(monkeypatch, Client, "chain")
    world.hooks.answers(Answer(hang=True))
    await world.api.post(step("tr-1", "created", 1, source="contoso"))
    planning = asyncio.create_task(world.engine.fan_out())
    async with asyncio.timeout(30):
        await begun.wait()
    await world.api.post(step("tr-2", "created", 1, source="contoso"))
    await FanOut(
        world.services.store, world.services.config, Registrations(world.services.store.registry), world.clock,
        world.services.log, world.engine._wake,
    ).run()  # fmt: skip
    go_on.set()
    await planning
    await world.hooks.wait_for(3, timeout=5)
    world.hooks.release()


async def test_a_lone_request_that_hangs_keeps_its_lease(world: Inside) -> None:
    """Renewed again and again: another worker finds the queue taken however long it lasts."""
    contoso = await world.api.register("contoso", world.hooks)
    client, key = world.services.store.client, world.services.store.client.key(f"r:{contoso.endpoint}", "q")
    world.hooks.answers(Answer(hang=True))
    await world.api.post(step("tr-1", "created", 1, source="contoso"))
    await world.engine.fan_out()
    await world.hooks.wait_for(1)
    (active,) = world.engine._dispatchers[Channel.WEBHOOK]._active.values()
    assert isinstance(active.drain, Drain)
    lease_s = world.services.config.worker.lease_seconds
    for _ in range(3):
        before = int(await client.ask("HGET", key, "until"))
        world.pass_time(lease_s / 2)
        active.drain.renew()

        async def renewed() -> bool | None:
            return True if int(await client.ask("HGET", key, "until")) >= before + 400 * lease_s else None

        await eventually(renewed, "the lease is renewed")
    world.hooks.release()
    await world.engine.idle()
    assert len(world.hooks.requests) == 1


async def test_nothing_more_is_sent_by_a_pass_that_cannot_record_it(
    world: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.api.register("contoso", world.hooks)
    world.hooks.answers(Answer(hang=True), Answer(hang=True))
    await world.api.post(step("tr-0", "created", 1, source="contoso"))
    await world.engine.fan_out()
    await world.hooks.wait_for(1)
    for n in range(1, 6):
        await world.api.post(step(f"tr-{n}", "created", 1, source="contoso"))
    await world.engine.fan_out()
    await world.hooks.wait_for(2)  # and the rest is at hand
    (active,) = world.engine._dispatchers[Channel.WEBHOOK]._active.values()
    assert isinstance(active.drain, Drain)
    beside = active.drain._beside
    assert beside is not None

    async def away(*_: Any, **__: Any) -> Advanced:
        raise StoreUnavailable("away")

    monkeypatch.setattr(Queues, "advance", away)
    world.pass_time(world.services.config.worker.lease_seconds / 2)
    active.drain.renew()
    await asyncio.wait([beside])
    world.hooks.release()
    await world.engine.idle()
    assert len(world.hooks.requests) == 2


@pytest.mark.parametrize("what", ["a delivery", "a breaker", "a queue"])
async def test_what_cannot_be_read_of_one_queue_is_for_nobody_else_to_suffer_from(
    world: Inside, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = await world.api.register("contoso", world.hooks)
    good = await world.api.register("fabrikam", world.hooks)
    monkeypatch.setattr(Dispatcher, "tell", lambda *_: None)
    monkeypatch.setattr(Dispatcher, "opening", lambda *_: None)
    for n in range(3):
        await world.api.post(step(f"tr-{n}", "created", 1))
    await world.engine.fan_out()
    client = world.services.store.client
    match what:
        case "a delivery":
            (first, *_) = await client.plain.zrange(client.key(f"r:{bad.endpoint}", "all"), 0, -1)
            await client.ask("HSET", client.key(f"r:{bad.endpoint}", f"d:{first.decode()}"), "m", b"{")
        case "a breaker":
            await client.ask("HSET", client.key(f"r:{bad.endpoint}", "q"), "breaker", b'{"state":"of another time"}')
        case "a queue":
            await client.ask("SET", client.key(f"r:{bad.endpoint}", "again"), "no sorted set")
    await world.engine.deliver()
    await world.engine.idle()
    assert {request.path for request in world.hooks.requests} == {good.path}
    assert len(world.hooks.requests) == 3


async def test_a_retry_is_not_put_off_by_planning_without_end(world: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is planned is all for an endpoint whose pass is under way; another's retry is due."""
    await world.api.register("contoso", world.hooks)
    busy = await world.api.register("fabrikam", world.hooks)
    world.hooks.answers(Answer(500))
    await world.api.post(step("tr-1", "created", 1, source="contoso", target="elsewhere"))
    await world.sweep()
    world.hooks.answers(Answer(hang=True))
    await world.api.post(step("tr-2", "created", 1, source="fabrikam", target="elsewhere"))
    await world.engine.fan_out()
    await world.hooks.wait_for(2)
    world.pass_time(15)

    async def without_end(_: FanOut) -> None:
        async with asyncio.timeout(5):
            while len(world.hooks.requests) < 3:
                await asyncio.sleep(0.01)
                world.engine._wake(Channel.WEBHOOK, [busy.endpoint])

    monkeypatch.setattr(FanOut, "run", without_end)
    await world.engine.fan_out()
    world.hooks.release()


async def test_what_a_worker_leaves_another_that_has_looked_before_takes_at_once(world: Inside) -> None:
    """The first one's pass outlasts its claim; the second looks, and is to come back when that lease is over."""
    contoso = await world.api.register("contoso", world.hooks)
    other, lease_s = Engine(world.services), world.services.config.worker.lease_seconds
    world.hooks.answers(Answer(hang=True), Answer(hang=True))
    for n in range(2):
        await world.api.post(step(f"tr-{n}", "created", 1, source="contoso", target="elsewhere"))
    await world.engine.fan_out()
    await world.hooks.wait_for(2)
    client, key = world.services.store.client, world.services.store.client.key(f"r:{contoso.endpoint}", "q")
    before = int(await client.ask("HGET", key, "until"))
    world.pass_time(lease_s / 2)
    world.engine._wake(Channel.WEBHOOK, [contoso.endpoint])  # its next step renews the lease

    async def renewed() -> bool | None:
        return True if int(await client.ask("HGET", key, "until")) >= before + 400 * lease_s else None

    await eventually(renewed, "the lease is renewed")
    world.pass_time(lease_s / 2 + 2)
    await other.deliver()
    await other.idle()
    for n in range(2, 20):
        await world.api.post(step(f"tr-{n}", "created", 1, source="contoso", target="elsewhere"))
    await world.engine.fan_out()
    world.hooks.release()
    await world.engine.stop(5)
    await other.sweep()
    await other.idle()
    assert len(world.hooks.requests) == 20
    await other.stop(5)
