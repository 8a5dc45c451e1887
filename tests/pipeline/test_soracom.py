"""Does a SIM transfer that goes through the façade reach both parties, and its token nobody?"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from relay.sources.listening import Listening, hearing
from relay.sources.sims import status_change
from tests.pipeline.inside import Inside, inside

KEY = "k" * 40
SIMS = ["440100000000001", "440100000000002", "440100000000003"]
ISSUE = {
    "transferDestinationOperatorEmail": "root@northwind.example",
    "transferDestinationOperatorId": "OP0099999999",
    "transferImsi": SIMS,
}
CREDENTIALS = {"X-Soracom-API-Key": "api-key", "X-Soracom-Token": "caller-token"}


@dataclass
class Soracom:
    """The three operations of the API, on a real socket."""

    tokens: dict[str, list[str]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    moved: list[str] | None = None
    always: int = 0
    url: str = ""

    async def serve(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path, dict(request.headers)))
        if self.always:
            return web.json_response({"code": "X", "message": "no"}, status=self.always)
        if request.headers.get("X-Soracom-Token") != "caller-token":
            return web.json_response({"code": "AUM0001", "message": "Invalid token."}, status=401)
        operation = request.path.removeprefix("/v1/subscribers/transfer_token/")
        if request.method == "DELETE":
            if self.tokens.pop(operation, None) is None:
                return web.json_response({"code": "SEM0001", "message": "Transfer token does not exist."}, status=404)
            return web.Response(status=204)
        body = await request.json()
        if operation == "issue":
            token = f"{uuid.uuid4()}-{uuid.uuid4()}"
            self.tokens[token] = body["transferImsi"]
            return web.json_response({"token": token})
        return web.json_response({"transferredImsi": self.moved or self.tokens.pop(body["token"])})


@dataclass
class World:
    relay: Inside
    upstream: Soracom
    sources: Listening

    async def call(self, method: str, operation: str, json_: object = None, *, key: str = KEY, token: str = "caller-token") -> tuple[int, Any]:
        url = f"{self.relay.api.base}/v1/sources/soracom/jp-{key}/v1/subscribers/transfer_token/{operation}"
        headers = {**CREDENTIALS, "X-Soracom-Token": token}
        async with self.relay.api.http.request(method, url, json=json_, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def issue(self) -> str:
        status, answer = await self.call("POST", "issue", ISSUE)
        assert (status, set(answer)) == (200, {"token"})
        await self.relay.sweep()
        return str(answer["token"])

    async def status(self, body: str) -> int:
        url = f"{self.relay.api.base}/v1/sources/soracom/jp-{KEY}/sim-status"
        async with self.relay.api.http.post(url, data=body) as answer:
            await self.relay.sweep()
            return answer.status

    def told(self, path: str) -> list[Any]:
        return [json.loads(one.body) for one in self.relay.hooks.requests if one.path.startswith(f"/{path}-")]

    def types(self, path: str) -> list[str]:
        return [one["type"].removeprefix("transfer.") for one in self.told(path)]


@asynccontextmanager
async def _world(valkey_url: str, **more: str) -> AsyncIterator[World]:
    upstream, app = Soracom(), web.Application()
    app.router.add_route("*", "/{rest:.*}", upstream.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    operator = {"coverage": "jp", "operator_id": "OP0012345678", "name": "Kaiyo", "key": KEY}
    settings = {
        "RELAY_SOURCES__SORACOM__OPERATORS": json.dumps([operator]), "RELAY_SOURCES__SORACOM__JP_URL": upstream.url, **more
    }  # fmt: skip
    async with inside(valkey_url, **settings) as relay, hearing(relay.services) as sources:
        for name in ("OP0012345678", "OP0099999999"):
            await relay.api.register(name, relay.hooks)
        yield World(relay, upstream, sources)
    await runner.cleanup()


@pytest.fixture
async def world(valkey_url: str) -> AsyncIterator[World]:
    async with _world(valkey_url) as made:
        yield made


async def test_issue_and_verify_are_told_to_both(world: World) -> None:
    token = await world.issue()
    status, answer = await world.call("POST", "verify", {"token": token})
    assert (status, answer) == (200, {"transferredImsi": SIMS})
    await world.relay.sweep()
    for party, role in (("OP0012345678", "source"), ("OP0099999999", "target")):
        assert world.types(party) == ["created", "completed"]
        assert {one["data"]["role"] for one in world.told(party)} == {role}
    done = world.told("OP0099999999")[1]["data"]["transfer"]
    assert [(item["imsi"], item["status"]) for item in done["items"]] == [(imsi, "ready") for imsi in SIMS]
    assert {mail.to for mail in world.relay.mail.messages} == {"root@northwind.example", "agent@op0099999999.example"}
    assert {headers["X-Soracom-API-Key"] for *_, headers in world.upstream.asked} == {"api-key"}


async def test_fewer_sims_than_offered_are_a_partial_outcome(world: World) -> None:
    token = await world.issue()
    world.upstream.moved = SIMS[:2]
    await world.call("POST", "verify", {"token": token})
    await world.relay.sweep()
    assert world.types("OP0012345678") == ["created", "partially_completed"]
    items = world.told("OP0012345678")[1]["data"]["transfer"]["items"]
    assert [item["status"] for item in items] == ["ready", "ready", "failed"]


async def test_delete_cancels_the_whole_batch_and_answers_204(world: World) -> None:
    token = await world.issue()
    assert await world.call("DELETE", token) == (204, None)
    await world.relay.sweep()
    assert world.types("OP0099999999") == ["created", "canceled"]
    status, answer = await world.call("DELETE", token)
    assert (status, answer["message"]) == (404, "Transfer token does not exist.")


async def test_what_soracom_refuses_is_answered_as_it_says_and_told_to_nobody(world: World) -> None:
    assert await world.call("POST", "issue", ISSUE, token="wrong") == (401, {"code": "AUM0001", "message": "Invalid token."})
    world.upstream.always = 500
    assert (await world.call("POST", "issue", ISSUE))[0] == 500
    await world.relay.sweep()
    assert world.types("OP0012345678") == []


async def test_the_facade_is_no_open_proxy(world: World) -> None:
    base = f"{world.relay.api.base}/v1/sources/soracom"
    tries = [
        ("POST", f"{base}/jp-{'x' * 40}/v1/subscribers/transfer_token/issue"), ("POST", f"{base}/jp/v1/subscribers/transfer_token/issue"),
        ("POST", f"{base}/g-{KEY}/v1/subscribers/transfer_token/issue"), ("GET", f"{base}/jp-{KEY}/v1/subscribers"),
        ("POST", f"{base}/jp-{KEY}/v1/auth"), ("DELETE", f"{base}/jp-{KEY}/v1/subscribers/transfer_token/..%2F..%2Foperators"),
        ("DELETE", f"{base}/jp-{KEY}/v1/subscribers/transfer_token/a%3Fb"), ("GET", f"{base}/jp-{KEY}/v1/subscribers/transfer_token/issue"),
    ]  # fmt: skip
    for method, url in tries:
        async with world.relay.api.http.request(method, url, json=ISSUE, headers=CREDENTIALS) as answer:
            assert answer.status in (404, 405), (method, url, answer.status)
    assert world.upstream.asked == []


async def test_without_the_key_nothing_tells_that_there_is_a_facade(world: World) -> None:
    for key, media in ((KEY, "application/json"), ("x" * 40, "application/problem+json")):
        url = f"{world.relay.api.base}/v1/sources/soracom/jp-{key}/v1/subscribers/transfer_token/no%5Etoken"
        async with world.relay.api.http.delete(url, headers=CREDENTIALS) as answer:
            assert (answer.status, answer.content_type) == (404, media)
    assert world.upstream.asked == []


async def test_calls_are_limited(valkey_url: str) -> None:
    async with _world(valkey_url, RELAY_SOURCES__SORACOM__REQUESTS_PER_MINUTE="2") as world:
        assert [(await world.call("DELETE", "x-1"))[0] for _ in range(3)] == [404, 404, 429]
        world.relay.pass_time(61)
        assert (await world.call("DELETE", "x-1"))[0] == 404


async def test_a_sim_whose_status_changes_is_void_and_the_transfer_fails_when_none_is_left(world: World) -> None:
    await world.issue()
    assert await world.status('{"text":"440100000000001 status changed from ready to active"}') == 200
    assert await world.status(json.dumps({"imsi": SIMS[1], "oldStatus": "ready", "newStatus": "suspended"})) == 200
    assert await world.status(json.dumps({"imsi": "440109999999999", "newStatus": "active"})) == 200
    assert await world.status("nothing of use") == 200
    assert world.types("OP0012345678") == ["created"]
    await world.status(json.dumps({"imsi": SIMS[2], "newStatus": "active"}))
    assert world.types("OP0012345678") == world.types("OP0099999999") == ["created", "failed"]
    items = world.told("OP0012345678")[1]["data"]["transfer"]["items"]
    assert [item["status"] for item in items] == ["active", "suspended", "active"]


async def test_a_void_sim_is_the_rest_of_a_partial_outcome(world: World) -> None:
    token = await world.issue()
    await world.status(json.dumps({"imsi": SIMS[0], "newStatus": "active"}))
    world.upstream.moved = SIMS[1:]
    await world.call("POST", "verify", {"token": token})
    await world.relay.sweep()
    assert world.types("OP0012345678") == ["created", "partially_completed"]
    await world.status(json.dumps({"imsi": SIMS[1], "newStatus": "active"}))  # it is the destination's now
    assert world.types("OP0012345678") == ["created", "partially_completed"]


async def test_the_token_is_nowhere(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    tokens = [await world.issue(), await world.issue()]
    await world.call("DELETE", tokens[0])
    await world.call("POST", "verify", {"token": tokens[1]})
    world.upstream.always = 503
    await world.call("DELETE", tokens[1])
    await world.relay.sweep()
    redis = world.relay.services.store.client.redis
    kept = b""
    async for key in redis.scan_iter(count=1000):
        kept += key + (await redis.dump(key) or b"")
        kind = await redis.type(key)
        if kind == b"hash":
            kept += repr(await redis.hgetall(key)).encode()
        elif kind == b"string":
            kept += await redis.get(key) or b""
        elif kind == b"zset":
            kept += repr(await redis.zrange(key, 0, -1)).encode()
        elif kind == b"list":
            kept += repr(await redis.lrange(key, 0, -1)).encode()
    sent = b"".join(one.body for one in world.relay.hooks.requests) + repr(world.relay.mail.messages).encode()
    assert b"OP0099999999" in kept
    for token in tokens:
        for place in (kept, sent, capfd.readouterr().err.encode()):
            assert token.encode() not in place


async def test_the_operator_sees_each_facade_and_how_it_is_without_its_key(world: World) -> None:
    await world.relay.services.store.sources.put("soracom", "i:cut", b"{}", world.relay.clock())
    await world.sources.tick()
    (found,) = (await world.relay.api.ask("GET", "/v1/sources"))["data"]
    assert (found["source"], found["waiting"]) == ("soracom:jp:OP0012345678", 0)
    assert [trouble["kind"] for trouble in found["troubles"]] == ["uncertain"]
    assert KEY not in json.dumps(found) and "/v1/sources/soracom/jp-" in found["callback_url"]


async def test_an_upstream_that_is_away_is_told_and_one_that_was_cut_off_too(world: World) -> None:
    sources = world.relay.services.store.sources
    now = world.relay.clock()
    await sources.put("soracom", "i:cut", b'{"route": "transfer_token/issue", "operator": "OP0012345678"}', now)
    await world.sources.tick()
    (trouble,) = await sources.troubles("soracom")
    assert (trouble.kind, "OP0012345678" in trouble.detail) == ("uncertain", True)
    await world.issue()
    assert await sources.waiting("soracom") == 0


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"imsi":"440100000000001","newStatus":"active"}', (["440100000000001"], "active")),
        (b'{"IMSI":"440100000000001","oldStatus":"ready","status":"Active"}', (["440100000000001"], "active")),
        (b'{"text":"440100000000001 status changed from ready to active"}', (["440100000000001"], "active")),
        (b"440100000000001: ready -> terminated", (["440100000000001"], "terminated")),
        (b"{}", ([], "")),
        (b"\xff\xfe", ([], "")),
        (b'[{"imsi": 5}]', ([], "")),
    ],
)
def test_whatever_the_customer_typed_is_read(raw: bytes, said: tuple[list[str], str]) -> None:
    assert status_change(raw) == said
