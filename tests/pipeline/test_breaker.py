"""What does an endpoint that is down cost, and what happens when it is back?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from relay.api.portal import COOKIE
from relay.breaker import ramping
from relay.times import to_ns
from tests.fakes.partner import Answer, Received, ids
from tests.pipeline.caller import Member
from tests.pipeline.events import life, step
from tests.pipeline.inside import Inside, inside

TO_OPEN = 5
WINDOW = 8
PROBE_S = 60
PROBE_MAX_S = 7_200
DAY_S = 86_400


@pytest.fixture
async def world(valkey_url: str) -> AsyncIterator[Inside]:
    async with inside(
        valkey_url,
        RELAY_BREAKER__FAILURES_TO_OPEN=str(TO_OPEN),
        RELAY_BREAKER__PROBE_SECONDS=str(PROBE_S),
        RELAY_BREAKER__PROBE_MAX_SECONDS=str(PROBE_MAX_S),
        RELAY_WORKER__ENDPOINT_WINDOW=str(WINDOW),
    ) as opened:
        yield opened


def at(requests: list[Received], member: Member) -> list[Received]:
    return [one for one in requests if one.path == member.path]


async def breaker(member: Member) -> Any:
    return (await member.caller.ask("GET", member.at))["breaker"]


async def owed(member: Member) -> list[Any]:
    return await member.caller.all(f"{member.at}/deliveries")


async def outage(world: Inside, member: Member, transfers: int, answer: Answer | None = None) -> None:
    """The endpoint fails and its breaker opens, while `transfers` whole lives come in; oldest is tr-0."""
    world.hooks.always(answer or Answer(500), member.path)
    events = [event for n in range(transfers) for event in life(f"tr-{n}")]
    for event in events:
        await world.api.post(event)
    await world.sweep()
    assert (await breaker(member))["state"] == "open"


async def to_probe(world: Inside, member: Member) -> list[str]:
    """The time of the next probe has come; what was sent then."""
    before = len(at(world.hooks.requests, member))
    await world.to((await breaker(member))["next_probe_at"])
    return ids(at(world.hooks.requests, member)[before:])


async def test_while_it_is_open_everything_is_held_and_nothing_more_is_sent(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    healthy = await world.api.register("fabrikam", world.hooks)
    await outage(world, member, 20)
    made = len(at(world.hooks.requests, member))
    assert TO_OPEN <= made <= TO_OPEN + WINDOW, "what was at hand when it opened went back"
    found = await owed(member)
    assert {(d["status"], d["held"], d["next_attempt_at"]) for d in found} == {("pending", True, None)}
    assert sum(d["attempt_count"] for d in found) == made, "what is held spends no attempts"
    await world.api.post(step("tr-99", "created", 1))
    await world.sweep()
    assert len(at(world.hooks.requests, member)) == made
    assert len(at(world.hooks.requests, healthy)) == 61, "nobody else notices"


async def test_an_outage_costs_one_request_a_probe_whatever_waits(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    await outage(world, member, 60)
    waits, now = [], world.clock()
    for _ in range(12):
        assert len(await to_probe(world, member)) == 1
        waits.append((world.clock() - now) / 1000)
        now = world.clock()
    for before, after in pairwise(waits[:7]):
        assert after > 1.3 * before, "each waits about twice as long as the one before"
    assert max(waits) <= 1.2 * PROBE_MAX_S + 60


async def test_the_oldest_is_the_probe_and_every_third_time_another(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    await outage(world, member, 6)
    probes = [await to_probe(world, member) for _ in range(6)]
    assert probes == [["tr-0-1"], ["tr-0-1"], ["tr-1-1"], ["tr-0-1"], ["tr-0-1"], ["tr-2-1"]]


async def test_on_recovery_what_waited_goes_in_order_and_faster_and_faster(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    await outage(world, member, 30)
    world.hooks.always(Answer(delay_s=0.02), member.path)
    before = len(at(world.hooks.requests, member))
    await to_probe(world, member)
    released = at(world.hooks.requests, member)[before:]
    assert len(released) == 90
    for n in range(30):
        mine = [i for i in ids(released) if i.startswith(f"tr-{n}-")]
        assert mine == [f"tr-{n}-1", f"tr-{n}-2", f"tr-{n}-3"]
    assert released[0].message_id == "tr-0-1"
    together = [one.together for one in released]
    assert together[0] == 1
    assert max(together[:3]) <= 2
    assert max(together[:7]) <= 4
    assert {d["status"] for d in await owed(member)} == {"delivered"}
    assert (await breaker(member)) == {"state": "closed", "since": None, "next_probe_at": None, "window": None}


async def test_who_answers_soon_has_its_whole_window_and_who_hangs_a_few_requests(valkey_url: str) -> None:
    settings = {
        "RELAY_BREAKER__FAILURES_TO_OPEN": "0",
        "RELAY_WORKER__ENDPOINT_WINDOW": "8",
        "RELAY_WORKER__REQUEST_TIMEOUT_SECONDS": "3",
        "RELAY_RETRY__WAITS_SECONDS": "[0, 3600]",
    }
    async with inside(valkey_url, **settings) as world:
        quick = await world.api.register("contoso", world.hooks, admin_agents=[])
        hung = await world.api.register("fabrikam", world.hooks, admin_agents=[])
        world.hooks.always(Answer(delay_s=0.05), quick.path)
        world.hooks.always(Answer(hang=True), hung.path)
        for n in range(24):
            await world.api.post(step(f"tr-{n}", "created", 1, target="fabrikam" if n < 6 else "elsewhere"))
        await world.sweep()
        assert max(one.together for one in at(world.hooks.requests, quick)) == 8
        silent = at(world.hooks.requests, hung)
        assert len([one for one in silent if one.at_ms - silent[0].at_ms < 2400]) <= 4
        assert len({one.message_id for one in silent}) == 6


async def test_the_backlog_keeps_to_the_rate_limit(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks, rate_limit=6)
    world.hooks.always(Answer(500), member.path)
    for n in range(12):
        await world.api.post(step(f"tr-{n}", "created", 1))
    for _ in range(60):
        await world.sweep()
        if (await breaker(member))["state"] == "open":
            break
        world.pass_time(10)
    world.hooks.always(Answer(), member.path)
    assert len(await to_probe(world, member)) == 1
    for _ in range(3):
        before = len(at(world.hooks.requests, member))
        world.pass_time(10.1)
        await world.sweep()
        assert len(at(world.hooks.requests, member)) - before == 1


async def test_a_message_it_can_never_take_does_not_keep_it_shut(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    await outage(world, member, 6)
    world.hooks.only(Answer(400), member.path, ids={"tr-0-1"})
    world.hooks.always(Answer(), member.path)
    for _ in range(3):
        await to_probe(world, member)
    left = {d["event_id"] for d in await owed(member) if d["status"] == "pending"}
    assert left == {"tr-0-1", "tr-0-2", "tr-0-3"}, "all but its own transfer has arrived"
    assert (await breaker(member))["state"] != "open"


async def test_a_single_delivery_is_exhausted_on_its_schedule_behind_a_breaker_too(world: Inside) -> None:
    """A probe before the delivery's own time is none of its ten attempts; one after it is."""
    member = await world.api.register("contoso", world.hooks)
    await outage(world, member, TO_OPEN)
    oldest = (await world.delivery("tr-0-1"))["id"]
    for _ in range(200):
        shown = await member.caller.ask("GET", f"/v1/deliveries/{oldest}")
        if shown["status"] != "pending":
            break
        await to_probe(world, member)
    assert (shown["status"], shown["reason"]) == ("exhausted", "server_error")
    times = [to_ns(a["at"]) / 1e9 for a in shown["attempts"]]
    assert times[-1] - times[0] >= 0.8 * sum((5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400))
    assert len(times) > 10
    others = [d for d in await owed(member) if d["id"] != oldest]
    assert {(d["status"], d["held"]) for d in others} == {("pending", True)}


@pytest.mark.parametrize("how", ["enable", "test", "url"])
async def test_who_mends_the_endpoint_need_not_wait_for_a_probe(world: Inside, how: str) -> None:
    member = await world.api.register("contoso", world.hooks)
    await outage(world, member, 10)
    for _ in range(5):
        await to_probe(world, member)
    world.hooks.always(Answer(), member.path)
    match how:
        case "enable":
            shown = await member.caller.ask("POST", f"{member.at}/enable")
            assert (shown["breaker"]["state"], shown["breaker"]["window"]) == ("ramping", 1)
        case "test":
            await member.caller.ask("POST", f"{member.at}/test")
        case _:
            await member.caller.ask("PATCH", member.at, {"url": world.hooks.url(member.path + "?new")})
    await world.sweep()
    assert {d["status"] for d in await owed(member)} == {"delivered"}


async def test_a_partner_is_told_before_at_and_after_disabling_once_each(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    await outage(world, member, 20)
    seen: list[str] = []
    for _ in range(5 * 24 + 6):
        world.pass_time(3_600)
        await world.sweep()
        seen = [r["type"] for r in await member.caller.all("/v1/partners/contoso/activity") if r["endpoint"]]
        if "endpoint.disabled" in seen:
            break
    assert seen == ["endpoint.disabled", "endpoint.warned"]
    world.hooks.always(Answer(), member.path)
    world.pass_time(DAY_S)
    await world.sweep()
    assert {d["held"] for d in await owed(member) if d["status"] == "pending"} == {True}
    await member.caller.ask("POST", f"{member.at}/enable")
    await world.sweep()
    assert {d["status"] for d in await owed(member)} <= {"delivered", "exhausted"}
    log = [r for r in await member.caller.all("/v1/partners/contoso/activity") if r["endpoint"]]
    assert [r["type"] for r in log] == ["endpoint.recovered", "endpoint.disabled", "endpoint.warned"]
    assert subjects(world, member) == [
        "[Failing] Deliveries to 127.0.0.1",
        "[Endpoint disabled] Deliveries to 127.0.0.1",
        "[Working again] Deliveries to 127.0.0.1",
    ]


async def test_who_was_warned_is_told_when_it_works_again(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    await outage(world, member, 6)
    for _ in range(26):
        world.pass_time(3_600)
        await world.sweep()
    world.hooks.always(Answer(), member.path)
    for _ in range(3):
        world.pass_time(3 * 3_600)
        await world.sweep()
    await world.api.post(step("tr-50", "created", 1))
    await world.sweep()
    assert subjects(world, member) == [
        "[Failing] Deliveries to 127.0.0.1", "[Working again] Deliveries to 127.0.0.1",
    ]  # fmt: skip
    assert (await member.caller.ask("GET", member.at))["failing_since"] is None


def subjects(world: Inside, member: Member) -> list[str]:
    """The subjects of the mails about an endpoint."""
    found = []
    for mail in world.mail.messages:
        part = mail.parsed.get_body(("plain",))
        assert part is not None
        if member.endpoint in part.get_content():
            found.append(mail.parsed["subject"])
    return found


async def test_a_breaker_outlives_its_worker(world: Inside, valkey_url: str) -> None:
    """Its state is with the queue: a worker that starts sends no more than the one before it."""
    member = await world.api.register("contoso", world.hooks)
    await outage(world, member, 20)
    made = len(at(world.hooks.requests, member))
    from relay.engine.engine import Engine

    other = Engine(world.services)
    for _ in range(3):
        await other.sweep()
        await other.idle()
    assert len(at(world.hooks.requests, member)) == made
    await other.stop(5)


async def test_the_portal_says_that_an_endpoint_is_held_back_and_that_it_recovers(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    session = await world.services.store.registry.sessions.new_session("contoso", seconds=3600)

    async def page() -> str:
        headers = {"Cookie": f"{COOKIE}={session}"}
        async with world.api.http.get(f"{world.api.base}/portal", headers=headers) as answer:
            return await answer.text()

    assert "held back" not in await page()
    await outage(world, member, 8)
    shown = await page()
    probe = (await breaker(member))["next_probe_at"][:19].replace("T", " ")
    assert "held back" in shown and probe in shown
    await world.services.store.queues.hold(member.endpoint, held=False, now_ms=world.clock(), breaker=ramping(world.clock()))
    assert "recovering: 1 at once" in await page()
