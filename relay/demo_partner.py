"""What do the partners of the demonstration do with a webhook?

A small server on this machine, one path a partner, that verifies each signature against that endpoint's
secret and says what it took. It asks for the same port at each start, so that what is owed from the
last one finds it, and lets a POST that comes before its partner knows the secret wait a little.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import orjson
from aiohttp import web

from relay.embedded import HOST
from relay.errors import SignatureError
from relay.signing import HmacKey, verify
from relay.supervise import Say

_PATIENCE_S: Final = 5.0  # for the secret; less than the relay waits for an answer


class Listeners:
    """Partners that verify what they are told. `trust` says by which secret."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._keys: dict[str, list[HmacKey]] = {}
        self._trusted = asyncio.Event()

    def trust(self, partner: str, secret: str) -> None:
        """`partner` verifies with this secret from now on."""
        self._keys[partner] = [HmacKey.parse(secret)]
        self._trusted.set()
        self._trusted = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        """A POST to the partner that the path names."""
        partner = request.match_info["partner"]
        body = await request.read()
        keys = await self._keys_of(partner)
        if keys is None:  # it is not told its secret yet: the relay tries again
            return web.Response(status=503)
        try:
            verify(request.headers, body, keys, now_s=int(time.time()))
        except SignatureError as error:
            self._say("partner", f"{partner} refuses: {error}")
            return web.Response(status=401)
        message = orjson.loads(body)
        data = message.get("data", {})
        what = f"{message['type']} of {data.get('transfer', {}).get('id', 'nothing')}"
        self._say(
            "partner", f"{partner} was told as {data.get('role', 'partner')}: {what}, signature verified"
        )
        return web.Response(status=204)

    async def _keys_of(self, partner: str) -> list[HmacKey] | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while partner not in self._keys:
                    await self._trusted.wait()
        return self._keys.get(partner)


class Receiver:
    """The partners' server; `async with Receiver(data, say) as receiver: receiver.url("fabrikam")`."""

    def __init__(self, data: Path, say: Say) -> None:
        self._kept = data / "demo-port"
        self._listeners = Listeners(say)
        self._port = 0
        app = web.Application()
        app.router.add_post("/{partner}", self._listeners.take)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    def url(self, partner: str) -> str:
        """Where `partner` is told."""
        return f"http://{HOST}:{self._port}/{partner}"

    def trust(self, partner: str, secret: str) -> None:
        """`partner` verifies with this secret from now on."""
        self._listeners.trust(partner, secret)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self._last_port()).start()
        except OSError:  # somebody else has that port now
            await web.TCPSite(self._runner, HOST, 0).start()
        self._port = self._runner.addresses[0][1]
        self._kept.write_text(str(self._port), "ascii")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def _last_port(self) -> int:
        try:
            return int(self._kept.read_text("ascii"))
        except (FileNotFoundError, ValueError):
            return 0
