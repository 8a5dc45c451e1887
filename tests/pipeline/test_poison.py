"""What becomes of an event that the relay itself cannot plan?"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from relay.mail.compose import Composed, Composer
from relay.store.hints import Hint
from tests.fakes.partner import Answer
from tests.pipeline.events import step
from tests.pipeline.inside import Inside


@pytest.mark.parametrize("body", [b"{", b'{"type":"transfer.created"}', b"\xff"])
async def test_an_unreadable_body_is_settled_with_a_reason_and_holds_up_nobody(world: Inside, body: bytes) -> None:
    await world.api.register("contoso", world.hooks)
    for event in (step("bad", "created", 1), step("good", "created", 1), step("bad", "updated", 2)):
        await world.api.post(event)
    client = world.services.store.client
    await client.ask("HSET", client.key("t:bad"), "x:1", body)
    await world.sweep()
    assert {r.message_id for r in world.hooks.requests} == {"good-1", "bad-2"}
    seen = await world.api.ask("GET", "/v1/transfers/bad")
    first = next(entry for entry in seen["timeline"] if entry["sequence"] == 1)
    assert {skip["reason"] for skip in first["skipped"]} == {"unplannable"}
    assert not first["told"]
    assert not await client.ask("EXISTS", client.key("t:bad", "in"))


@pytest.mark.parametrize(
    ("field", "kept"), [("i:1", b"{"), ("i:1", None), ("p:1", b"\xff"), ("x:1", None)],
    ids=["a step", "no step", "a plan", "no body"],
)
async def test_an_unreadable_step_or_plan_is_settled_with_a_reason_and_holds_up_nobody(
    world: Inside, field: str, kept: bytes | None
) -> None:
    await world.api.register("contoso", world.hooks)
    for event in (step("bad", "created", 1), step("good", "created", 1), step("bad", "updated", 2)):
        await world.api.post(event)
    client = world.services.store.client
    if kept is None:
        await client.ask("HDEL", client.key("t:bad"), field)
    else:
        await client.ask("HSET", client.key("t:bad"), field, kept)
    await world.sweep()
    assert {r.message_id for r in world.hooks.requests} == {"good-1", "bad-2"}
    seen = await world.api.ask("GET", "/v1/transfers/bad")
    first = next(entry for entry in seen["timeline"] if entry["sequence"] == 1)
    assert {skip["reason"] for skip in first["skipped"]} == {"unplannable"} and first["event_id"] == "bad-1"
    assert not await client.ask("EXISTS", client.key("t:bad", "in"))
    if kept is not None:
        assert await client.ask("HGET", client.key("t:bad"), f"u:{field}") == kept
    assert len(await world.api.all("/v1/transfers")) == 2


async def test_a_standing_that_cannot_be_read_holds_up_nobody_else(world: Inside) -> None:
    await world.api.register("contoso", world.hooks)
    for event in (step("bad", "created", 1), step("good", "created", 1)):
        await world.api.post(event)
    client = world.services.store.client
    await client.ask("HSET", client.key("t:bad"), "s", b"{")
    await world.sweep()
    assert {r.message_id for r in world.hooks.requests} == {"good-1"}


@pytest.mark.parametrize("unreadable", [False, True], ids=["not of this ring", "no secret at all"])
async def test_a_secret_that_cannot_be_used_settles_its_own_deliveries_and_nobody_elses(
    world: Inside, unreadable: bool
) -> None:
    broken = await world.api.register("contoso", world.hooks)
    sound = await world.api.register("fabrikam", world.hooks)
    services = world.services
    client, where = services.store.client, services.store.client.key("p:contoso", "endpoints")
    stored = orjson.loads(await client.ask("HGET", where, broken.endpoint))
    context = f"endpoint:{broken.endpoint}:secret"
    sealed = services.vault.seal(b"not what it should be", context=context)
    stored["secrets"][0]["sealed"] = sealed if unreadable else sealed[:-8] + "AAAAAAAA"
    await client.ask("HSET", where, broken.endpoint, orjson.dumps(stored))
    for event in (step("tr-1", "created", 1), step("tr-1", "updated", 2)):
        await world.api.post(event)
    await world.sweep()
    assert [r.path for r in world.hooks.requests] == [sound.path] * 2
    for delivery in await world.api.all("/v1/transfers/tr-1/deliveries?channel=webhook"):
        told = await world.api.ask("GET", f"/v1/deliveries/{delivery['id']}")
        if sound.endpoint in told["id"]:
            assert told["status"] == "delivered"
        else:
            assert (told["status"], told["reason"]) == ("exhausted", "unsendable")
            assert "not what it should be" not in str(told)


async def test_a_template_that_fails_settles_its_own_message_and_nobody_elses(
    world: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the template of a creation is given for one mailbox does not fit it; other mails and all webhooks go."""
    await world.api.register("contoso", world.hooks)
    compose = Composer.compose

    def without_items(self: Composer, *, body: bytes, **more: Any) -> Composed:
        shown = orjson.loads(body)
        if more["event_id"] == "tr-1-1":
            del shown["data"]["transfer"]["source"]
        return compose(self, body=orjson.dumps(shown), **more)

    monkeypatch.setattr(Composer, "compose", without_items)
    for transfer in ("tr-1", "tr-2"):
        await world.api.post(step(transfer, "created", 1))
    await world.sweep()
    (bad,) = await world.api.all("/v1/transfers/tr-1/deliveries?channel=email")
    (good,) = await world.api.all("/v1/transfers/tr-2/deliveries?channel=email")
    assert (bad["status"], good["status"]) == ("exhausted", "delivered")
    assert (await world.api.ask("GET", f"/v1/deliveries/{bad['id']}"))["reason"] == "unsendable"
    assert {r.message_id for r in world.hooks.requests} == {"tr-1-1", "tr-2-1"}


@pytest.mark.parametrize(
    ("plant", "kind"),
    [(("SET", ("r:ep_x", "rp_1"), "{"), "replay"), (("HSET", ("job:accounts", ""), "state", "{"), "accounts")],
    ids=["a replay", "the accounts"],
)
async def test_what_a_part_of_the_sweep_cannot_read_keeps_nothing_else_from_being_done(
    world: Inside, plant: tuple[Any, ...], kind: str
) -> None:
    await world.api.register("contoso", world.hooks)
    world.hooks.answers(Answer(500))
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    client, store = world.services.store.client, world.services.store
    command, place, *rest = plant
    await client.ask(command, client.key(*place), *rest)
    if kind == "replay":
        await store.hints.make_due(Hint.REPLAY, [("ep_x|rp_1", 0)])
    world.pass_time(10)
    await world.sweep()
    assert [r.message_id for r in world.hooks.requests] == ["tr-1-1", "tr-1-1"], "it is tried again"
    assert (await store.chains.standing(["contoso"]))[0].count == 1, "its log is chained"
