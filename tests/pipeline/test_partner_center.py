"""Does what Partner Center says, and does not say, reach both partners, each fact once and in order?"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from arq.connections import ArqRedis
from arq.jobs import JobDef
from cryptography.hazmat.primitives import hashes

from relay.nudge import HEAR, open_pool
from relay.sources import listening
from relay.sources.listening import Listening, hearing
from tests.fakes.partner_center import CUSTOMER, SOURCE, TARGET, PartnerCenter, line, make_signer, transfer
from tests.pipeline.caller import eventually
from tests.pipeline.inside import Inside, inside

T1, T2, T3 = "2024-12-12T14:45:18.627854Z", "2024-12-12T14:46:18.6278541Z", "2024-12-12T14:47:18.627854Z"
ID = transfer()["id"]
SOURCE_TENANT = {"name": "contoso", "tenant_id": SOURCE, "client_id": "c", "client_secret": "s", "partner": "contoso"}
TARGET_TENANT = {"name": "fabrikam", "tenant_id": TARGET, "client_id": "c", "client_secret": "s", "partner": "fabrikam"}


@dataclass
class World:
    """The relay, and the Partner Center that it listens to."""

    relay: Inside
    upstream: PartnerCenter
    sources: Listening

    def url(self, tenant: str = "fabrikam") -> str:
        return f"{self.relay.api.base}/v1/sources/partner-center/{tenant}"

    async def say(self, name: str, at: str, *, tenant: str = "fabrikam", expect: int = 200, **changes: Any) -> None:
        body = self.upstream.callback(name, transfer(**changes), at)
        assert await self.upstream.call(self.relay.api.http, self.url(tenant), body) == expect

    async def work(self, seconds: float = 0) -> None:
        """It is so much later, and a worker has worked until nothing is due."""
        self.relay.pass_time(seconds)
        for _ in range(20):
            if not await self.sources.tick():
                break
        await self.relay.sweep()

    async def troubles(self, tenant: str = "fabrikam") -> dict[str, str]:
        found = await self.relay.api.ask("GET", "/v1/sources")
        return {
            one["kind"]: one["detail"]
            for source in found["data"] if source["source"] == f"partner-center:{tenant}" for one in source["troubles"]
        }  # fmt: skip

    def told(self, path: str) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in self.relay.hooks.requests if one.path.startswith(f"/{path}-")]

    def types(self, path: str) -> list[str]:
        return [one["type"].removeprefix("transfer.") for one in self.told(path)]


@asynccontextmanager
async def _world(valkey_url: str, folder: Path, *tenants: dict[str, str], **more: str) -> AsyncIterator[World]:
    async with PartnerCenter() as upstream:
        roots = folder / "roots.pem"
        roots.write_text(upstream.signer.root_pem)
        plain = {name: one for name, one in more.items() if name.startswith("RELAY_")}
        ours = {name: one for name, one in more.items() if name not in plain}
        settings = upstream.settings(str(roots), *(tenants or (TARGET_TENANT,)), **ours) | plain
        async with inside(valkey_url, **settings) as relay, hearing(relay.services) as sources:
            await relay.api.register("contoso", relay.hooks)
            await relay.api.register("fabrikam", relay.hooks)
            yield World(relay, upstream, sources)


@pytest.fixture
async def world(valkey_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with _world(valkey_url, tmp_path, SOURCE_TENANT, TARGET_TENANT) as made:
        yield made


async def test_a_whole_life_reaches_both_sides_as_each_may_see_it(world: World) -> None:
    world.upstream.put(transfer())
    await world.say("create-transfer", T1)
    await world.work()
    items = [line(0), line(1)]
    world.upstream.put(transfer("InProgress", lineItems=items), SOURCE)
    world.upstream.put(transfer("InProgress"), TARGET)
    await world.say("update-transfer", T2)
    await world.work()
    world.upstream.put(transfer("Complete", lineItems=[line(0, "Complete"), line(1, "Complete")]), SOURCE)
    done = [line(0, "Complete", subscriptionId="new-0"), line(1, "Complete", subscriptionId="new-1")]
    world.upstream.put(transfer("Complete", lineItems=done), TARGET)
    await world.say("complete-transfer", T3)
    await world.work()
    assert world.types("contoso") == world.types("fabrikam") == ["created", "updated", "completed"]
    source, target = world.told("contoso"), world.told("fabrikam")
    assert [one["data"]["role"] for one in (*source, *target)] == ["source"] * 3 + ["target"] * 3
    assert [item["id"] for item in source[1]["data"]["transfer"]["items"]] == [one["subscriptionId"] for one in items]
    assert target[1]["data"]["transfer"]["items"] == []
    assert [item["id"] for item in target[2]["data"]["transfer"]["items"]] == ["new-0", "new-1"]
    assert source[2]["timestamp"] == T3.replace("Z", "+00:00")
    assert not any(one["data"].get("gap") or one["data"]["late"] for one in (*source, *target))
    to = {message.to for message in world.relay.mail.messages}
    assert to == {"agent@contoso.example", "agent@fabrikam.example", "it@relecloud.example"}


async def test_what_is_repeated_reordered_or_told_to_both_tenants_is_told_once_and_in_order(world: World) -> None:
    world.upstream.put(transfer("Complete", lineItems=[line(0, "Complete")]))
    for name, at in (("complete-transfer", T3), ("update-transfer", T2), ("create-transfer", T1)) * 2:
        for tenant in ("contoso", "fabrikam"):
            await world.say(name, at, tenant=tenant)
    for _ in range(3):
        await world.work(3)
    assert world.types("contoso") == world.types("fabrikam") == ["created", "updated", "completed"]


async def test_an_outcome_waits_a_little_for_the_submission_and_no_longer(world: World) -> None:
    world.upstream.put(transfer("Complete"))
    await world.say("complete-transfer", T3)
    await world.work()
    assert world.types("fabrikam") == ["created"]
    await world.work(30)
    assert world.types("fabrikam") == ["created", "completed"]
    assert world.told("fabrikam")[1]["data"]["gap"] is True
    await world.say("update-transfer", T2)
    await world.work()
    assert world.types("fabrikam") == ["created", "completed", "updated"]
    assert world.told("fabrikam")[2]["data"]["late"] is True


@pytest.mark.parametrize(
    ("status", "told"),
    [("Cancel", "canceled"), ("Expired", "expired"), ("PartiallyComplete", "partially_completed"), ("InProgress", "updated")],
)
async def test_what_is_never_sent_is_found_by_looking(world: World, status: str, told: str) -> None:
    world.upstream.put(transfer())
    await world.say("create-transfer", T1)
    await world.work()
    asked = len(world.upstream.asked("/v1/customers"))
    await world.work(60)
    assert len(world.upstream.asked("/v1/customers")) == asked
    world.upstream.put(transfer(status, lastModifiedTime=T3))
    await world.work(1000)
    assert world.types("contoso") == world.types("fabrikam") == ["created", told]


async def test_a_transfer_that_is_over_is_looked_at_no_more(world: World) -> None:
    world.upstream.put(transfer("Cancel"))
    await world.say("create-transfer", T1)
    await world.work()
    await world.work(1000)
    asked = len(world.upstream.asked("/v1/customers"))
    for _ in range(5):
        await world.work(4000)
    assert world.types("fabrikam") == ["created", "canceled"]
    assert len(world.upstream.asked("/v1/customers")) == asked


async def test_events_nobody_wants_are_answered_200_and_told_to_nobody(world: World) -> None:
    for name in ("subscription-updated", "usagerecords-thresholdExceeded", ""):
        body = {"EventName": name, "ResourceUri": None, "ResourceName": None, "AuditUri": None}
        assert await world.upstream.call(world.relay.api.http, world.url(), body) == 200
    for raw in (b"not JSON", b"[]", b"{}", b"\xff\xfe"):
        assert await world.upstream.call(world.relay.api.http, world.url(), raw) == 200
    await world.work()
    assert world.types("fabrikam") == []
    assert not world.upstream.asked("/v1/customers")


async def test_an_unknown_step_of_a_transfer_has_its_state_told(world: World) -> None:
    world.upstream.put(transfer("Cancel", lastModifiedTime=T3))
    await world.say("withdraw-transfer", T2)
    await world.work()
    assert world.types("fabrikam") == ["created", "canceled"]


async def test_what_was_said_and_what_was_fetched_are_kept_and_shown_to_nobody(world: World) -> None:
    world.upstream.put(transfer("InProgress"))
    await world.say("create-transfer", T1)
    await world.work()
    stored = await world.relay.services.store.client.ask(
        "HGET", world.relay.services.store.client.key(f"t:{ID}"), "x:1"
    )
    origin = json.loads(stored)["origin"]
    assert json.loads(origin["said"])["EventName"] == "create-transfer"
    assert origin["fetched"]["status"] == "InProgress"
    assert "origin" not in json.dumps(world.told("contoso") + world.told("fabrikam"))


async def test_a_worker_is_woken_by_a_new_callback_and_by_no_repeat(
    world: World, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_TICK_S", 3600.0)
    stop, pool = asyncio.Event(), open_pool(valkey_url)
    working = asyncio.create_task(world.sources.work(stop))
    try:
        world.upstream.put(transfer())
        for _ in range(2):
            await world.say("create-transfer", T1)
        jobs = [job.function for job in await eventually(lambda: _queued(pool), "a nudge")]
        assert jobs.count(HEAR) == 1
        world.sources.due.set()

        async def posted() -> bool | None:
            return True if (await world.relay.api.raw("GET", f"/v1/transfers/{ID}"))[0] == 200 else None

        await eventually(posted, "the event")
    finally:
        stop.set()
        await working
        await pool.aclose(close_connection_pool=True)


async def _queued(pool: ArqRedis) -> list[JobDef] | None:
    found = await pool.queued_jobs()
    return found if any(job.function == HEAR for job in found) else None


# --- forgeries -------------------------------------------------------------------------------------------


async def test_forged_and_mangled_callbacks_are_refused_and_nothing_is_asked_elsewhere(
    world: World, tmp_path: Path
) -> None:
    elsewhere: list[str] = []

    async def heard(request: web.Request) -> web.Response:
        elsewhere.append(request.path)
        return web.Response(body=mine.der)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", heard)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    other = f"http://127.0.0.1:{runner.addresses[0][1]}"
    upstream, mine, genuine = world.upstream, make_signer(), world.upstream.signer
    stranger = make_signer(organisation="Contoso", by=genuine)
    stale = make_signer(by=genuine, days=(-300, -2))
    early = make_signer(by=genuine, days=(2, 300))
    short = make_signer(by=genuine, bits=1024)
    upstream.certificates |= {
        "mine.cer": mine.der, "stranger.cer": stranger.der, "stale.cer": stale.der, "early.cer": early.der,
        "short.cer": short.der, "junk.cer": b"\x30\x82junk", "empty.cer": b"", "huge.cer": b"0" * 70_000,
    }  # fmt: skip
    raw = json.dumps(upstream.callback("create-transfer", transfer(), T1)).encode()
    signed = upstream.signed(raw)
    pinned = upstream.url + "/cert/"

    def at(url: str, **more: str) -> dict[str, str]:
        return {**signed, "X-MS-Certificate-Url": url, **more}

    forged: list[tuple[dict[str, str], bytes]] = [
        (at(f"{other}/cert/x.cer", Authorization=mine.sign(raw)), raw),
        (at(f"{other}/{pinned}x.cer", Authorization=mine.sign(raw)), raw),
        (at(pinned.replace("://", "://user@") + "x.cer"), raw),
        (at(f"{pinned}..%2f..%2fx.cer"), raw),
        (at(f"{pinned}../x.cer"), raw),
        (at(f"{pinned}sub/x.cer"), raw),
        (at(f"{pinned}x.cer?to={other}"), raw),
        (at(f"{pinned}x.cer#{other}"), raw),
        (at(pinned.replace("127.0.0.1", "localhost") + "x.cer"), raw),
        (at(pinned.replace(f":{upstream.port}", "") + "x.cer"), raw),
        (at(pinned.replace("http", "https") + "x.cer"), raw),
        (at(f"{pinned}mine.cer", Authorization=mine.sign(raw)), raw),
        (at(f"{pinned}stranger.cer", Authorization=stranger.sign(raw)), raw),
        (at(f"{pinned}stale.cer", Authorization=stale.sign(raw)), raw),
        (at(f"{pinned}early.cer", Authorization=early.sign(raw)), raw),
        (at(f"{pinned}short.cer", Authorization=short.sign(raw)), raw),
        (at(f"{pinned}junk.cer"), raw),
        (at(f"{pinned}absent.cer"), raw),
        ({**signed, "Authorization": genuine.sign(raw, hashes.SHA1()), "X-MS-Signature-Algorithm": "rsa-sha1"}, raw),
        ({**signed, "Authorization": genuine.sign(raw, hashes.SHA512())}, raw),
        (signed, raw + b" "),
        (signed, raw.replace(b"create-transfer", b"cancel-transfer")),
        (signed, json.dumps(json.loads(raw), indent=1).encode()),
        ({**signed, "Authorization": "Signature AAAA"}, raw),
        ({**signed, "Authorization": "Signature not base64!"}, raw),
        ({**signed, "Authorization": signed["Authorization"].replace("Signature", "Bearer")}, raw),
        ({name: one for name, one in signed.items() if name != "Authorization"}, raw),
        ({name: one for name, one in signed.items() if name != "X-MS-Certificate-Url"}, raw),
        ({name: one for name, one in signed.items() if name != "X-MS-Signature-Algorithm"}, raw),
        ({**signed, "Content-Encoding": "gzip"}, raw),
    ]
    assert len(forged) >= 20
    for number, (headers, body) in enumerate(forged):
        world.relay.pass_time(30)  # a few certificates a minute are fetched, whoever asks
        async with world.relay.api.http.post(world.url(), data=body, headers=headers) as answer:
            assert answer.status == 401, (number, answer.status, await answer.text())
    await world.work()
    await runner.cleanup()
    assert elsewhere == []
    assert {one.path.split("/")[1] for one in upstream.requests} == {"cert"}
    assert world.types("fabrikam") == []
    assert await world.upstream.call(world.relay.api.http, world.url(), raw) == 200


async def test_the_other_header_for_the_signature_is_taken_too(world: World) -> None:
    raw = json.dumps(world.upstream.callback("create-transfer", transfer(), T1)).encode()
    headers = world.upstream.signed(raw)
    headers["x-ms-signature"] = headers.pop("Authorization")
    async with world.relay.api.http.post(world.url(), data=raw, headers=headers) as answer:
        assert answer.status == 200


async def test_a_certificate_is_fetched_once_and_outlives_its_host(world: World) -> None:
    world.upstream.put(transfer())
    await world.say("create-transfer", T1)
    await world.say("update-transfer", T2)
    assert len(world.upstream.asked("/cert")) == 1
    world.upstream.always("/cert", 503)
    world.relay.pass_time(4000)
    await world.say("complete-transfer", T3)


async def test_certificates_that_strangers_name_keep_no_genuine_callback_away(world: World) -> None:
    world.upstream.put(transfer())
    await world.say("create-transfer", T1)

    async def forge(times: int) -> set[int]:
        raw, said = b"{}", set()
        for _ in range(times):
            url = f"{world.upstream.url}/cert/{secrets.token_hex(8)}.cer"
            headers = world.upstream.signed(raw, **{"X-MS-Certificate-Url": url})
            async with world.relay.api.http.post(world.url(), data=raw, headers=headers) as answer:
                said.add(answer.status)
        return said

    for _ in range(8):  # more than are kept
        assert await forge(8) <= {401, 503}
        world.relay.pass_time(61)
    world.relay.pass_time(3600)  # the genuine one is asked for again, within the same minute
    assert await forge(60) == {401, 503}
    await world.say("update-transfer", T2)
    assert await world.troubles() == {}, "nothing is wrong with the host"


async def test_one_address_uses_up_no_other_addresss_certificates(valkey_url: str, tmp_path: Path) -> None:
    async with _world(valkey_url, tmp_path, RELAY_SERVER__TRUSTED_PROXIES='["127.0.0.1/32"]') as world:
        said = []
        for address in ["2001:db8::1"] * 20 + ["198.51.100.7"]:
            genuine = address == "198.51.100.7"
            raw = json.dumps(world.upstream.callback("create-transfer", transfer(), T1)).encode()
            url = world.upstream.certificate_url if genuine else f"{world.upstream.url}/cert/{secrets.token_hex(8)}.cer"
            headers = world.upstream.signed(raw, **{"X-MS-Certificate-Url": url, "X-Forwarded-For": address})
            async with world.relay.api.http.post(world.url(), data=raw, headers=headers) as answer:
                said.append(answer.status)
        assert said == [401] * 8 + [503] * 12 + [200]


async def test_a_certificate_host_that_is_down_from_the_start_is_told_and_the_callback_asked_again(world: World) -> None:
    world.upstream.always("/cert", 503)
    await world.say("create-transfer", T1, expect=503)
    assert "certificate" in await world.troubles()
    world.upstream.always("/cert", None)
    world.upstream.put(transfer())
    await world.say("create-transfer", T1)
    assert await world.troubles() == {}


async def test_a_certificate_of_an_authority_that_is_not_configured_is_told_to_the_operator(world: World) -> None:
    mine = make_signer()
    world.upstream.certificates["new.cer"] = mine.der
    raw = json.dumps(world.upstream.callback("create-transfer", transfer(), T1)).encode()
    changed = {"Authorization": mine.sign(raw), "X-MS-Certificate-Url": f"{world.upstream.url}/cert/new.cer"}
    async with world.relay.api.http.post(world.url(), data=raw, headers=world.upstream.signed(raw, **changed)) as answer:
        assert answer.status == 401
    assert "Example Root" in (await world.troubles())["certificate"]


async def test_a_tenant_nobody_configured_is_not_there(world: World) -> None:
    await world.say("create-transfer", T1, tenant="nobody", expect=404)


async def test_a_body_that_is_too_long_is_refused(world: World) -> None:
    assert await world.upstream.call(world.relay.api.http, world.url(), b"x" * 70_000) == 413


# --- what goes wrong ------------------------------------------------------------------------------------


async def test_a_token_that_ended_is_replaced(valkey_url: str, tmp_path: Path) -> None:
    tenant = {**TARGET_TENANT, "refresh_token": "first"}
    async with _world(valkey_url, tmp_path, tenant) as world:
        world.upstream.put(transfer())
        await world.say("create-transfer", T1)
        await world.work()
        world.upstream.tokens.clear()  # withdrawn, long before it ends
        world.upstream.put(transfer("InProgress"))
        await world.say("update-transfer", T2)
        await world.work()
        assert world.types("fabrikam") == ["created", "updated"]
        forms = [one.body.decode() for one in world.upstream.asked(f"/{TARGET}/oauth2")]
        assert "refresh_token=first&" in forms[0] + "&"
        assert "refresh_token=first~1" in forms[1].replace("%7E", "~")
        async with hearing(world.relay.services) as after_a_restart:
            world.upstream.put(transfer("Complete"))
            await world.say("complete-transfer", T3)
            await after_a_restart.tick()
            last = world.upstream.asked(f"/{TARGET}/oauth2")[-1].body.decode()
            assert "first~" in last.replace("%7E", "~")


@pytest.mark.parametrize(
    ("path", "status", "headers", "kind"),
    [
        ("/v1/customers", 429, {"Retry-After": "600"}, "throttled"),
        ("/v1/customers", 503, {}, "unreachable"),
        (f"/{TARGET}/oauth2", 401, {}, "authorization"),
        (f"/{TARGET}/oauth2", 400, {}, "authorization"),
        ("/v1/customers", 401, {}, "authorization"),
        ("/v1/customers", 302, {"Location": "http://127.0.0.1:1/"}, "unreachable"),
    ],
)
async def test_an_upstream_that_refuses_for_an_hour_is_told_and_nothing_is_lost(
    valkey_url: str, tmp_path: Path, path: str, status: int, headers: dict[str, str], kind: str
) -> None:
    async with _world(valkey_url, tmp_path) as world:
        world.upstream.put(transfer("InProgress"))
        world.upstream.always(path, status, headers)
        await world.say("create-transfer", T1)
        await world.work()
        assert kind in await world.troubles()
        before = len(world.upstream.requests)
        await world.work(0.5)
        assert len(world.upstream.requests) == before  # it is left alone
        await world.say("update-transfer", T2)
        for _ in range(30):
            await world.work(120)
        assert len(world.upstream.requests) - before < 100
        assert world.types("fabrikam") == []
        world.upstream.always(path, None)
        await world.work(700)
        await world.work(30)
        assert world.types("fabrikam") == ["created", "updated"]
        assert await world.troubles() == {}
        metrics = (await world.relay.api.raw("GET", "/metrics"))[1]
        assert f'relay_source_troubled{{source="partner-center:fabrikam",kind="{kind}"}} 0' in metrics
        log = await world.relay.api.all("/v1/partners/fabrikam/activity")
        assert {"source.troubled", "source.recovered"} <= {one["type"] for one in log}


async def test_an_upstream_that_is_gone_for_an_hour_loses_nothing(valkey_url: str, tmp_path: Path) -> None:
    async with _world(valkey_url, tmp_path) as world:
        world.upstream.put(transfer())
        await world.say("create-transfer", T1)
        await world.upstream.down()
        for _ in range(12):
            await world.work(300)
        assert "unreachable" in await world.troubles()
        await world.upstream.up()
        await world.work(400)
        assert world.types("fabrikam") == ["created"]
        assert await world.troubles() == {}


async def test_one_transfer_that_is_refused_or_absent_holds_up_no_other(valkey_url: str, tmp_path: Path) -> None:
    async with _world(valkey_url, tmp_path) as world:
        other = transfer(id="0c39d6d5-c70d-4c55-bc02-f620844f3fd1")
        world.upstream.put(other)
        world.upstream.script(f"/v1/customers/{CUSTOMER}/transfers/{ID}", 403)
        await world.say("create-transfer", T1)
        body = world.upstream.callback("create-transfer", other, T2)
        assert await world.upstream.call(world.relay.api.http, world.url(), body) == 200
        await world.work()
        assert [one["data"]["transfer"]["id"] for one in world.told("fabrikam")] == [other["id"]]
        world.upstream.put(transfer())
        await world.work(10)
        await world.work(60)
        assert {one["data"]["transfer"]["id"] for one in world.told("fabrikam")} == {other["id"], ID}


async def test_a_worker_that_dies_leaves_its_callback_to_another(valkey_url: str, tmp_path: Path) -> None:
    async with _world(valkey_url, tmp_path) as world:
        await world.say("create-transfer", T1)
        now = world.relay.clock()
        taken = await world.relay.services.store.sources.take(
            "partner-center:fabrikam", now_ms=now, until=now + 180_000.5, most=10
        )
        assert len(taken) == 1  # and nobody ever settles it
        world.upstream.put(transfer())
        await world.work()
        assert world.types("fabrikam") == []
        await world.work(200)
        assert world.types("fabrikam") == ["created"]


# --- the registration -----------------------------------------------------------------------------------


async def test_a_registration_that_was_overwritten_is_noticed_told_and_put_back(
    valkey_url: str, tmp_path: Path
) -> None:
    async with _world(valkey_url, tmp_path) as world:
        at = "/v1/sources/partner-center/fabrikam"
        await world.sources.start()
        await world.work(10)
        assert "nothing is registered" in (await world.troubles())["registration"]
        made = await world.relay.api.ask("POST", f"{at}/registration", {})
        assert made["problem"] == ""
        assert set(made["events"]) >= {"create-transfer", "expire-transfer", "test-created"}
        assert "subscription-updated" not in made["events"]
        assert await world.troubles() == {}
        stolen = {"WebhookUrl": "https://other.example/secret-path", "WebhookEvents": ["test-created"]}
        world.upstream.registrations[TARGET] = stolen
        await world.work(1000)
        said = (await world.troubles())["registration"]
        assert "other.example" in said
        assert "secret-path" not in said
        await world.relay.api.ask("POST", f"{at}/registration", {}, expect=409)
        assert world.upstream.registrations[TARGET] == stolen
        await world.relay.api.ask("POST", f"{at}/registration", {"replace": True})
        assert await world.troubles() == {}
        status = await world.relay.api.ask("GET", at)
        assert status["registration"]["url"] == status["callback_url"]


async def test_a_registration_is_kept_where_that_is_wanted(valkey_url: str, tmp_path: Path) -> None:
    async with _world(valkey_url, tmp_path, keep_registered="true") as world:
        await world.sources.start()
        world.upstream.registrations[TARGET] = {"WebhookUrl": "https://other.example/", "WebhookEvents": []}
        await world.work(10)
        assert "/v1/sources/partner-center/fabrikam" in world.upstream.registrations[TARGET]["WebhookUrl"]
        assert await world.troubles() == {}


async def test_a_validation_event_shows_that_callbacks_arrive(valkey_url: str, tmp_path: Path) -> None:
    async with _world(valkey_url, tmp_path) as world:
        at = "/v1/sources/partner-center/fabrikam"
        await world.relay.api.ask("POST", f"{at}/registration", {})
        asked = asyncio.create_task(world.relay.api.ask("POST", f"{at}/test", {"wait_seconds": 30}))
        while not world.upstream.validations:
            await asyncio.sleep(0.02)
        uri = f"http://api.partnercenter.microsoft.com/webhooks/v1/registration/validationEvents/{secrets.token_hex(8)}"
        body = {"EventName": "test-created", "ResourceUri": uri, "ResourceName": "test", "AuditUri": None,
                "ResourceChangeUtcDate": "2017-11-16T16:19:06.3520276+00:00"}  # fmt: skip
        assert await world.upstream.call(world.relay.api.http, world.url(), body) == 200
        await world.work()
        assert (await asked)["arrived"] is True
        world.upstream.always("/webhooks", 429, {"Retry-After": "30"})
        await world.relay.api.ask("POST", f"{at}/test", {}, expect=429)
