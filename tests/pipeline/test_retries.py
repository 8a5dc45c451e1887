"""What happens when a partner's endpoint fails, and when it works again?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from relay.embedded import EmbeddedValkey
from relay.times import to_ns
from tests.fakes.partner import Answer, Received, ids, verify_with_libraries
from tests.pipeline.caller import Member
from tests.pipeline.conftest import Store
from tests.pipeline.events import life, step
from tests.pipeline.inside import Inside, inside
from tests.pipeline.rig import Rig

# Contract, section 4: the waits before attempts 1 to 10, each ± 20 %.
WAITS_S = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
DAY_S = 86_400


def seconds(time: str) -> float:
    return to_ns(time) / 1e9


def at(requests: list[Received], member: Member) -> list[Received]:
    return [one for one in requests if one.path == member.path]


async def test_two_failures_and_a_success_are_three_attempts_of_one_message(
    valkey: EmbeddedValkey, valkey_url: str, tmp_path: Any
) -> None:
    waits = json.dumps([0, 1.3, 1.3])
    async with Rig(valkey, tmp_path, RELAY_RETRY__WAITS_SECONDS=waits) as rig:
        member = await rig.api.register("contoso", rig.hooks)
        rig.hooks.answers(Answer(500), Answer(500))
        await rig.api.post(step("tr-1", "created", 1))
        (delivery,) = [d for d in await rig.api.settled("tr-1") if d["channel"] == "webhook"]
        assert (delivery["status"], delivery["attempt_count"]) == ("delivered", 3)
        assert len(rig.hooks.requests) == 3
        assert {r.message_id for r in rig.hooks.requests} == {"tr-1-1"}
        assert len({r.body for r in rig.hooks.requests}) == 1
        assert len({r.headers["webhook-timestamp"] for r in rig.hooks.requests}) == 3
        assert len({r.headers["webhook-signature"] for r in rig.hooks.requests}) == 3
        seen = await member.caller.ask("GET", f"/v1/deliveries/{delivery['id']}")
        assert [(a["number"], a["status"], a["outcome"]) for a in seen["attempts"]] == [
            (1, 500, "server_error"),
            (2, 500, "server_error"),
            (3, 200, "accepted"),
        ]
        for attempt, request in zip(seen["attempts"], rig.hooks.requests, strict=True):
            assert attempt["request"]["body"].encode() == request.body
            for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
                assert attempt["request"]["headers"][name] == request.headers[name]


async def test_the_whole_schedule_is_kept_and_then_it_is_exhausted(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    world.hooks.always(Answer(500, body=b"no luck"))
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    due = []
    for made in range(1, 10):
        delivery = await world.delivery("tr-1-1")
        assert (delivery["status"], delivery["attempt_count"], len(world.hooks.requests)) == ("pending", made, made)
        due.append(seconds(delivery["next_attempt_at"]))
        world.pass_time(due[-1] - world.clock() / 1000 - (3 if made == 1 else 60))
        await world.sweep()
        # The first wait is so short that a busy machine may sweep for longer; what then came is judged by its time below.
        assert len(world.hooks.requests) == made or (made == 1 and world.clock() / 1000 >= due[-1]), "it came before its time"
        await world.to(delivery["next_attempt_at"])
    delivery = await world.delivery("tr-1-1")
    assert (delivery["status"], delivery["reason"], delivery["attempt_count"]) == ("exhausted", "server_error", 10)
    assert delivery["next_attempt_at"] is None
    times = [seconds(a["at"]) for a in delivery["attempts"]]
    for wait, at_least, (before, after) in zip(WAITS_S[1:], due, pairwise(times), strict=True):
        assert 0.8 * wait <= at_least - before <= 1.2 * wait + 2
        assert at_least <= after <= at_least + 60
    assert delivery["attempts"][9]["answer"]["body"] == "no luck"
    world.pass_time(3 * DAY_S)
    await world.sweep()
    assert len(world.hooks.requests) == 10
    for request in world.hooks.requests:
        verify_with_libraries(member.secret, request, real_time=False)


async def test_a_resend_opens_the_same_delivery_with_all_its_tries(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    first = await world.delivery("tr-1-1")
    world.pass_time(60)
    world.hooks.answers(Answer(500))
    answer = await member.caller.ask("POST", f"/v1/deliveries/{first['id']}/resend", expect=202)
    assert (answer["id"], answer["status"]) == (first["id"], "pending")
    await world.sweep()
    again = await world.delivery("tr-1-1")
    assert (again["status"], again["attempt_count"]) == ("pending", 2)
    await world.to(again["next_attempt_at"])
    done = await world.delivery("tr-1-1")
    assert (done["id"], done["status"], done["attempt_count"]) == (first["id"], "delivered", 3)
    assert ids(world.hooks.requests) == ["tr-1-1"] * 3
    assert len({r.body for r in world.hooks.requests}) == 1
    assert len({r.headers["webhook-timestamp"] for r in world.hooks.requests}) == 3


async def test_a_replay_opens_the_same_deliveries_in_order(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    since = await world.api.ask("GET", "/v1/partners/contoso")
    for transfer in ("tr-1", "tr-2"):
        for event in life(transfer):
            await world.api.post(event)
    await world.sweep()
    before = await member.caller.all(f"{member.at}/deliveries")
    assert len(before) == len(world.hooks.requests) == 6
    world.pass_time(3600)
    asked = {"since": since["created_at"], "event_types": ["transfer.created", "transfer.completed"]}
    made = await member.caller.ask("POST", f"{member.at}/replay", asked, expect=202)
    assert made["count"] == 4
    await world.sweep()
    seen = await member.caller.ask("GET", f"{member.at}/replays/{made['id']}")
    assert (seen["count"], seen["done"]) == (4, True)
    after = await member.caller.all(f"{member.at}/deliveries")
    assert {d["id"] for d in after} == {d["id"] for d in before}
    assert {d["status"] for d in after} == {"delivered"}
    replayed = ids(world.hooks.requests[6:])
    for transfer in ("tr-1", "tr-2"):
        assert [i for i in replayed if i.startswith(transfer)] == [f"{transfer}-1", f"{transfer}-3"]


async def test_gone_disables_and_holds_and_enabling_releases_in_order(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    world.hooks.answers(Answer(410))
    events = life("tr-1")
    await world.api.post(events[0])
    await world.sweep()
    endpoint = await member.caller.ask("GET", member.at)
    assert (endpoint["state"], endpoint["disabled_reason"]) == ("disabled", "gone")
    for event in events[1:]:
        await world.api.post(event)
    await world.api.post(step("tr-2", "created", 1))
    world.pass_time(DAY_S)
    await world.sweep()
    assert len(world.hooks.requests) == 1
    waiting = await member.caller.all(f"{member.at}/deliveries")
    assert {(d["status"], d["held"]) for d in waiting} == {("pending", True)}
    assert len(waiting) == 4
    records = await member.caller.all("/v1/partners/contoso/activity?type=endpoint.disabled")
    assert [r["endpoint"] for r in records] == [member.endpoint]
    assert subjects_to(world, "agent@contoso.example", member.endpoint) == 1
    await member.caller.ask("POST", f"{member.at}/enable")
    await world.sweep()
    released = ids(world.hooks.requests[1:])
    assert [i for i in released if i.startswith("tr-1")] == ["tr-1-1", "tr-1-2", "tr-1-3"]
    assert "tr-2-1" in released
    assert {d["status"] for d in await member.caller.all(f"{member.at}/deliveries")} == {"delivered"}
    assert (await member.caller.ask("GET", member.at))["state"] == "enabled"


def subjects_to(world: Inside, who: str, endpoint: str) -> int:
    """How many mails about an endpoint somebody got."""
    count = 0
    for mail in world.mail.messages:
        part = mail.parsed.get_body(("plain",))
        assert part is not None
        count += mail.to == who and endpoint in part.get_content()
    return count


async def test_days_of_nothing_but_failures_warn_and_then_disable(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    world.hooks.always(Answer(500))
    types: list[list[str]] = []
    for day in range(6):
        await world.api.post(step(f"tr-{day}", "created", 1))
        for _ in range(4):
            await world.sweep()
            log = await member.caller.all("/v1/partners/contoso/activity")
            types.append([r["type"] for r in log if r["endpoint"]])
            world.pass_time(DAY_S / 4)
    endpoint = await member.caller.ask("GET", member.at)
    assert (endpoint["state"], endpoint["disabled_reason"]) == ("disabled", "failing")
    assert types[0] == types[3] == []
    assert types[-1] == ["endpoint.disabled", "endpoint.warned"]
    assert next(n for n, seen in enumerate(types) if "endpoint.warned" in seen) in (4, 5)
    assert next(n for n, seen in enumerate(types) if "endpoint.disabled" in seen) in (20, 21)
    assert subjects_to(world, "agent@contoso.example", member.endpoint) == 2
    made = len(world.hooks.requests)
    world.pass_time(DAY_S)
    await world.sweep()
    assert len(world.hooks.requests) == made
    world.hooks.always(Answer(200))
    waiting = {
        d["event_id"] for d in await member.caller.all(f"{member.at}/deliveries") if d["status"] == "pending"
    }
    await member.caller.ask("POST", f"{member.at}/enable")
    await world.sweep()
    assert set(ids(world.hooks.requests[made:])) == waiting


async def test_a_success_in_between_is_no_incident(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    for day in range(8):
        world.hooks.always(Answer(200 if day == 4 else 500))
        await world.api.post(step(f"tr-{day}", "created", 1))
        await world.sweep()
        world.pass_time(DAY_S)
    assert (await member.caller.ask("GET", member.at))["state"] == "enabled"


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_holds_the_whole_endpoint(world: Inside, status: int) -> None:
    member = await world.api.register("contoso", world.hooks)
    other = await world.api.register("fabrikam", world.hooks)
    world.hooks.answers(Answer(status, headers={"Retry-After": "600"}), path=member.path)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    await world.api.post(step("tr-2", "created", 1))
    world.pass_time(540)
    await world.sweep()
    assert ids(at(world.hooks.requests, member)) == ["tr-1-1"]
    assert len(at(world.hooks.requests, other)) == 2
    world.pass_time(120)
    await world.sweep()
    assert sorted(ids(at(world.hooks.requests, member))) == ["tr-1-1", "tr-1-1", "tr-2-1"]


@pytest.fixture
async def slower(store: Store) -> AsyncIterator[Inside]:
    """The first wait is so long that it is over when the test says so, and not while a busy machine is at it."""
    async with inside(store.url, RELAY_RETRY__WAITS_SECONDS="[0, 300, 3600]", **store.settings) as made:
        yield made


async def test_a_failing_delivery_holds_back_only_its_own_transfer(slower: Inside) -> None:
    member = await slower.api.register("contoso", slower.hooks)
    slower.hooks.answers(Answer(500), path=member.path)
    events = life("tr-1")
    await slower.api.post(events[0])
    await slower.sweep()
    await slower.api.post(events[1])
    for event in life("tr-2"):
        await slower.api.post(event)
    await slower.api.post(events[2])
    await slower.sweep()
    assert ids(slower.hooks.requests) == ["tr-1-1", "tr-2-1", "tr-2-2", "tr-2-3"]
    slower.pass_time(370)
    await slower.sweep()
    assert ids(slower.hooks.requests[4:]) == ["tr-1-1", "tr-1-2", "tr-1-3"]


async def test_without_ordering_a_failure_holds_back_nothing(slower: Inside) -> None:
    member = await slower.api.register("contoso", slower.hooks, ordering="none")
    slower.hooks.answers(Answer(500), path=member.path)
    events = life("tr-1")
    await slower.api.post(events[0])
    await slower.sweep()
    for event in events[1:]:
        await slower.api.post(event)
    await slower.sweep()
    assert sorted(ids(slower.hooks.requests)) == ["tr-1-1", "tr-1-2", "tr-1-3"]
    slower.pass_time(370)
    await slower.sweep()
    assert ids(slower.hooks.requests[3:]) == ["tr-1-1"]


async def test_a_partner_that_registers_late_is_told_of_the_creation(world: Inside) -> None:
    await world.api.post(step("tr-1", "created", 1))
    for event in life("tr-2", "created", "canceled"):
        await world.api.post(event)
    await world.sweep()
    member = await world.api.register("contoso", world.hooks)
    await world.sweep()
    assert ids(world.hooks.requests) == ["tr-1-1"], "told of what still runs, not of what has ended"
    assert json.loads(world.hooks.requests[0].body)["data"]["role"] == "source"
    assert [m.to for m in world.mail.messages] == ["agent@contoso.example"]
    feed = await member.caller.all("/v1/partners/contoso/events")
    assert [one["id"] for one in feed] == ["tr-1-1"]
    log = await member.caller.all("/v1/partners/contoso/activity")
    assert [r["event_id"] for r in log] == ["tr-1-1"]
    await world.api.post(step("tr-1", "updated", 2))
    await world.sweep()
    assert ids(world.hooks.requests) == ["tr-1-1", "tr-1-2"]


async def test_a_first_endpoint_is_told_of_creations_before_it(world: Inside) -> None:
    """A partner is registered in two steps; what comes between them is kept too."""
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    member = await world.api.register("contoso")
    await world.sweep()
    await world.api.listen(member, world.hooks, "/late")
    await world.sweep()
    assert ids(world.hooks.requests) == ["tr-1-1"]
    assert len(world.mail.messages) == 1


@pytest.mark.parametrize("gone", ["endpoint", "partner", "agent"])
async def test_who_is_removed_meanwhile_is_not_told(world: Inside, gone: str) -> None:
    member = await world.api.register("contoso", world.hooks)
    world.hooks.answers(Answer(500))
    world.mail.will("rcpt", "450 later")
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    assert (len(world.hooks.requests), len(world.mail.messages)) == (1, 0)
    paths = {
        "endpoint": ("DELETE", member.at, None, 204),
        "partner": ("DELETE", "/v1/partners/contoso", None, 204),
        "agent": ("PUT", "/v1/partners/contoso/admin-agents", {"admin_agents": []}, 200),
    }
    method, path, body, code = paths[gone]
    await world.api.ask(method, path, body, expect=code)
    world.pass_time(3600)
    await world.sweep()
    reasons = {
        d["channel"]: d["reason"] for d in await world.api.all("/v1/transfers/tr-1/deliveries")
        if d["status"] == "canceled"
    }  # fmt: skip
    assert reasons == {
        "endpoint": {"webhook": "endpoint_removed"},
        "partner": {"webhook": "partner_removed", "email": "partner_removed"},
        "agent": {"email": "recipient_removed"},
    }[gone]
    assert len(world.hooks.requests) == (2 if gone == "agent" else 1)
    assert len(world.mail.messages) == (1 if gone == "endpoint" else 0)


async def test_a_rotated_secret_signs_beside_the_new_one_until_it_ends(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    old = member.secret
    made = await member.caller.ask("POST", f"{member.at}/secret/rotate", {"overlap_seconds": 3600})
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    for secret in (old, made["secret"]):
        verify_with_libraries(secret, world.hooks.requests[0], real_time=False)
    world.hooks.expect(made["secret"], member.path)
    world.pass_time(3700)
    await world.api.post(step("tr-1", "updated", 2))
    await world.sweep()
    verify_with_libraries(made["secret"], world.hooks.requests[1], real_time=False)
    with pytest.raises(ValueError):
        verify_with_libraries(old, world.hooks.requests[1], real_time=False)


async def test_one_hung_endpoint_delays_nobody_else(store: Store) -> None:
    # Given up far later than the others must have theirs.
    async with inside(store.url, RELAY_WORKER__REQUEST_TIMEOUT_SECONDS="600", **store.settings) as world:
        slow = await world.api.register("contoso", world.hooks)
        other = await world.api.register("fabrikam", world.hooks)
        world.hooks.answers(Answer(hang=True), path=slow.path)
        for n in range(5):
            await world.api.post(step(f"tr-{n}", "created", 1))
        sweeping = asyncio.ensure_future(world.engine.sweep())
        async with asyncio.timeout(30):
            while len(at(await world.hooks.wait_for(1), other)) < 5:
                await world.hooks.wait_for(len(world.hooks.requests) + 1)
        await sweeping
        world.hooks.release()
