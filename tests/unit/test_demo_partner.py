"""What do the partners of the demonstration do with what is owed to them from the last time?"""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from relay.demo_partner import Listeners, Receiver
from relay.signing import HmacKey, sign

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
BODY = b'{"type":"relay.ping","data":{}}'


def signed() -> dict[str, str]:
    now = int(time.time())
    return {
        "webhook-id": "ping-1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign("ping-1", now, BODY, [HmacKey.parse(SECRET)]),
    }


async def test_a_post_that_comes_before_the_secret_waits_for_it() -> None:
    listeners, arrived = Listeners(lambda source, line: None), asyncio.Event()

    async def take(request: web.Request) -> web.StreamResponse:
        arrived.set()
        return await listeners.take(request)

    app = web.Application()
    app.router.add_post("/{partner}", take)
    async with TestServer(app) as server, ClientSession() as http, asyncio.timeout(30):
        early = asyncio.create_task(http.post(server.make_url("/fabrikam"), data=BODY, headers=signed()))
        await arrived.wait()
        listeners.trust("contoso", SECRET)
        listeners.trust("fabrikam", SECRET)
        async with await early as answer:
            assert answer.status == 204


async def test_the_partners_listen_where_they_did_the_last_time(tmp_path: Path) -> None:
    async with Receiver(tmp_path, lambda source, line: None) as receiver:
        first = receiver.url("fabrikam")
    async with Receiver(tmp_path, lambda source, line: None) as receiver:
        assert receiver.url("fabrikam") == first
