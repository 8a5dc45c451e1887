"""What is told of a transfer that no producer speaks of, and what when one does after all?

The clock is moved; nothing waits.
"""

from __future__ import annotations

import asyncio
from json import loads
from typing import Any

import pytest

from relay.deadlines import derived_id
from relay.engine.engine import Engine
from relay.store.hints import Hint
from relay.times import format_ms, to_ns
from tests.pipeline.events import BEGINS_AT, step
from tests.pipeline.inside import Inside, inside

DAY_S = 86_400
EXPIRED = derived_id("tr-1", "expire")
EXPIRES_AT = "2026-12-21T01:00:00Z"


async def two_partners(world: Inside) -> None:
    await world.to(BEGINS_AT)
    for name in ("contoso", "fabrikam"):
        await world.api.register(name, world.hooks)


def told(world: Inside, *types: str) -> list[tuple[str, str, str]]:
    """What webhooks brought: role, type, id."""
    found = [(b["data"]["role"], b["type"], r.message_id) for r in world.hooks.requests for b in [loads(r.body)]]
    return sorted(one for one in found if not types or one[1] in types)


async def transfer(world: Inside) -> Any:
    return await world.api.ask("GET", "/v1/transfers/tr-1")


async def test_thirty_days_without_an_answer_are_an_expiry(world: Inside) -> None:
    await two_partners(world)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    mails = len(world.mail.messages)
    await world.to("2026-12-21T00:59:00Z")
    assert not told(world, "transfer.expired")
    await world.to(EXPIRES_AT)
    assert told(world, "transfer.expired") == [
        ("source", "transfer.expired", EXPIRED), ("target", "transfer.expired", EXPIRED),
    ]  # fmt: skip
    for body in (loads(request.body) for request in world.hooks.requests[-2:]):
        assert (body["data"]["derived"], body["data"]["sequence"]) == (True, 2)
        assert body["data"]["transfer"]["status"] == "expired"
        assert to_ns(body["timestamp"]) == to_ns(EXPIRES_AT)
    seen = await transfer(world)
    assert (seen["status"], seen["derived"]) == ("expired", True)
    assert [(e["type"], e["derived"]) for e in seen["timeline"]] == [
        ("transfer.created", False), ("transfer.expired", True),
    ]  # fmt: skip
    for name in ("contoso", "fabrikam"):
        lines = await world.api.all(f"/v1/partners/{name}/activity?type=transfer.expired")
        assert [(line["derived"], line["event_id"]) for line in lines] == [(True, EXPIRED)]
        (fed,) = [e for e in await world.api.all(f"/v1/partners/{name}/events") if e["type"] == "transfer.expired"]
        assert fed["data"]["derived"] is True
    assert len(world.mail.messages) == mails, "the relay's own conclusions are not e-mailed"
    world.pass_time(90 * DAY_S)
    await world.sweep()
    assert len(told(world, "transfer.expired")) == 2


async def test_an_expiry_waits_for_a_day_without_a_word(world: Inside) -> None:
    await two_partners(world)
    await world.api.post(step("tr-1", "created", 1, expires_at=format_ms(world.clock() - 1000)))
    world.pass_time(DAY_S - 60)
    await world.sweep()
    # The same state under another id tells nobody anything, but it is a word.
    await world.api.post(step("tr-1", "created", 2, expires_at=format_ms(world.clock() + 1)))
    world.pass_time(DAY_S - 60)
    await world.sweep()
    assert not told(world, "transfer.expired")
    world.pass_time(61)
    await world.sweep()
    assert len(told(world, "transfer.expired")) == 2


async def test_three_days_in_progress_are_a_stall_that_moves_nothing(world: Inside) -> None:
    await two_partners(world)
    started = format_ms(world.clock())
    await world.api.post(step("tr-1", "created", 1))
    await world.api.post(step("tr-1", "updated", 2, occurred_at=started))
    await world.sweep()
    world.pass_time(3 * DAY_S - 60)
    await world.sweep()
    assert not told(world, "transfer.stalled")
    world.pass_time(61)
    await world.sweep()
    stall = derived_id("tr-1", "stall:2")
    assert told(world, "transfer.stalled") == [
        ("source", "transfer.stalled", stall), ("target", "transfer.stalled", stall),
    ]  # fmt: skip
    seen = await transfer(world)
    assert (seen["status"], seen["derived"]) == ("in_progress", False)
    assert seen["timeline"][-1]["derived"] is True
    lines = await world.api.all("/v1/partners/contoso/activity?type=transfer.stalled")
    assert [line["derived"] for line in lines] == [True]
    world.pass_time(60 * DAY_S)
    await world.sweep()
    assert len(told(world, "transfer.stalled")) == 2, "it is said once"
    # A new try may stall again; what has an outcome may not.
    later = format_ms(world.clock())
    await world.api.post(step("tr-1", "partially_completed", 4, occurred_at=later))
    await world.api.post(step("tr-1", "updated", 5, occurred_at=later))
    await world.sweep()
    world.pass_time(3 * DAY_S + 5)
    await world.sweep()
    assert {r[2] for r in told(world, "transfer.stalled")} == {stall, derived_id("tr-1", "stall:5")}
    await world.api.post(step("tr-1", "completed", 7, occurred_at=format_ms(world.clock())))
    world.pass_time(60 * DAY_S)
    await world.sweep()
    assert len(told(world, "transfer.stalled")) == 4


async def test_a_transfer_that_ended_in_time_is_left_alone(world: Inside) -> None:
    await two_partners(world)
    for event in (step("tr-1", "created", 1), step("tr-1", "updated", 2), step("tr-1", "completed", 3)):
        await world.api.post(event)
    await world.api.post(step("tr-2", "created", 1))
    await world.api.post(step("tr-2", "canceled", 2))
    await world.sweep()
    world.pass_time(90 * DAY_S)
    await world.sweep()
    assert not told(world, "transfer.expired", "transfer.stalled")
    store = world.services.store
    assert await store.hints.count(Hint.DEADLINE) == 0, "what has ended is forgotten"


AFTER = {
    # What a producer says after a derived expiry: its answer, whether it is told, how the transfer then stands.
    "created": (202, False, "expired", True),
    "updated": (202, True, "in_progress", False),
    "completed": (202, True, "completed", False),
    "partially_completed": (202, True, "partially_completed", False),
    "failed": (202, True, "failed", False),
    "expired": (202, False, "expired", False),
    "canceled": (202, True, "canceled", False),
}


@pytest.mark.parametrize("type_", AFTER)
async def test_what_a_producer_says_replaces_what_was_derived(world: Inside, type_: str) -> None:
    await two_partners(world)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    await world.to(EXPIRES_AT)
    before = len(world.hooks.requests)
    code, is_told, status, derived = AFTER[type_]
    said = step("tr-1", type_, 2, occurred_at="2026-12-20T00:00:00Z")
    await world.api.ask("POST", "/v1/events", said, expect=code)
    await world.sweep()
    assert len(world.hooks.requests) - before == (2 if is_told else 0)
    for body in (loads(request.body) for request in world.hooks.requests[before:]):
        assert (body["type"], body["data"]["derived"]) == (f"transfer.{type_}", False)
    seen = await transfer(world)
    assert (seen["status"], seen["derived"]) == (status, derived)
    reasons = {skip["reason"] for skip in seen["timeline"][-1]["skipped"]}
    assert ("repeat" in reasons) is not is_told


async def test_workers_that_wake_together_conclude_once(world: Inside) -> None:
    await two_partners(world)
    for number in range(30):
        await world.api.post(step(f"tr-{number}", "created", 1))
    await world.sweep()
    world.pass_time(31 * DAY_S)
    others = [Engine(world.services) for _ in range(3)]
    await asyncio.gather(world.engine.sweep(), *(other.sweep() for other in others))
    for engine in (world.engine, *others):
        await engine.idle()
    await world.sweep()
    assert len(told(world, "transfer.expired")) == 60
    assert len({r[2] for r in told(world, "transfer.expired")}) == 30


async def test_what_fell_due_while_nobody_was_there_is_concluded_later(valkey_url: str) -> None:
    async with inside(valkey_url) as first:
        await two_partners(first)
        await first.api.post(step("tr-1", "created", 1))
        await first.sweep()
    async with inside(valkey_url) as second:
        await second.to("2027-06-09T02:00:00Z")
        seen = await transfer(second)
        assert (seen["status"], seen["timeline"][-1]["occurred_at"]) == ("expired", "2026-12-21T01:00:00.000Z")


async def test_reminders_go_to_the_sources_admin_agents(valkey_url: str) -> None:
    async with inside(valkey_url, RELAY_NOTIFY__REMIND_BEFORE='["7d", "1d"]') as world:
        await two_partners(world)
        await world.api.post(step("tr-1", "created", 1))
        await world.sweep()
        before = len(world.mail.messages)
        await world.to("2026-12-14T01:00:00Z")
        await world.to("2026-12-20T01:00:00Z")
        mails = [one.parsed for one in world.mail.messages[before:]]
        assert len(mails) == 2
        assert all("21 December 2026" in str(mail["Subject"]) for mail in mails), [m["Subject"] for m in mails]
        assert len({mail["Message-ID"] for mail in mails}) == 2
        lines = await world.api.all("/v1/partners/contoso/activity?type=transfer.expiring")
        assert [(line["derived"], len(line["told"])) for line in lines] == [(True, 1)] * 2
        assert not await world.api.all("/v1/partners/fabrikam/activity?type=transfer.expiring")
        assert not told(world, "transfer.expiring")
        await world.to(EXPIRES_AT)
        assert len(world.mail.messages) == before + 2
        assert len(told(world, "transfer.expired")) == 2


async def test_nobody_is_reminded_unless_it_is_set(world: Inside) -> None:
    await two_partners(world)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    before = len(world.mail.messages)
    await world.to("2026-12-20T23:00:00Z")
    assert len(world.mail.messages) == before
