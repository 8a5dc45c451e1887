"""Do slow and silent connections keep anybody out?"""

from __future__ import annotations

import asyncio
import contextlib

from tests.pipeline.caller import eventually
from tests.pipeline.events import step
from tests.pipeline.rig import Rig

HOW_MANY = 500
HEADERS = b"POST /v1/events HTTP/1.1\r\nHost: x\r\n"
BODY = HEADERS + b"webhook-id: m\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,x\r\nContent-Length: 100000\r\n\r\n"


async def test_five_hundred_slow_connections_do_not_stop_a_producer(valkey: object, valkey_url: str, tmp_path: object) -> None:
    settings = {"RELAY_SERVER__HEADER_TIMEOUT_SECONDS": "3", "RELAY_SERVER__BODY_TIMEOUT_SECONDS": "3"}
    async with Rig(valkey, tmp_path, **settings) as rig:  # type: ignore[arg-type]
        port = int(rig.api.base.rpartition(":")[2])
        cut = 0
        stop = asyncio.Event()

        async def drip(number: int) -> None:
            """A byte now and then: of headers, of a body, or none at all."""
            nonlocal cut
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write((HEADERS, BODY, b"")[number % 3])
                ended = asyncio.ensure_future(reader.read())
                while not ended.done() and not stop.is_set():
                    if number % 3 < 2:
                        writer.write(b"x: y\r\n" if number % 3 == 0 else b" ")
                    await asyncio.wait([ended], timeout=0.5)
                if ended.done():
                    cut += 1
                ended.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await ended
            except ConnectionError:
                cut += 1
            finally:
                writer.close()

        slow = [asyncio.create_task(drip(number)) for number in range(HOW_MANY)]
        await rig.api.post(step("tr-0", "created", 1))
        assert cut < HOW_MANY, "none was left to stand in the way"
        for number in range(1, 50):
            await rig.api.post(step(f"tr-{number}", "created", 1))

        async def look() -> bool | None:
            return True if cut == HOW_MANY else None

        try:
            await eventually(look, f"all slow connections are cut; {cut} were")
        finally:
            stop.set()
            await asyncio.gather(*slow)
        await rig.api.settled("tr-49")
