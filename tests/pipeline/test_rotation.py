"""Is a key replaced while the relay runs, without anything lost and with nothing left under the old one?"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis import Redis

from relay.embedded import EmbeddedValkey
from relay.signing import HmacKey, sign
from relay.vault import Vault
from tests.pipeline.caller import eventually
from tests.pipeline.events import step
from tests.pipeline.rig import Rig, environment

OLD, NEW = b"o" * 32, b"n" * 32
LINK = "https://a.example/accept?t=RotatedLink"


def ring(*keys: bytes) -> str:
    return json.dumps([base64.b64encode(key).decode() for key in keys])


async def relay(url: str, *words: str, keys: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], **environment(url, RELAY_SECRETS__KEYS=keys)},
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode()


async def restart(rig: Rig, keys: str) -> None:
    for name in ("web", "worker"):
        await rig.stop(name)
    rig._settings["RELAY_SECRETS__KEYS"] = keys
    for name in ("web", "worker"):
        rig.start(name)
    await rig.ready()


async def post_signed(rig: Rig, secret: str, event: dict[str, Any]) -> int:
    body, now = orjson.dumps(event), int(time.time())
    headers = {"webhook-id": "m", "webhook-timestamp": str(now)}
    headers["webhook-signature"] = sign("m", now, body, [HmacKey.parse(secret)])
    async with rig.api.http.post(f"{rig.api.base}/v1/events", data=body, headers=headers) as answer:
        return answer.status


async def test_a_key_is_replaced_under_load(valkey: EmbeddedValkey, valkey_url: str, tmp_path: Path) -> None:
    async with Rig(valkey, tmp_path, RELAY_SECRETS__KEYS=ring(OLD)) as rig:
        members = [
            await rig.api.register(name, rig.hooks, headers={"X-Api-Key": f"key-of-{name}"}) for name in ("contoso", "fabrikam")
        ]
        both = await rig.api.ask(
            "POST", "/v1/partners/contoso/endpoints", {"url": rig.hooks.url("/both"), "asymmetric": True}, expect=201
        )
        rig.hooks.expect(both["secret"], "/both")
        producer = await rig.api.ask("POST", "/v1/producers", {"name": "Centre"}, expect=201)
        rig.mail.will("rcpt", *["450 later"] * 3)  # a message waits, sealed, with its link
        sim = step("tr-sim", "created", 1, kind="sim", acceptance_url=LINK)
        sim["transfer"]["target"]["email"] = "root@fabrikam.example"
        await rig.api.post(sim)
        with Redis.from_url(valkey.url) as redis:

            async def waits() -> bool | None:
                return True if any(redis.hexists(k, "x") for k in redis.scan_iter("relay:{r:*}:d:*")) else None

            await eventually(waits, "a sealed message waits")

        await restart(rig, ring(OLD, NEW))
        await restart(rig, ring(NEW, OLD))
        posted, stop = 0, asyncio.Event()

        async def load() -> None:
            nonlocal posted
            while not stop.is_set():
                posted += 1
                assert await post_signed(rig, producer["secret"], step(f"tr-{posted}", "created", 1)) == 202
                if posted % 5 == 0:
                    headers = {"X-Api-Key": "key-of-contoso", "X-Number": str(posted)}
                    await rig.api.ask("PATCH", members[0].at, {"headers": headers})

        loading = asyncio.create_task(load())
        code, said = await relay(valkey_url, "keys", "rotate", keys=ring(NEW, OLD))
        stop.set()
        await loading
        assert code == 0, said
        assert posted > 3
        code, said = await relay(valkey_url, "keys", "status", keys=ring(NEW, OLD))
        assert code == 0 and ", 0 under another" in said and "endpoint: 3 under the first key" in said, said

        old = f"1.{Vault([OLD])._current}."
        with Redis.from_url(valkey.url) as redis:
            for key in redis.scan_iter("*"):
                kind = redis.type(key)
                if kind == b"hash":
                    assert not any(old.encode() in value for value in redis.hgetall(key).values()), key
                else:
                    assert old.encode() not in (redis.get(key) or b"" if kind == b"string" else b""), key

        await restart(rig, ring(NEW))
        assert await post_signed(rig, producer["secret"], step("tr-last", "created", 1)) == 202
        await rig.api.settled("tr-last")
        last = [one for one in rig.hooks.requests if b"tr-last" in one.body]
        assert {one.headers.get("X-Api-Key") for one in last} == {"key-of-contoso", "key-of-fabrikam", None}
        (mine,) = [d for d in await rig.api.all("/v1/transfers/tr-sim/deliveries") if d["email"] == "root@fabrikam.example"]
        await rig.api.ask("POST", f"/v1/deliveries/{mine['id']}/resend", {}, expect=202)

        async def linked() -> bool | None:
            return True if any(LINK.encode() in m.raw.replace(b"=\r\n", b"").replace(b"=3D", b"=") for m in rig.mail.messages) else None

        await eventually(linked, "the message that waited is sent, with its link")
        code, said = await relay(valkey_url, "keys", "status", keys=ring(OLD))
        assert code == 1 and "no key of secrets.keys opens it" in said


async def test_one_secret_that_no_key_opens_does_not_keep_other_producers_out(rig: Rig, valkey: EmbeddedValkey) -> None:
    lost, sound = [await rig.api.ask("POST", "/v1/producers", {"name": "Centre"}, expect=201) for _ in range(2)]
    with Redis.from_url(valkey.url) as redis:
        raw = json.loads(redis.hget("relay:{registry}:producers", lost["id"]))  # type: ignore[arg-type]
        raw["secrets"][0]["sealed"] = Vault([OLD]).seal(b"x", context="elsewhere")
        redis.hset("relay:{registry}:producers", lost["id"], json.dumps(raw))

    async def refused() -> bool | None:
        return True if await post_signed(rig, lost["secret"], step("tr-1", "created", 1)) == 401 else None

    await eventually(refused, "the secret is not known any more")
    assert await post_signed(rig, sound["secret"], step("tr-1", "created", 1)) == 202
    await rig.api.of(lost["token"]).post(step("tr-1", "updated", 2), expect=403)


@pytest.mark.parametrize("words", [("serve",), ("work",), ("keys", "rotate"), ("check",)])
async def test_nothing_starts_without_a_key(valkey_url: str, words: tuple[str, ...]) -> None:
    code, said = await relay(valkey_url, *words, keys="[]")
    assert code == 1 and "RELAY_SECRETS__KEYS" in said
