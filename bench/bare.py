"""What could the machine do bare? `python -m bench.bare server PORT` or `client URL COUNT ENDPOINTS`.

The limits that the relay is measured against, in the same run: an aiohttp server that reads the same POST and
gives the same answer, and an aiohttp client that signs the same bodies, each with the secret of its endpoint, and
POSTs them to the same URLs in turn. Nothing is validated, stored or recorded.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import time

import uvloop
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

from bench.shapes import webhook_body

_AT_ONCE = 32


async def _server(port: int) -> None:
    async def post(request: web.Request) -> web.Response:
        posted = await request.json()
        return web.json_response({"id": posted["id"], "status": "accepted"}, status=202)

    app = web.Application()
    app.router.add_post("/v1/events", post)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    await asyncio.Event().wait()


async def _client(url: str, count: int, endpoints: int) -> None:
    urls = [f"{url}/p{n}" for n in range(endpoints)]
    keys = [hashlib.sha256(at.encode()).digest() for at in urls]
    bodies = [webhook_body(f"t-{n // 2}") for n in range(count)]
    left = count

    async with ClientSession(
        connector=TCPConnector(limit=_AT_ONCE), cookie_jar=DummyCookieJar(), auto_decompress=False
    ) as session:

        async def go() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                to, body = left % endpoints, bodies[left]
                now = str(int(time.time()))
                signed = hmac.digest(keys[to], f"evt-{left}.{now}.".encode() + body, hashlib.sha256)
                headers = {
                    "content-type": "application/json",
                    "webhook-id": f"evt-{left}",
                    "webhook-timestamp": now,
                    "webhook-signature": "v1," + base64.b64encode(signed).decode(),
                }
                async with session.post(urls[to], data=body, headers=headers, allow_redirects=False) as answer:
                    await answer.read()

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(go() for _ in range(_AT_ONCE)))
        seconds, used = time.perf_counter() - began, time.process_time() - cpu
    print(json.dumps({"rate": count / seconds, "cpu_us": used / count * 1e6}))


if __name__ == "__main__":
    if sys.argv[1] == "server":
        uvloop.run(_server(int(sys.argv[2])))
    else:
        uvloop.run(_client(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
