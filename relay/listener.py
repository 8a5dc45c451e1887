"""How are connections taken, and which are cut off?

One whose first request does not come is cut, so that silent and slow ones in great number keep nobody out;
what comes too slowly after the headers is the handlers' to end, and what idles the server's.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from relay.config import Server

_BACKLOG = 1024
_LINGERING_S = 5.0
"""How long the rest of a body is still read after its request was answered, so that the answer arrives."""
_LOOKS = 4
"""How often a silent connection is looked at before it is cut."""


@asynccontextmanager
async def listening(app: web.Application, server: Server) -> AsyncIterator[None]:
    """Serve `app` where the settings say, for as long as this lasts."""
    _many_files()
    runner = web.AppRunner(
        app,
        auto_decompress=False,
        access_log=None,
        keepalive_timeout=server.keepalive_seconds,
        lingering_time=_LINGERING_S,
        handle_signals=False,
        shutdown_timeout=server.body_timeout_seconds,
    )
    await runner.setup()
    assert runner.server is not None  # there is one after the setup
    cutting = asyncio.create_task(_cut_silent(runner.server, server.header_timeout_seconds))
    try:
        await web.TCPSite(runner, server.host, server.port, backlog=_BACKLOG, reuse_port=False).start()
        yield
    finally:
        cutting.cancel()
        await runner.cleanup()


async def _cut_silent(server: web.Server, after_s: float) -> None:
    """Cut connections that have had no request for so long, a quarter more at most. Looked at now and then
    and all together: a timer each would cost those that are well."""
    now = asyncio.get_running_loop().time
    silent: dict[RequestHandler, float] = {}
    while True:
        await asyncio.sleep(after_s / _LOOKS)
        # The count is aiohttp's own; to count here what it counts would cost every request.
        found = [one for one in server.connections if one._request_count == 0]
        silent = {one: silent.get(one, now()) for one in found}
        for one, since in silent.items():
            if now() - since >= after_s and one.transport is not None:
                one.transport.abort()


def _many_files() -> None:
    """As many connections as the system lets this process have, not as many as a shell does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
