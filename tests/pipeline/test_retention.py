"""Does what is over leave in its time, and nothing else?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from relay.store.client import Call
from relay.store.hints import Hint
from relay.store.retention import JOB
from tests.fakes.partner import Answer
from tests.pipeline.caller import Member
from tests.pipeline.conftest import Store
from tests.pipeline.events import BEGINS_AT, life, step
from tests.pipeline.inside import Inside, inside
from tests.pipeline.test_accounts import lap, states

DAY = 86_400
_KINDS = ("BODIES", "FEED", "DELIVERED", "CANCELED", "EXHAUSTED", "TRANSFERS")
SECONDS = {f"RELAY_RETENTION__{kind}__AGE": "1s" for kind in _KINDS}
SLOW = {
    "RELAY_RETENTION__EVENTS_PER_SECOND": "2",
    "RELAY_RETENTION__BODIES__AGE": "1d",
    "RELAY_RETENTION__FEED__AGE": "1d",
}


async def trim(world: Inside, days: float = 0) -> None:
    """Time passes, and retention has a few seconds."""
    world.pass_time(days * DAY)
    for _ in range(4):
        world.pass_time(2)
        await world.engine.sweep()
        await world.engine.idle()


async def keys(world: Inside, *patterns: str) -> list[str]:
    """What is in the database under these patterns."""
    found: list[str] = []
    for part in await world.services.store.client.parts():
        for pattern in patterns:
            found += [raw.decode() async for raw in part.plain.scan_iter(match=pattern)]
    return sorted(found)


async def two_partners(world: Inside) -> None:
    await world.api.register("contoso", world.hooks)
    await world.api.register("fabrikam", world.hooks)


async def kept_back(world: Inside) -> Member:
    """A transfer that is over, but for an endpoint that said it is gone; whose endpoint that is."""
    await world.api.register("contoso", world.hooks)
    member = await world.api.register("fabrikam", world.hooks, path="/gone")
    world.hooks.always(Answer(410), path="/gone")
    for event in life("tr-1"):
        await world.api.post(event)
    await world.sweep()
    return member


async def let_go(world: Inside, member: Member) -> None:
    """The endpoint is there again, and is told."""
    world.hooks.always(Answer(200), path="/gone")
    await world.api.ask("POST", f"{member.at}/enable", {})
    await world.sweep()


async def die_planning(world: Inside) -> None:
    """A worker takes what is to be planned, for a minute, and dies; five seconds later."""
    now = world.services.clock()
    claims = await world.services.store.hints.take(Hint.PLAN, now_ms=now, until=now + 60_000, most=9)
    assert [claim.member for claim in claims] == ["tr-1"]
    world.pass_time(5)


async def test_bodies_go_first_then_records_then_the_transfer_and_nothing_is_left(world: Inside) -> None:
    await two_partners(world)
    empty = await keys(world, "relay:{t:*", "relay:{e:*", "relay:{r:*")
    for event in life("tr-1"):
        await world.api.post(event)
    refused = step("tr-1", "canceled", 9)
    await world.api.ask("POST", "/v1/events", refused, expect=409)
    await world.sweep()
    first = (await world.api.all("/v1/transfers/tr-1/deliveries?channel=webhook"))[0]["id"]
    feed = await world.api.ask("GET", "/v1/partners/contoso/events?limit=1")

    await trim(world, 29)
    assert (await world.api.ask("GET", f"/v1/deliveries/{first}"))["kept"]
    await trim(world, 2)
    shown = await world.api.ask("GET", f"/v1/deliveries/{first}")
    assert not shown["kept"] and shown["attempts"][0]["request"]["body"] is None
    assert shown["attempts"][0]["request"]["headers"]["webhook-id"]
    told = await world.api.ask("POST", f"/v1/deliveries/{first}/resend", {}, expect=410)
    assert "no longer kept" in told["detail"]
    assert await world.api.all("/v1/partners/contoso/events") == []
    assert "Start again" in (await world.api.ask("GET", f"/v1/partners/contoso/events?after={feed['next']}", expect=410))["detail"]
    assert (await lap(world))["unaccounted"] == 0

    await trim(world, 60)
    await world.api.ask("GET", f"/v1/deliveries/{first}", expect=404)
    assert await world.api.all("/v1/transfers/tr-1/deliveries") == []
    kept = await world.api.ask("GET", "/v1/transfers/tr-1")
    assert len(kept["timeline"]) == 3 and kept["status"] == "completed" and kept["refusals"]
    books = await lap(world)
    assert states(books)["gone"] == 3 and books["unaccounted"] == 0 and "delivered" not in states(books)

    await trim(world, 300)
    assert (await world.api.ask("GET", "/v1/transfers/tr-1"))["refusals"] == []
    await trim(world, 40)
    await world.api.ask("GET", "/v1/transfers/tr-1", expect=404)
    for path in ("/v1/transfers", "/v1/deliveries"):
        assert await world.api.all(path) == []
    assert (await lap(world))["last"]["transfers"] == 0
    left = await keys(world, "relay:{t:*", "relay:{e:*", "relay:{r:*")
    assert [key for key in left if key not in empty and ":q" not in key and not key.endswith(":rpl")] == []
    client = world.services.store.client
    for listed in ("events", "transfers"):
        assert await client.ask("ZCARD", client.key("all", listed)) == 0
    assert await client.ask("ZCARD", client.key("p:contoso", "transfers")) == 0
    _, text = await world.api.raw("GET", "/metrics")
    counted = {kind: f'relay_retention_total{{kind="{kind}"}}' in text for kind in ("bodies", "feed", "events", "lines")}
    assert counted == {"bodies": True, "feed": True, "events": True, "lines": False}
    assert 'relay_retention_total{kind="transfers"} 1' in text and "relay_retention_behind_seconds 0" in text


async def test_an_id_is_known_while_its_time_lasts_and_new_after_it(world: Inside) -> None:
    await two_partners(world)
    settings = world.services.config.retention
    assert settings.transfers.age_ms == settings.event_ids.age_ms
    for event in life("tr-1"):
        await world.api.post(event)
        world.pass_time(20 * DAY)
    await world.sweep()
    await trim(world, 390)
    await world.api.ask("GET", "/v1/transfers/tr-1", expect=404)
    before = len(world.hooks.requests)
    # The last event is younger than its id's time; its transfer left with it, so that it is still known.
    await world.api.ask("POST", "/v1/events", life("tr-1")[0], expect=202)
    await world.sweep()
    assert len(world.hooks.requests) == before + 2


async def test_what_is_pending_stays_with_all_it_needs_and_goes_when_it_has_ended(world: Inside) -> None:
    member = await kept_back(world)
    await trim(world, 500)
    assert (await world.api.ask("GET", "/v1/transfers/tr-1"))["status"] == "completed"
    waiting = await world.api.all(f"{member.at}/deliveries?status=pending")
    assert len(waiting) == 3 and all(one["kept"] for one in waiting)
    assert (await lap(world))["unaccounted"] == 0
    await let_go(world, member)
    assert {one["status"] for one in await world.api.all(f"{member.at}/deliveries")} == {"delivered"}
    await trim(world, 1)
    await trim(world, 1)
    await world.api.ask("GET", "/v1/transfers/tr-1", expect=404)


async def test_what_was_kept_back_a_little_while_leaves_a_little_while_after_it_has_ended(store: Store) -> None:
    async with inside(store.url, **SECONDS, **store.settings) as world:
        member = await kept_back(world)
        await trim(world)
        assert (await world.api.ask("GET", "/v1/transfers/tr-1"))["status"] == "completed"
        await let_go(world, member)
        await trim(world)
        await trim(world)
        await world.api.ask("GET", "/v1/transfers/tr-1", expect=404)


async def test_what_was_planned_later_than_it_was_to_be_kept_leaves_all_the_same(store: Store) -> None:
    bodies_soon = {"RELAY_RETENTION__BODIES__AGE": "1s", "RELAY_RETENTION__FEED__AGE": "1s"}
    nobody_mends = {"RELAY_ACCOUNTS__TRANSFERS_PER_SECOND": "0"}
    async with inside(store.url, **bodies_soon, **nobody_mends, **store.settings) as world:
        await two_partners(world)
        for event in life("tr-1"):
            await world.api.post(event)
        await die_planning(world)
        for event in life("tr-2"):
            await world.api.post(event)
        await world.sweep()
        await trim(world)
        assert [one["kept"] for one in await world.api.all("/v1/deliveries?channel=webhook")] == [False] * 6
        world.pass_time(60)
        await world.sweep()
        await trim(world)
        world.pass_time(120)  # what was under way when it was looked at waits as long again
        await trim(world)
        assert [one["kept"] for one in await world.api.all("/v1/deliveries?channel=webhook")] == [False] * 12


async def test_what_is_planned_while_its_call_waits_for_the_database_leaves_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SECONDS | {"RELAY_ACCOUNTS__TRANSFERS_PER_SECOND": "0"} | store.settings
    async with inside(store.url, **settings) as world, inside(store.url, **settings) as beside:
        await two_partners(world)
        client = world.services.store.client
        waiting: list[str] = []

        def waits(whole: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def asked(calls: Sequence[Call], **more: Any) -> Any:
                if not waiting and any(call.ops[0][:2] == ("all", "events") for call in calls):
                    waiting.append("tr-1")
                    for event in life("tr-2"):
                        await beside.api.post(event)
                    await beside.sweep()
                    await trim(beside)
                    await beside.api.ask("GET", "/v1/transfers/tr-2", expect=404)
                return await whole(calls, **more)

            return asked

        monkeypatch.setattr(client, "chain", waits(client.chain))
        monkeypatch.setattr(client, "batch", waits(client.batch))
        for event in life("tr-1"):
            await world.api.post(event)
        beside.pass_time(0.4)
        await world.sweep()
        assert waiting
        world.pass_time(9)
        for _ in range(3):
            await trim(world)
        await world.api.ask("GET", "/v1/transfers/tr-1", expect=404)


@pytest.mark.parametrize(
    ("field", "text"), [("x", b'{"id":1}'), ("x", b"\xff"), ("x", b"[1"), ("i", b"{")], ids=["no event", "no text", "no JSON", "no step"]
)
@pytest.mark.parametrize("archive", [False, True], ids=["lost", "archived"])
async def test_what_cannot_be_read_leaves_however_late_it_was_settled(
    store: Store, tmp_path: Path, field: str, text: bytes, archive: bool
) -> None:
    nobody_mends = {"RELAY_ACCOUNTS__TRANSFERS_PER_SECOND": "0"} | ({"RELAY_RETENTION__ARCHIVE": str(tmp_path)} if archive else {})
    async with inside(store.url, **SECONDS, **nobody_mends, **store.settings) as world:
        await two_partners(world)
        for event in life("tr-1", "created", "canceled"):
            await world.api.post(event)
        client = world.services.store.client
        for number in (1, 2):
            await client.ask("HSET", client.key("t:tr-1"), f"{field}:{number}", text)
        await die_planning(world)
        for event in life("tr-2"):
            await world.api.post(event)
        await world.sweep()
        await trim(world)
        await world.api.ask("GET", "/v1/transfers/tr-2", expect=404)
        world.pass_time(60)
        await world.sweep()
        await trim(world)
        world.pass_time(120)
        await trim(world)
        await world.api.ask("GET", "/v1/transfers/tr-1", expect=404)


async def test_a_transfer_that_is_damaged_keeps_no_other_from_leaving(world: Inside) -> None:
    await two_partners(world)
    client = world.services.store.client
    for name in ("tr-1", "tr-2"):
        for event in life(name):
            await world.api.post(event)
        await world.sweep()
    assert await client.ask("HDEL", client.key("t:tr-1"), "i:1") == 1
    await trim(world, 500)
    await world.api.ask("GET", "/v1/transfers/tr-2", expect=404)


async def test_a_quiet_time_before_what_waits_is_no_delay(store: Store) -> None:
    async with inside(store.url, **SLOW, **store.settings) as world:
        await two_partners(world)
        await world.api.post(step("tr-0", "created", 1))
        await world.sweep()
        await trim(world, 100)
        for number in range(1, 5):
            for event in life(f"tr-{number}"):
                await world.api.post(event)
        await world.sweep()
        await trim(world, 1.1)
        behind_s = (await world.services.store.counters.read())["relay_retention_behind_seconds"]
        assert 0 < behind_s < 0.2 * DAY


async def test_one_event_a_second_is_enough_for_what_waits_and_what_comes(store: Store) -> None:
    async with inside(store.url, RELAY_RETENTION__EVENTS_PER_SECOND="1", **store.settings) as world:
        await two_partners(world)
        for event in life("tr-1"):
            await world.api.post(event)
        await world.sweep()
        world.pass_time(31 * DAY)
        for _ in range(8):
            now = world.services.clock()
            await world.services.store.retention.look_again({f"waits-{number}": now for number in range(3)})
            world.pass_time(2)
            await world.engine.sweep()
            await world.engine.idle()
        assert not any(one["kept"] for one in await world.api.all("/v1/transfers/tr-1/deliveries?channel=webhook"))


async def test_a_place_that_has_moved_is_not_gone_on_from(world: Inside) -> None:
    retention, client = world.services.store.retention, world.services.store.client
    listed = client.key("all", "events")
    await client.ask("ZADD", listed, 1, "a|1", 2, "b|1")
    first, cursor = await retention.passed("", 9, 1)
    assert first == [("a", 1)]
    await client.ask("ZADD", listed, 3, "a|1")
    assert (await retention.passed(cursor, 9, 9))[0] == [("b", 1), ("a", 1)]


async def test_what_is_planned_a_moment_late_is_not_passed_by_where_few_are_kept(store: Store) -> None:
    few = {"RELAY_RETENTION__BODIES__MOST": "1", "RELAY_RETENTION__FEED__MOST": "1"}
    async with inside(store.url, **few, **store.settings) as world:
        await two_partners(world)
        hints, now = world.services.store.hints, world.services.clock()
        await world.api.post(step("tr-1", "created", 1))
        (claim,) = await hints.take(Hint.PLAN, now_ms=now + 1000, until=now + 60_000, most=9)
        for number in (2, 3):
            await world.api.post(step(f"tr-{number}", "created", 1))
        await world.sweep()
        await hints.give_back(Hint.PLAN, claim, now)
        await world.sweep()
        await trim(world, 0.01)
        found = await world.api.all("/v1/deliveries?channel=webhook")
        assert {one["transfer"] for one in found if one["kept"]} == {"tr-3"}


async def test_what_is_to_be_looked_at_again_has_half_a_second_and_says_how_far_behind_it_is(world: Inside) -> None:
    client, store = world.services.store.client, world.services.store
    late_ms = world.services.clock() - 60_000
    await store.retention.look_again({f"tr-{number}": late_ms for number in range(300)})
    behind = []
    for left in (50, 0):
        await world.engine.sweep()
        await world.engine.idle()
        assert await client.ask("ZCARD", client.key(JOB, "again")) == left
        behind.append((await store.counters.read()).get("relay_retention_behind_seconds", 0))
        world.pass_time(1)
    assert behind[0] >= 60
    assert behind[1] == 0


async def test_what_was_to_be_looked_at_again_and_is_forgotten_is_found_by_a_lap(world: Inside) -> None:
    member = await kept_back(world)
    await trim(world, 500)
    client = world.services.store.client
    assert await client.ask("DEL", client.key(JOB, "again")) == 1
    await let_go(world, member)
    await trim(world, 8)
    await world.api.ask("GET", "/v1/transfers/tr-1", expect=404)


async def test_a_lap_holds_up_nothing_whose_time_comes(store: Store) -> None:
    async with inside(store.url, **SLOW, **store.settings) as world:
        await world.to(BEGINS_AT)
        await two_partners(world)
        for number in range(8):
            for event in life(f"tr-{number}"):
                await world.api.post(event)
        await world.sweep()
        await trim(world, 2)
        for _ in range(8):
            await trim(world)
        assert not any(one["kept"] for one in await world.api.all("/v1/deliveries?channel=webhook"))
        world.pass_time(5 * DAY)
        await world.api.post(step("tr-new", "created", 1))
        await world.sweep()
        await trim(world, 2)
        assert [one["kept"] for one in await world.api.all("/v1/transfers/tr-new/deliveries?channel=webhook")] == [False, False]


@pytest.mark.parametrize(
    ("setting", "gone", "stays"),
    [("BODIES__MOST", False, "feed"), ("FEED__MOST", False, "bodies"), ("DELIVERED__MOST", True, "exhausted")],
)
async def test_what_is_over_the_number_leaves_before_its_time(store: Store, setting: str, gone: bool, stays: str) -> None:
    settings = {f"RELAY_RETENTION__{setting}": "4", **store.settings}
    if stays == "feed":
        settings["RELAY_RETENTION__FEED__MOST"] = "4"
    if stays == "bodies":
        settings["RELAY_RETENTION__BODIES__MOST"] = "2"
    if stays == "exhausted":
        settings |= {"RELAY_RETENTION__FEED__MOST": "2"}
    async with inside(store.url, **settings) as world:
        await two_partners(world)
        for number in range(3):
            for event in life(f"tr-{number}"):
                await world.api.post(event)
                world.pass_time(1)
            await world.sweep()
        await trim(world, 0.01)
        found = await world.api.all("/v1/deliveries?channel=webhook")
        kept = [one["event_id"] for one in found if one["kept"]]
        assert sorted(set(kept)) == ["tr-1-3", "tr-2-1", "tr-2-2", "tr-2-3"]
        assert len(found) == (8 if gone else 18)
        assert (await lap(world))["unaccounted"] == 0


async def test_a_setting_that_was_shortened_holds_for_what_is_there(store: Store) -> None:
    async with inside(store.url, **store.settings) as world:
        await two_partners(world)
        for event in life("tr-1"):
            await world.api.post(event)
        await world.sweep()
        await trim(world, 40)
    async with inside(store.url, **SECONDS, **store.settings) as world:
        await trim(world, 41)
        await world.api.ask("GET", "/v1/transfers/tr-1", expect=404)


async def test_nothing_leaves_where_the_operator_keeps_everything(store: Store) -> None:
    async with inside(store.url, RELAY_RETENTION__EVENTS_PER_SECOND="0", **store.settings) as world:
        await two_partners(world)
        await world.api.post(life("tr-1")[0])
        await world.sweep()
        await trim(world, 5000)
        assert all(one["kept"] for one in await world.api.all("/v1/transfers/tr-1/deliveries"))


async def exhausted(world: Inside) -> Any:
    """A delivery that nobody took, of a transfer that has ended, and the endpoint's path."""
    await world.api.register("contoso", world.hooks)
    member = await world.api.register("fabrikam", world.hooks, path="/never")
    world.hooks.always(Answer(500), path="/never")
    for event in life("tr-1", "created", "canceled"):
        await world.api.post(event)
    await world.sweep()
    for _ in range(30):
        world.pass_time(0.3 * DAY)
        await world.api.ask("POST", f"{member.at}/enable", {})
        await world.sweep()
    return (await world.api.all("/v1/deliveries?status=exhausted"))[-1], member


async def test_what_nobody_took_is_kept_longer_and_can_be_sent_again_while_it_is(world: Inside) -> None:
    one, member = await exhausted(world)
    await trim(world, 200)
    delivered = [d for d in await world.api.all("/v1/transfers/tr-1/deliveries?channel=webhook") if d["partner"] == "contoso"]
    assert delivered and not any(d["kept"] for d in delivered)
    shown = await world.api.ask("GET", f"/v1/deliveries/{one['id']}")
    assert shown["kept"] and shown["attempt_count"] == 10 and shown["attempts"][0]["request"]["body"]
    world.hooks.always(Answer(200), path="/never")
    await world.api.ask("POST", f"{member.at}/enable", {})
    await world.api.ask("POST", f"/v1/deliveries/{one['id']}/resend", {}, expect=202)
    await world.sweep()
    assert (await world.api.ask("GET", f"/v1/deliveries/{one['id']}"))["status"] == "delivered"
    await trim(world, 170)
    await world.api.ask("GET", f"/v1/deliveries/{one['id']}", expect=404)


async def test_a_replay_says_what_is_no_longer_kept(world: Inside) -> None:
    await world.api.register("contoso", world.hooks)
    member = await world.api.register("fabrikam", world.hooks)
    for event in life("tr-1"):
        await world.api.post(event)
    await world.sweep()
    await trim(world, 31)
    await world.api.post(step("tr-2", "created", 1))
    await world.sweep()
    before = len(world.hooks.requests)
    began = await world.api.ask("POST", f"{member.at}/replay", {"since": "2020-01-01T00:00:00Z"}, expect=202)
    await world.sweep()
    done = await world.api.ask("GET", f"{member.at}/replays/{began['id']}")
    assert (done["count"], done["processed"], done["reopened"], done["gone"], done["done"]) == (4, 4, 1, 3, True)
    assert len(world.hooks.requests) == before + 1


async def test_mails_of_no_event_leave_too_with_what_they_said(world: Inside) -> None:
    await world.api.register("contoso", world.hooks)
    await world.api.register("fabrikam", world.hooks, path="/gone")
    world.hooks.always(Answer(410), path="/gone")
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    client = world.services.store.client
    assert await client.ask("ZCARD", client.key("all", "notices")) == 1
    assert await keys(world, "relay:{t:notice*")
    await trim(world, 91)
    assert await client.ask("ZCARD", client.key("all", "notices")) == 0
    assert await keys(world, "relay:{t:notice*") == []
    assert (await lap(world))["unaccounted"] == 0


async def test_a_list_that_is_read_while_it_is_trimmed_comes_to_its_end(world: Inside) -> None:
    await world.api.register("contoso", world.hooks)
    member = await world.api.register("fabrikam", world.hooks)
    for number in range(4):
        for event in life(f"tr-{number}"):
            await world.api.post(event)
        await world.sweep()
        world.pass_time(40 * DAY)
    paths = (f"{member.at}/deliveries", "/v1/deliveries", "/v1/transfers", "/v1/deliveries?channel=email")
    first = {path: await world.api.ask("GET", f"{path}{'&' if '?' in path else '?'}limit=2") for path in paths}
    await trim(world, 800)
    for path, page in first.items():
        rest = await world.api.ask("GET", f"{path}{'&' if '?' in path else '?'}limit=500&after={page['next']}")
        assert (rest["data"], rest["next"]) == ([], None)
