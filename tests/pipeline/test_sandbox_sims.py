"""Does every life of a SIM transfer go from the sandbox through the façade to both parties?

The operators' programs here are written from the published shapes of SORACOM's API alone, in plain HTTP.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from relay.config import load
from relay.logs import open_log
from relay.sandbox.serve import Sandbox, opened, serving, settings_of
from relay.sources.listening import Listening, hearing
from relay.sources.sims import transfer_id
from tests.pipeline.caller import OPERATOR
from tests.pipeline.inside import Inside, inside
from tests.pipeline.rig import environment
from tests.ports import free_port

SOURCE, TARGET = "OP0012345678", "OP0099999999"
DIGITS = {"type": "string", "pattern": r"^\d{14,15}$"}
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
PUBLISHED: dict[tuple[str, int], Any] = {
    ("issue", 200): {
        "type": "object", "required": ["token"],
        "properties": {"token": {"type": "string", "pattern": f"^{UUID}-{UUID}$"}},
    },
    ("verify", 200): {
        "type": "object", "required": ["transferredImsi"],
        "properties": {"transferredImsi": {"type": "array", "items": DIGITS}},
    },
    ("delete", 204): {"type": "null"},
    ("delete", 404): {
        "type": "object", "required": ["code", "message"],
        "properties": {"code": {"type": "string"}, "message": {"const": "Transfer token does not exist."}},
    },
    ("refused", 400): {
        "type": "object", "required": ["code", "message"],
        "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
    },
}  # fmt: skip
"""What the published definition says of the three operations' answers."""


@dataclass
class Program:
    """An operator's program: it signs in at the platform, and calls the three operations through the relay."""

    world: World
    id: str
    facade: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, operation: str, body: object = None, *, base: str = "") -> tuple[int, Any]:
        url = f"{base or self.facade}/v1/subscribers/transfer_token/{operation}"
        async with self.world.relay.api.http.request(method, url, json=body, headers=self.headers) as answer:
            text = await answer.text()
            said = json.loads(text) if text else None
        name = operation if operation in ("issue", "verify") else "delete"
        shape = PUBLISHED.get((name, answer.status)) or PUBLISHED["refused", 400]
        Draft202012Validator(shape).validate(said)
        await self.world.settle()
        return answer.status, said

    async def issue(self, imsis: list[str]) -> str:
        body = {
            "transferDestinationOperatorEmail": "root@northwind.example", "transferDestinationOperatorId": TARGET,
            "transferImsi": imsis,
        }  # fmt: skip
        status, said = await self.call("POST", "issue", body)
        assert status == 200, said
        return str(said["token"])


@dataclass
class World:
    relay: Inside
    sources: Listening
    sandbox: Sandbox
    url: str

    async def settle(self) -> None:
        """What follows has happened: time has passed at the platform, and in the relay."""
        await self.sandbox.turn()
        await self.sources.tick()
        await self.relay.sweep()

    async def drive(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        async with self.relay.api.http.request(method, f"{self.url}/sandbox{path}", json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status < 300, text
            said = json.loads(text) if text else None
        await self.settle()
        return said

    async def program(self, id_: str) -> Program:
        known = {one["id"]: one for one in (await self.drive("GET", "/soracom/credentials"))["data"]}[id_]
        body = {"email": known["email"], "password": known["password"]}
        async with self.relay.api.http.post(f"{self.url}/soracom/v1/auth", json=body) as answer:
            granted = await answer.json()
        assert granted["operatorId"] == id_
        headers = {"X-Soracom-API-Key": granted["apiKey"], "X-Soracom-Token": granted["token"]}
        facade = f"{self.relay.api.base}/v1/sources/soracom/jp-{known['facade_keys']['jp']}"
        return Program(self, id_, facade, headers)

    async def sims(self, count: int = 3) -> list[str]:
        return list((await self.drive("POST", "/soracom/sims", {"count": count}))["imsis"])

    async def watch(self, source: Program) -> None:
        """An Event Handler as SORACOM's own example has it, to the relay's address."""
        handler = {
            "targetOperatorId": SOURCE, "status": "active", "name": "Event handler", "description": "",
            "ruleConfig": {
                "type": "SimStatusAttributeRule", "properties": {"inactiveTimeoutDateConst": "NEVER", "sourceStatus": "ready"},
            },
            "actionConfigList": [
                {
                    "type": "ExecuteWebRequestAction",
                    "properties": {
                        "executionDateTimeConst": "IMMEDIATELY", "httpMethod": "POST", "url": f"{source.facade}/sim-status",
                        "contentType": "application/json",
                        "body": '{"text":"${imsi} status changed from ${oldStatus} to ${newStatus}"}',
                    },
                }
            ],
        }  # fmt: skip
        url = f"{self.url}/soracom/v1/event_handlers"
        async with self.relay.api.http.post(url, json=handler, headers=source.headers) as answer:
            assert answer.status == 201, await answer.text()

    def told(self, party: str) -> list[Any]:
        paths = f"/{party.lower()}-"
        return [json.loads(one.body) for one in self.relay.hooks.requests if one.path.lower().startswith(paths)]


@asynccontextmanager
async def playing(valkey_url: str, folder: Path) -> AsyncIterator[World]:
    port = free_port()
    settings = {"RELAY_SANDBOX__PORT": str(port), "RELAY_SANDBOX__FOLDER": str(folder / "sandbox")}
    config = load(None, environment(valkey_url, **settings))
    async with (
        opened(config, open_log(config.log)) as sandbox,
        serving(sandbox, config),
        inside(valkey_url, **settings_of(config)) as relay,
        hearing(relay.services) as sources,
    ):
        for party in (SOURCE, TARGET):
            await relay.api.register(party, relay.hooks)
        yield World(relay, sources, sandbox, config.sandbox.base_url)


@pytest.fixture
async def world(valkey_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with playing(valkey_url, tmp_path) as made:
        yield made


async def _life(world: World, name: str) -> tuple[list[str], list[str]]:
    """Plays it; the types that both are told, and the statuses of the SIMs at the end."""
    source, target = await world.program(SOURCE), await world.program(TARGET)
    await world.watch(source)
    sims = await world.sims()
    token = await source.issue(sims)
    match name:
        case "completed":
            assert await target.call("POST", "verify", {"token": token}) == (200, {"transferredImsi": sims})
            return ["created", "completed"], ["ready"] * 3
        case "one_connects":
            await world.drive("POST", f"/soracom/sims/{sims[1]}/connect", {})
            moved = {"transferredImsi": [sims[0], sims[2]]}
            assert await target.call("POST", "verify", {"token": token}) == (200, moved)
            return ["created", "partially_completed"], ["ready", "active", "ready"]
        case "one_left_out":
            await world.drive("POST", "/soracom/faults", {"kind": "leave_out", "item": 3})
            await target.call("POST", "verify", {"token": token})
            return ["created", "partially_completed"], ["ready", "ready", "failed"]
        case "canceled":
            assert (await target.call("DELETE", token))[0] == 404
            assert await source.call("DELETE", token) == (204, None)
            assert (await source.call("DELETE", token))[0] == 404
            return ["created", "canceled"], ["ready"] * 3
        case _:
            for imsi in sims:
                await world.drive("POST", f"/soracom/sims/{imsi}/connect", {})
            assert (await target.call("POST", "verify", {"token": token}))[0] == 404
            return ["created", "failed"], ["active"] * 3


@pytest.mark.parametrize("name", ["completed", "one_connects", "one_left_out", "canceled", "failed"])
async def test_every_life_is_told_as_the_contract_says(world: World, name: str) -> None:
    types, statuses = await _life(world, name)
    for party, role in ((SOURCE, "source"), (TARGET, "target")):
        told = world.told(party)
        assert [one["type"] for one in told] == [f"transfer.{type_}" for type_ in types]
        assert [one["data"]["sequence"] for one in told] == [1, 2]
        assert {one["data"]["role"] for one in told} == {role}
        transfer = told[-1]["data"]["transfer"]
        assert [item["status"] for item in transfer["items"]] == statuses
        assert transfer["target"]["email"] == "root@northwind.example"
        activity = await world.relay.api.all(f"/v1/partners/{party}/activity")
        assert sorted(one["type"] for one in activity if one["type"].startswith("transfer.")) == sorted(
            f"transfer.{type_}" for type_ in types
        )
    mailed = [mail.to for mail in world.relay.mail.messages]
    assert sorted(mailed) == ["agent@op0099999999.example", "root@northwind.example"], "only the creation, to the target"


async def test_what_the_platform_refuses_is_told_to_nobody(world: World) -> None:
    source, target = await world.program(SOURCE), await world.program(TARGET)
    sims = await world.sims(2)
    body = {
        "transferDestinationOperatorEmail": "else@northwind.example", "transferDestinationOperatorId": TARGET,
        "transferImsi": sims,
    }  # fmt: skip
    assert (await source.call("POST", "issue", body))[0] == 400
    assert (await target.call("POST", "verify", {"token": "no-such"}))[0] == 404
    source.headers["X-Soracom-Token"] = "expired"
    assert (await source.call("POST", "issue", body))[0] == 401
    assert world.told(SOURCE) == world.told(TARGET) == []


async def test_the_token_is_in_nothing_that_can_be_searched(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    source, target = await world.program(SOURCE), await world.program(TARGET)
    tokens = [await source.issue(await world.sims(1)) for _ in range(2)]
    await target.call("POST", "verify", {"token": tokens[0]})
    await source.call("DELETE", tokens[1])
    redis = world.relay.services.store.client.redis
    kept = b""
    async for key in redis.scan_iter(count=1000):
        kept += key
        match await redis.type(key):
            case b"hash":
                kept += repr(await redis.hgetall(key)).encode()
            case b"string":
                kept += await redis.get(key) or b""
            case b"zset":
                kept += repr(await redis.zrange(key, 0, -1)).encode()
            case b"list":
                kept += repr(await redis.lrange(key, 0, -1)).encode()
    shown = json.dumps([await world.drive("GET", path) for path in ("", "/soracom/notes")]).encode()
    sent = b"".join(one.body for one in world.relay.hooks.requests) + repr(world.relay.mail.messages).encode()
    logged = capfd.readouterr().err.encode()
    for token in tokens:
        assert transfer_id(token).encode() in kept
        for place in (kept, shown, sent, logged):
            assert not [part for part in token.split("-") if len(part) > 4 and part.encode() in place]


async def test_an_assisted_transfer_moves_at_the_beginning_of_a_month(world: World) -> None:
    (imsi,) = await world.sims(1)
    await world.drive("POST", f"/soracom/sims/{imsi}/connect", {})
    form = {"source": SOURCE, "target": TARGET, "email": "root@northwind.example", "imsis": [imsi]}
    applied = await world.drive("POST", "/soracom/assisted", form)
    await world.drive("POST", f"/soracom/assisted/{applied['id']}/accept", {})
    await world.drive("POST", "/clock", {"jump_seconds": 62 * 86_400})
    sims = (await world.drive("GET", ""))["systems"]["soracom"]["sims"]
    assert [(one["owner"], one["status"]) for one in sims if one["imsi"] == imsi] == [(TARGET, "active")]
