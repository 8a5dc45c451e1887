"""Does everything that was accepted add up, and what happens to what does not?

What only a fault could bring about is done to the database by hand.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from click.testing import CliRunner

from relay.cli import relay
from tests.fakes.partner import Answer
from tests.pipeline.events import life, step
from tests.pipeline.inside import Inside
from tests.pipeline.rig import environment


async def lap(world: Inside) -> Any:
    """The accounts after a whole lap that begins now."""
    world.pass_time(6)
    await world.engine.sweep()
    await world.engine.idle()
    return await world.api.ask("GET", "/v1/accounts")


async def gauge(world: Inside, name: str) -> int:
    _, text = await world.api.raw("GET", "/metrics")
    (line,) = [line for line in text.splitlines() if line.startswith(name + " ")]
    return int(line.split()[-1])


async def two_partners(world: Inside) -> None:
    await world.api.register("contoso", world.hooks)
    await world.api.register("fabrikam", world.hooks)


async def delivery_to(world: Inside, partner: str) -> Any:
    """The webhook delivery of `tr-1-1` to this partner."""
    found = await world.api.all("/v1/transfers/tr-1/deliveries?channel=webhook")
    return next(one for one in found if one["partner"] == partner)


def states(books: Any) -> dict[str, int]:
    return {state: count for state, count in books["last"]["states"].items() if count}


async def test_every_recipient_is_in_one_state(world: Inside) -> None:
    await two_partners(world)
    refusing = await world.api.register("northwind", world.hooks, path="/refusing")
    for event in life("tr-1"):
        await world.api.post(event)
    await world.sweep()
    world.hooks.always(Answer(500), path="/refusing")
    await world.api.post(step("tr-2", "created", 1, target="northwind"))
    await world.sweep()
    assert await world.api.ask("GET", "/v1/accounts", expect=200)
    books = await lap(world)
    shown = await world.api.all("/v1/deliveries")
    timeline = [e for t in ("tr-1", "tr-2") for e in (await world.api.ask("GET", f"/v1/transfers/{t}"))["timeline"]]
    counted = {status: sum(d["status"] == status for d in shown) for status in ("delivered", "pending")}
    assert states(books) == {
        "delivered": counted["delivered"],
        "scheduled": counted["pending"],
        "skipped": sum(len(entry["skipped"]) for entry in timeline),
    }
    assert counted["pending"] == 1
    assert (books["unaccounted"], books["missing"], books["repaired"]) == (0, [], 0)
    assert (books["last"]["transfers"], books["last"]["events"], books["transfers"]) == (2, 4, 2)
    assert await gauge(world, 'relay_accounts{state="unaccounted"}') == 0
    assert await gauge(world, 'relay_accounts{state="delivered"}') == counted["delivered"]
    await world.api.raw("DELETE", refusing.at)
    world.pass_time(400)
    await world.sweep()
    assert states(await lap(world))["canceled"] == 1


async def test_a_step_that_nobody_planned_is_planned(world: Inside) -> None:
    await two_partners(world)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    await world.api.post(step("tr-1", "updated", 2))
    client = world.services.store.client
    # As after a failover that lost the last writes of one slot.
    await client.ask("DEL", client.key("t:tr-1", "in"))
    await world.sweep()
    assert not [r for r in world.hooks.requests if r.message_id == "tr-1-2"]
    books = await lap(world)
    assert (books["unaccounted"], books["repaired"]) == (1, 1)
    assert [(m["transfer"], m["sequence"]) for m in books["missing"]] == [("tr-1", 2)]
    assert await gauge(world, 'relay_accounts{state="unaccounted"}') == 1
    await world.sweep()
    assert len([r for r in world.hooks.requests if r.message_id == "tr-1-2"]) == 2
    assert (await lap(world))["unaccounted"] == 0


async def test_a_delivery_that_no_queue_knows_is_made_again_and_the_others_are_not_sent_twice(world: Inside) -> None:
    await two_partners(world)
    await world.api.post(step("tr-1", "created", 1))
    await world.engine.fan_out()
    delivery = (await delivery_to(world, "fabrikam"))["id"]
    client = world.services.store.client
    await world.sweep()
    tag = f"r:{delivery.removeprefix('dlv_').rpartition('_')[0]}"
    await client.ask("DEL", client.key(tag, f"d:{delivery}"))
    books = await lap(world)
    assert (books["unaccounted"], books["repaired"], books["missing"][0]["delivery"]) == (1, 1, delivery)
    await world.sweep()
    by_role = [r for r in world.hooks.requests if r.message_id == "tr-1-1"]
    assert len([r for r in by_role if "fabrikam" in r.path]) == 2
    assert len([r for r in by_role if "contoso" in r.path]) == 1
    assert (await lap(world))["unaccounted"] == 0


@pytest.mark.parametrize("lost", ["again", "lane:tr-1", "busy"])
async def test_a_pending_delivery_that_nothing_would_come_of_waits_again(world: Inside, lost: str) -> None:
    member = await world.api.register("contoso", world.hooks, path="/late")
    world.hooks.answers(Answer(500), path="/late")
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    client = world.services.store.client
    tag = f"r:{member.endpoint}"
    if lost == "busy":
        await client.ask("HSET", client.key(tag, "busy"), "tr-1", "dlv_of_a_dead_pass")
        await client.ask("DEL", client.key(tag, "again"))
    else:
        await client.ask("DEL", client.key(tag, lost))
    if lost == "lane:tr-1":
        await client.ask("DEL", client.key(tag, "again"))
    books = await lap(world)
    assert (books["unaccounted"], books["repaired"]) == (1, 1)
    world.pass_time(60)
    await world.sweep()
    assert (await world.delivery("tr-1-1"))["status"] == "delivered"
    assert (await lap(world))["unaccounted"] == 0


async def test_a_count_of_pending_that_drifted_is_set_right(world: Inside) -> None:
    await two_partners(world)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    # As a process leaves it that is killed before it wrote its counts.
    name = "relay_deliveries_pending|channel=webhook"
    client = world.services.store.client
    await client.ask("HINCRBY", client.key("counters"), name, 7)
    for _ in range(3):
        await lap(world)
    assert await gauge(world, 'relay_deliveries_pending{channel="webhook"}') == 0
    assert await gauge(world, 'relay_deliveries_pending{channel="email"}') == 0


async def test_an_open_transfer_whose_deadline_was_lost_has_it_again(world: Inside) -> None:
    await two_partners(world)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    client = world.services.store.client
    for shard in range(4):
        await client.ask("DEL", client.key(f"due:deadline:{shard}", "at"))
    await lap(world)
    world.pass_time(31 * 86_400)
    await world.sweep()
    assert (await world.api.ask("GET", "/v1/transfers/tr-1"))["status"] == "expired"


async def test_check_says_what_did_not_add_up(world: Inside) -> None:
    config = world.services.config
    env = environment(config.store.url, RELAY_MAIL__URL=config.mail.url, RELAY_STORE__PREFIX=config.store.prefix)
    await two_partners(world)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    client = world.services.store.client
    await client.ask("HDEL", client.key("t:tr-1"), "p:1")
    await lap(world)
    said = await asyncio.to_thread(CliRunner().invoke, relay, ["check"], env=env)
    assert said.exit_code == 1
    assert "1 recipient of an accepted event did not add up" in said.output
    await world.sweep()
    await lap(world)
    said = await asyncio.to_thread(CliRunner().invoke, relay, ["check"], env=env)
    assert "add up" not in said.output


async def test_the_accounts_are_the_operators(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    assert (await member.caller.raw("GET", "/v1/accounts"))[0] == 403
