"""Does a transfer that is played in the sandbox reach both partners and the customer as it should?

The player is a program that was written from Partner Center's documentation alone (tests.fakes.csp); between
it and the partners' endpoints and mailboxes are the sandbox, the source and the relay, whole.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from relay.sandbox.subscriptions.world import SOURCE
from relay.sources.registration import Taken
from tests.fakes.csp import Csp
from tests.pipeline.sandboxed import CONTACT, NAME, World, sandboxed

MINUTE, HOUR, DAY = 60, 3600, 86_400
E3, PREMIUM = ("Microsoft 365 E3", "OnlineServicesNCE", 25), ("Business Premium", "OnlineServicesNCE", 3)
BOTH = ("source", "target")
MAILED = {"created": {"agent@kaiyo-cloud.example", CONTACT},
          "completed": {"agent@kaiyo-cloud.example", "agent@fabrikam.example", CONTACT}}  # fmt: skip
AUDITED = {"created": "target", "updated": "source"}


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sandbox's keys; one a test process."""
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture
async def world(valkey_url: str, keys: Path) -> AsyncIterator[World]:
    async with sandboxed(valkey_url, keys) as made:
        yield made


class Life:
    """One transfer, played by its two partners."""

    def __init__(self, world: World, source: Csp, target: Csp, customer: str, items: list[Any], id_: str) -> None:
        self.world, self.source, self.target = world, source, target
        self.customer, self.items, self.id = customer, items, id_

    @classmethod
    async def begin(cls, world: World, *, works: bool = True) -> Life:
        """The customer consents, the target asks."""
        customer, items = await world.customer(E3, PREMIUM)
        source, target = await world.person("kaiyo-cloud"), await world.person("fabrikam")
        said = await target.create(customer, SOURCE, "OnlineServicesNCE")
        assert said.status == 201, said
        if works:
            await world.work()
        return cls(world, source, target, customer, items, said.body["id"])

    async def submit(self, *, works: bool = True) -> None:
        said = await self.source.accept(self.customer, self.id, *self.items)
        assert (said.status, said.body["status"]) == (200, "InProgress"), said
        if works:
            await self.world.work()

    async def status(self) -> str:
        return str((await self.source.get(self.customer, self.id)).body["status"])

    def types(self) -> list[str]:
        assert self.world.types("source", self.id) == self.world.types("target", self.id)
        return self.world.types("source", self.id)


async def completed(life: Life) -> None:
    await life.submit()
    await life.world.later(15 * MINUTE)


async def partial(life: Life) -> None:
    await life.world.fault("fail_item", item=2)
    await completed(life)


async def partial_then_completed(life: Life) -> None:
    await partial(life)
    said = await life.source.accept(life.customer, life.id, life.items[1])
    assert said.status == 200, said
    await life.world.work()
    await life.world.later(15 * MINUTE)


async def failed(life: Life) -> None:
    await life.world.fault("fail_item", item=1)
    await life.world.fault("fail_item", item=2)
    await completed(life)


async def expired(life: Life) -> None:
    await life.world.later(30 * DAY)


async def canceled(life: Life) -> None:
    assert (await life.target.cancel(life.customer, life.id)).status == 200
    await life.world.later(HOUR)


async def held_up(life: Life) -> None:
    await life.world.fault("stall")
    await life.submit()
    # The relay's clock passes 72 hours a little before the sandbox's.
    life.world.relay.pass_time(72 * HOUR + 1)
    await life.world.work()
    await life.world.later(72 * HOUR)


LIVES: dict[Callable[[Life], Awaitable[None]], list[str]] = {
    completed: ["created", "updated", "completed"],
    partial: ["created", "updated", "partially_completed"],
    partial_then_completed: ["created", "updated", "partially_completed", "updated", "completed"],
    failed: ["created", "updated", "failed"],
    expired: ["created", "expired"],
    canceled: ["created", "canceled"],
    held_up: ["created", "updated", "stalled", "completed"],
}


async def test_every_life_is_told_as_the_table_says(world: World) -> None:
    for play, types in LIVES.items():
        life = await Life.begin(world)
        before = len(world.relay.mail.messages)
        await play(life)
        assert life.types() == types, play.__name__
        for side in BOTH:
            told = world.told(side, life.id)
            assert {one["data"]["role"] for one in told} == {side}
            assert not any(one["data"].get("gap") or one["data"]["late"] for one in told)
            assert [one["data"]["sequence"] for one in told] == list(range(1, len(types) + 1))
            wanted = [type_ for type_ in types if AUDITED.get(type_) == side]
            assert await world.audits(side, life.id) == wanted, (play.__name__, side)
        # Whom e-mail went to: at creation before, at completion after, at nothing else.
        mails = [to for to, _ in world.mails(life.id)]
        wanted_mails = [to for type_ in types for to in sorted(MAILED.get(type_, ()))]
        assert sorted(mails) == sorted(wanted_mails), play.__name__
        assert len(world.relay.mail.messages) - before == len(MAILED.get(types[-1], ())), play.__name__


async def test_each_side_sees_its_own_half(world: World) -> None:
    life = await Life.begin(world)
    await world.fault("fail_item", item=2)
    await completed(life)
    source, target = world.told("source", life.id), world.told("target", life.id)
    ids = [one["id"].upper() for one in life.items]
    assert source[0]["data"]["transfer"]["items"] == target[0]["data"]["transfer"]["items"] == []
    assert [item["id"] for item in source[1]["data"]["transfer"]["items"]] == ids
    assert target[1]["data"]["transfer"]["items"] == []
    outcome = source[2]["data"]["transfer"]["items"]
    assert [(item["id"], item["status"]) for item in outcome] == [(ids[0], "completed"), (ids[1], "failed")]
    assert "SyncState" in outcome[1]["error"]["message"]
    assert not outcome[0].get("error")
    (new,) = target[2]["data"]["transfer"]["items"]
    bought = await life.target.subscriptions(life.customer)
    assert [new["id"]] == [one["id"] for one in bought]
    assert new["name"] == "Microsoft 365 E3"
    assert not new.get("error")
    assert new["id"] not in str(source)
    assert not any(id_ in str(target).upper() for id_ in ids)
    # The system's own log, and the list, say the same.
    chosen = json.dumps({"Field": "CustomerId", "Value": life.customer, "Operator": "equals"})
    for person, operation in ((life.target, "create_transfer"), (life.source, "update_transfer")):
        listed = (await person.ask("GET", f"/v1/auditrecords?filter={quote(chosen)}")).body["items"]
        assert [one["operationType"] for one in listed] == [operation]
        assert json.loads(listed[0]["resourceNewValue"])["Id"] == life.id
        record = await person.ask("GET", f"/auditactivity/v1/auditrecords/{listed[0]['id']}")
        assert record.body == listed[0]
        every = await person.ask("GET", f"/v1/customers/{life.customer}/transfers")
        assert [one["status"] for one in every.body["items"]] == ["PartiallyComplete"]
    assert (await life.target.ask("GET", "/v1/auditrecords?startDate=2020-01-01")).code == "800002"
    assert (await life.target.ask("GET", "/v1/auditrecords?filter=x")).code == "800002"
    # Who asked names the customer's contact; the source is not told.
    assert CONTACT in str(target)
    assert CONTACT not in str(source)


async def test_repeated_reordered_late_lost_and_badly_signed_callbacks_tell_each_fact_once_and_in_order(
    world: World,
) -> None:
    async def play(*faults: dict[str, Any], works: bool = True) -> Life:
        for fault in faults:
            await world.fault(**fault)
        life = await Life.begin(world, works=works)
        await life.submit(works=works)
        await world.later(15 * MINUTE)
        # Held back and failed calls come later, and what is lost is found by looking.
        await world.later(15 * MINUTE)
        assert await life.status() == "Complete"
        assert life.types() == ["created", "updated", "completed"], faults
        assert not any(one["data"]["late"] for one in world.told("source", life.id))
        await world.drive("DELETE", f"/sandbox/{NAME}/faults")
        return life

    await play({"kind": "twice", "count": 6})
    await play({"kind": "reorder", "event": "update-transfer"}, {"kind": "reorder", "event": "update-transfer"})
    await play({"kind": "reorder", "event": "create-transfer"}, {"kind": "reorder", "event": "create-transfer"})
    await play({"kind": "bad_signature", "count": 6})
    await play({"kind": "drop", "event": "complete-transfer", "count": 2})
    await play({"kind": "drop", "event": "create-transfer", "tenant": "fabrikam"})
    await play(works=False)  # all of it is told when it is over already
    refused = [note for note in await notes(world) if note["what"] == "called" and note["data"]["status"] == 401]
    assert len(refused) == 6


async def notes(world: World) -> list[dict[str, Any]]:
    found, after = [], 0
    while True:
        page = await world.drive("GET", f"/sandbox/{NAME}/notes?after={after}&limit=500")
        if not page["data"]:
            return found
        found += page["data"]
        after = page["next"]


async def test_an_overwritten_registration_is_noticed_told_and_put_back(world: World) -> None:
    await world.fault("overwrite", tenant="fabrikam")
    life = await Life.begin(world, works=False)
    await world.later(15)
    said = await (await world.person("fabrikam")).ask("GET", "/webhooks/v1/registration")
    assert said.body["WebhookUrl"] == f"{world.relay.api.base}/v1/sources/partner-center/fabrikam"
    assert await world.troubles() == {}
    lines = await world.relay.api.all("/v1/partners/fabrikam/activity")
    assert {"source.troubled", "source.recovered"} <= {one["type"] for one in lines}
    await completed(life)
    assert life.types() == ["created", "updated", "completed"]


async def test_an_overwritten_registration_is_left_where_the_operator_wants_it(valkey_url: str, keys: Path) -> None:
    async with sandboxed(valkey_url, keys, RELAY_SOURCES__PARTNER_CENTER__KEEP_REGISTERED="false") as world:
        assert "nothing is registered" in (await world.troubles())["registration"]
        registrar = world.sources.registrars["fabrikam"]
        await registrar.register(replace=False)
        assert await world.troubles() == {}
        await world.fault("overwrite", tenant="fabrikam")
        await world.later(15)
        assert "another-tool.example" in (await world.troubles())["registration"]
        with pytest.raises(Taken):
            await registrar.register(replace=False)
        await registrar.register(replace=True)
        assert await world.troubles() == {}
        correlation = await registrar.test()
        assert correlation is not None
        assert (await registrar.test_result(correlation))["status"] == "submitted"
        await world.work()
        assert (await registrar.test_result(correlation))["status"] == "completed"
        assert (await registrar.condition()).tested_at


async def test_an_upstream_that_is_away_forgets_tokens_or_throttles_loses_nothing(world: World) -> None:
    life = await Life.begin(world)
    await world.later(2 * HOUR, relay=False)  # a token that the relay believes in has expired
    assert (await life.target._send("GET", f"/v1/customers/{life.customer}/transfers", None)).code == "400"
    await life.submit()
    assert life.types() == ["created", "updated"]
    await world.fault("forget_tokens")
    other = await Life.begin(world)
    assert other.types() == ["created"]
    assert await world.troubles() == {}

    await world.fault("throttle", count=20, seconds=60)
    await world.later(15 * MINUTE)
    assert life.types() == ["created", "updated"]
    for name in ("kaiyo-cloud", "fabrikam"):
        assert "wait 60 s" in (await world.troubles(name))["throttled"]
    await world.drive("DELETE", f"/sandbox/{NAME}/faults")
    await world.later(70)
    assert life.types() == ["created", "updated", "completed"]
    for name in ("kaiyo-cloud", "fabrikam"):
        assert await world.troubles(name) == {}

    other = await Life.begin(world)
    await other.submit()
    await world.fault("down", seconds=HOUR)
    await world.later(15 * MINUTE)  # it completes, says so, and cannot be asked what it is
    assert other.types() == ["created", "updated"]
    assert "unreachable" in {kind for name in ("kaiyo-cloud", "fabrikam") for kind in await world.troubles(name)}
    for _ in range(4):
        await world.later(15 * MINUTE)
    assert other.types() == ["created", "updated", "completed"]
    assert {**await world.troubles("kaiyo-cloud"), **await world.troubles("fabrikam")} == {}


async def test_a_sandbox_that_is_started_again_goes_on_where_it_was(world: World, keys: Path) -> None:
    from relay.config import load
    from relay.logs import open_log
    from relay.sandbox.serve import opened
    from tests.pipeline.rig import environment

    life = await Life.begin(world)
    await life.submit(works=False)
    url, port = world.relay.services.config.store.url, world.url.rpartition(":")[2]
    config = load(None, environment(url, RELAY_SANDBOX__PORT=port, RELAY_SANDBOX__FOLDER=str(keys)))
    async with opened(config, open_log(config.log)) as again:
        summary = await again.boxes[NAME].look(again.boxes[NAME].model.summary)
        assert [one["status"] for one in summary["transfers"]] == ["InProgress"]
        made, due = await again.turn()
        assert made == 2  # what the first one owed is told by the second
        assert due is not None
    assert (await world.sandbox.turn())[0] == 0


async def test_a_person_drives_the_sandbox_and_begins_anew(world: World) -> None:
    await world.fault("fail_item", item=2)
    await world.fault("drop")
    assert [one["kind"] for one in (await world.drive("GET", f"/sandbox/{NAME}/faults"))["data"]] == ["drop", "fail_item"]
    await world.drive("DELETE", f"/sandbox/{NAME}/faults")
    assert (await world.drive("GET", f"/sandbox/{NAME}/faults"))["data"] == []
    token = await world.drive("POST", f"/sandbox/{NAME}/tokens", {"partner": "fabrikam"})
    life = await Life.begin(world)
    life.target.token = token["access_token"]
    assert (await life.target.get(life.customer, life.id)).status == 200
    await world.drive("POST", f"/sandbox/{NAME}/tokens", {"partner": "fabrikam", "role": "cook"}, expect=422)
    shown = await world.drive("GET", "/sandbox")
    assert [one["id"] for one in shown["systems"][NAME]["transfers"]] == [life.id]
    before = await world.drive("GET", "/sandbox/clock")
    later = await world.drive("POST", "/sandbox/clock", {"jump_seconds": 30 * DAY, "rate": 0})
    assert later["now"] > before["now"]
    assert (await world.drive("GET", "/sandbox/clock")) == later  # it stands
    assert await life.status() == "Expired"
    await world.drive("POST", "/sandbox/reset", {})
    assert (await world.drive("GET", "/sandbox"))["systems"][NAME]["transfers"] == []
    assert (await world.drive("GET", "/sandbox/clock"))["now"] < later["now"]
    life = await Life.begin(world)
    await completed(life)
    assert life.types() == ["created", "updated", "completed"]


async def test_who_comes_at_once_is_served_one_after_the_other(world: World) -> None:
    life = await Life.begin(world)
    said = await asyncio.gather(*(life.source.accept(life.customer, life.id, *life.items) for _ in range(8)))
    assert sorted(one.status for one in said) == [200, *[409] * 7]
    assert {one.code for one in said if one.status == 409} <= {"900101", "900104"}
    made = await asyncio.gather(*(life.target.create(life.customer, SOURCE) for _ in range(8)))
    done = [one.body["id"] for one in made if one.status == 201]
    assert len(set(done)) == len(done) > 0
    await world.work()
    for id_ in done:
        assert world.types("target", id_) == ["created"]


async def test_requests_without_a_token_or_with_another_ones_are_refused_as_documented(world: World) -> None:
    customer, _ = await world.customer(E3, consents_to="")
    nobody = await world.person("fabrikam", role="")
    async with world.relay.api.http.get(f"{nobody.base}/v1/customers/{customer}/transfers") as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "800001")
    nobody.token = "made.up"
    assert (await nobody._send("GET", f"/v1/customers/{customer}/transfers", None)).code == "400"
    assert (await nobody.create(customer, SOURCE)).code == "2032"  # an application is no admin agent
    sales = await world.person("fabrikam", role="sales_agent")
    assert (await sales.create(customer, SOURCE)).code == "2032"
    target = await world.person("fabrikam")
    assert (await target.create(customer, SOURCE)).code == "20002"
    assert (await target.get(customer, "0" * 36)).code == "900100"
    assert (await target.ask("DELETE", f"/v1/customers/{customer}/transfers/x")).status == 405
    for raw in (b"{", b"\xff", b"[1]", b'"x"'):
        async with world.relay.api.http.post(
            f"{target.base}/v1/customers/{customer}/transfers", data=raw, headers={"Authorization": f"Bearer {target.token}"}
        ) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "800002")
    wrong = await world.person("fabrikam")
    wrong.client_secret = "wrong"
    assert (await wrong.sign_in()).body["error"] == "invalid_client"
    wrong = await world.person("fabrikam")
    wrong.refresh_token = "somebody.elses"
    assert (await wrong.sign_in()).body["error"] == "invalid_grant"
    # The control is the operator's.
    async with world.relay.api.http.get(f"{world.url}/sandbox/{NAME}/credentials") as answer:
        assert answer.status == 401
    refused = await world.drive("POST", f"/sandbox/{NAME}/faults", {"kind": "explode"}, expect=422)
    assert "fail_item" in refused["detail"]
    refused = await world.drive("POST", "/sandbox/clock", {"jump": "30d"}, expect=422)
    assert "jump" in refused["detail"]
    await world.drive("GET", "/sandbox/unknown/faults", expect=404)
