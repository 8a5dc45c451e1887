"""Does what is over leave in its time, and nothing else?"""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.partner import Answer
from tests.pipeline.conftest import Store
from tests.pipeline.events import life, step
from tests.pipeline.inside import Inside, inside
from tests.pipeline.test_accounts import lap, states

DAY = 86_400


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
    await world.api.register("contoso", world.hooks)
    member = await world.api.register("fabrikam", world.hooks, path="/gone")
    world.hooks.always(Answer(410), path="/gone")
    for event in life("tr-1"):
        await world.api.post(event)
    await world.sweep()
    await trim(world, 500)
    assert (await world.api.ask("GET", "/v1/transfers/tr-1"))["status"] == "completed"
    waiting = await world.api.all(f"{member.at}/deliveries?status=pending")
    assert len(waiting) == 3 and all(one["kept"] for one in waiting)
    assert (await lap(world))["unaccounted"] == 0
    world.hooks.always(Answer(200), path="/gone")
    await world.api.ask("POST", f"{member.at}/enable", {})
    await world.sweep()
    assert {one["status"] for one in await world.api.all(f"{member.at}/deliveries")} == {"delivered"}
    await trim(world, 1)
    await trim(world, 1)
    await world.api.ask("GET", "/v1/transfers/tr-1", expect=404)


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
        await trim(world)
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
    kinds = ("BODIES", "FEED", "DELIVERED", "CANCELED", "EXHAUSTED", "TRANSFERS")
    shorter = {f"RELAY_RETENTION__{kind}__AGE": "1s" for kind in kinds}
    async with inside(store.url, **shorter, **store.settings) as world:
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
