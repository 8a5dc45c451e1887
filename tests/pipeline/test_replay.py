"""Is a replay carried out beside the request, whatever happens meanwhile, and each delivery sent again once?"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.engine import replayer
from relay.engine.engine import Engine
from relay.errors import StoreUnavailable
from relay.store.replays import Replay, Replays
from tests.fakes.partner import Answer, ids
from tests.pipeline.caller import Member
from tests.pipeline.events import life, step
from tests.pipeline.inside import Inside, inside

SINCE = "2020-01-01T00:00:00Z"
LEASE_S = 31


@pytest.fixture
async def world(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """With small parts, so that a few deliveries are several."""
    monkeypatch.setattr(replayer, "_PART", 5)
    async with inside(valkey_url) as opened:
        yield opened


async def told(world: Inside, transfers: int) -> Member:
    """An endpoint that was told of so many whole lives."""
    member = await world.api.register("contoso", world.hooks)
    for n in range(transfers):
        for event in life(f"tr-{n}"):
            await world.api.post(event)
    await world.sweep()
    assert len(world.hooks.requests) == 3 * transfers
    world.pass_time(60)
    return member


async def ask(member: Member, **more: Any) -> Any:
    return await member.caller.ask("POST", f"{member.at}/replay", {"since": SINCE, **more}, expect=202)


async def look(member: Member, replay: str) -> Any:
    return await member.caller.ask("GET", f"{member.at}/replays/{replay}")


async def test_what_was_planned_in_one_moment_is_in_one_part(world: Inside) -> None:
    store = world.services.store
    planned = {"dlv_a": 1, "dlv_b": 2, "dlv_c": 2, "dlv_d": 2, "dlv_e": 3}
    for delivery, at_ms in planned.items():
        await store.client.ask("ZADD", store.client.key("r:ep_x", "all"), at_ms, delivery)
    replay = Replay(id="rp_x", endpoint="ep_x", since_ms=0, until_ms=9, created_at_ms=0, count=5, event_types=None)
    first = await store.replays.span(replay, None, 2)
    assert (first.wanted, first.after) == (["dlv_a", "dlv_b", "dlv_c", "dlv_d"], ("dlv_d", 2))
    assert (await store.replays.span(replay, first.after, 2)).wanted == ["dlv_e"]


async def test_it_is_answered_before_it_is_carried_out_and_says_how_far_it_is(world: Inside) -> None:
    member = await told(world, 8)
    made = await ask(member)
    assert (made["count"], made["processed"], made["reopened"], made["done"]) == (24, 0, 0, False)
    assert len(world.hooks.requests) == 24
    assert await look(member, made["id"]) == made
    await world.sweep()
    seen = await look(member, made["id"])
    assert (seen["count"], seen["processed"], seen["reopened"], seen["done"]) == (24, 24, 24, True)
    again = ids(world.hooks.requests[24:])
    assert Counter(again) == {f"tr-{n}-{k}": 1 for n in range(8) for k in (1, 2, 3)}
    for n in range(8):
        assert [i for i in again if i.startswith(f"tr-{n}-")] == [f"tr-{n}-1", f"tr-{n}-2", f"tr-{n}-3"]


async def test_asked_for_twice_while_it_runs_it_is_one(world: Inside) -> None:
    member = await told(world, 4)
    until = "2099-01-01T00:00:00Z"
    first, second = await ask(member, until=until), await ask(member, until=until)
    assert first == second
    await world.sweep()
    assert len(world.hooks.requests) == 24
    await ask(member, until=until)
    await world.sweep()
    assert len(world.hooks.requests) == 36, "a new one, once the first is done"


async def test_what_a_worker_that_died_left_is_gone_on_with_and_nothing_is_opened_twice(
    world: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies after a part was opened and before that was written down, each time."""
    member = await told(world, 8)
    made = await ask(member)
    keep, failures = Replays.keep, [True, False, True]

    async def dies(self: Replays, replay: Replay) -> None:
        if failures and failures.pop(0):
            raise StoreUnavailable("it died here")
        await keep(self, replay)

    monkeypatch.setattr(Replays, "keep", dies)
    await world.sweep()
    assert not (await look(member, made["id"]))["done"]
    other = Engine(world.services)
    for _ in range(4):
        world.pass_time(LEASE_S)
        await other.sweep()
        await other.idle()
    seen = await look(member, made["id"])
    assert (seen["processed"], seen["reopened"], seen["done"]) == (24, 24, True)
    assert set(Counter(ids(world.hooks.requests[24:])).values()) == {1}
    assert len(world.hooks.requests) == 48
    await other.stop(5)


async def test_a_worker_that_is_stopped_leaves_the_rest_to_the_next(world: Inside) -> None:
    member = await told(world, 4)
    made = await ask(member)
    await world.engine.stop(5)
    other = Engine(world.services)
    await other.sweep()
    await other.idle()
    await other.sweep()
    await other.idle()
    assert (await look(member, made["id"]))["done"]
    assert len(world.hooks.requests) == 24
    await other.stop(5)


async def test_only_the_wanted_types_of_the_wanted_span_go_again(world: Inside) -> None:
    member = await told(world, 3)
    world.pass_time(3_600)
    await world.api.post(step("tr-late", "created", 1))
    await world.sweep()
    at = (await member.caller.all(f"{member.at}/deliveries"))[0]["created_at"]
    made = await ask(member, until=at, event_types=["transfer.created", "transfer.completed"])
    assert made["count"] == 6
    await world.sweep()
    assert set(ids(world.hooks.requests[10:])) == {f"tr-{n}-{k}" for n in range(3) for k in (1, 3)}
    assert (await look(member, made["id"]))["processed"] == 6


async def test_what_is_pending_is_not_told_twice(world: Inside) -> None:
    member = await told(world, 8)
    world.hooks.always(Answer(503, headers={"Retry-After": "60"}), member.path)
    await world.api.post(step("tr-new", "created", 1))
    await world.sweep()
    made = await ask(member)
    await world.sweep()
    world.hooks.always(Answer(), member.path)
    world.pass_time(120)
    await world.sweep()
    seen = await look(member, made["id"])
    assert (seen["processed"], seen["reopened"]) == (25, 24)
    assert {d["status"] for d in await member.caller.all(f"{member.at}/deliveries")} == {"delivered"}
