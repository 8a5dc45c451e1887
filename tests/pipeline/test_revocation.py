"""How soon is what was revoked refused by a process that did not revoke it?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson

from relay.embedded import EmbeddedValkey
from relay.signing import HmacKey, sign
from tests.pipeline.caller import Caller
from tests.pipeline.events import step
from tests.pipeline.rig import Rig

AT_MOST_S = 1.0


async def test_what_is_revoked_in_one_process_is_refused_by_another_within_a_second(
    valkey: EmbeddedValkey, valkey_url: str, tmp_path: Path
) -> None:
    # It is asked again and again, faster than who fails may ask.
    async with Rig(valkey, tmp_path, RELAY_LIMITS__FAILURES_PER_MINUTE="0") as rig:
        await revoke_and_ask(rig)


async def revoke_and_ask(rig: Rig) -> None:
    other = await rig.start_another_web()
    partner = await rig.api.register("contoso")
    await rig.api.register("fabrikam")
    producers = [await rig.api.ask("POST", "/v1/producers", {"name": "Centre"}, expect=201) for _ in range(2)]
    spare = await rig.api.ask("POST", "/v1/partners/fabrikam/tokens", {}, expect=201)
    token = next(iter((await rig.api.ask("GET", f"/v1/producers/{producers[0]['id']}/tokens"))["data"]))["id"]
    calls = {
        "a partner's token": (lambda: asks(other.of(spare["token"])), f"/v1/partners/fabrikam/tokens/{spare['id']}"),
        "a producer's token": (lambda: posts(other.of(producers[0]["token"])), f"/v1/producers/{producers[0]['id']}/tokens/{token}"),
        "a producer's secret": (lambda: signs(other, producers[1]["secret"]), f"/v1/producers/{producers[1]['id']}"),
        "a partner": (lambda: asks(other.of(partner.caller.token)), "/v1/partners/contoso"),
    }  # fmt: skip

    async def revoke(what: str, call: Callable[[], Awaitable[int]], path: str) -> None:
        for _ in range(3):
            assert await call() in (200, 202), what  # it is in the other process's cache now
        await rig.api.ask("DELETE", path, expect=204)
        revoked = last_good = time.monotonic()
        slowest = 0.0
        while time.monotonic() - revoked < 2 * AT_MOST_S + slowest:
            asked = time.monotonic()
            if await call() in (200, 202):
                last_good = asked
            slowest = max(slowest, time.monotonic() - asked)
        # On a machine so busy that a call takes long, the other's look at the database does too.
        assert last_good - revoked < AT_MOST_S + slowest, what
        assert await call() == 401, what

    await asyncio.gather(*(revoke(what, call, path) for what, (call, path) in calls.items()))


async def asks(api: Caller) -> int:
    status, _ = await api.raw("GET", "/v1/transfers")
    return status


async def posts(api: Caller) -> int:
    status, _ = await api.raw("POST", "/v1/events", step("tr-1", "created", 1))
    return status


async def signs(api: Caller, secret: str) -> int:
    body, now = orjson.dumps(step("tr-2", "created", 1)), int(time.time())
    signature = sign("m", now, body, [HmacKey.parse(secret)])
    headers = {"webhook-id": "m", "webhook-timestamp": str(now), "webhook-signature": signature}
    async with api.http.post(f"{api.base}/v1/events", data=body, headers=headers) as answer:
        return answer.status
