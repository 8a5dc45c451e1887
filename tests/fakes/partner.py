"""What does a partner's endpoint receive, and what if it misbehaves?

A real HTTP server on a free port of loopback, with scripted answers. It keeps every request and verifies
every signature with the `standardwebhooks` and `svix` libraries, which the relay does not sign with; a
request that fails is answered 400, and leaving the `async with` block fails the test.

    async with Partner(secret=secret) as partner:
        partner.answers(Answer(500), Answer(429, headers={"Retry-After": "7"}))   # then 200 for ever
        ...
        request = await partner.next_request()
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import ssl
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import standardwebhooks
import svix.webhooks
from aiohttp import web
from multidict import CIMultiDictProxy

DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted answer. At most one of the faults is set.

    `delay_s` goes before anything is written. The faults: `drop` cuts the connection without an answer;
    `hang` never answers; `drip` sends the body a byte at a time and for ever more; `endless` never ends the
    body; `raw` writes these bytes instead of an HTTP answer, then closes; `raw_drip` writes them a byte at a time, then closes; `flood` repeats them until cut.
    `broken_body` announces more than is sent, then cuts. `close` ends the connection after the answer.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0
    close: bool = False
    drop: bool = False
    hang: bool = False
    drip: bool = False
    endless: bool = False
    broken_body: bool = False
    raw: bytes | None = None
    flood: bytes | None = None
    raw_drip: bytes | None = None

    @classmethod
    def gzip_bomb(cls, megabytes: int = 50) -> Answer:
        """A small compressed body that would unpack to `megabytes`."""
        packed = gzip.compress(bytes(megabytes << 20), compresslevel=9)
        return cls(headers={"Content-Encoding": "gzip"}, body=packed)


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came: `at_ms` is Unix milliseconds, `connection` tells connections apart; `together`
    counts the requests to this path that were not answered yet, itself included."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes
    at_ms: int
    connection: int
    together: int = 1

    @property
    def message_id(self) -> str:
        """Its `webhook-id`."""
        return self.headers["webhook-id"]


class Partner:
    """The scripted server, as an async context manager.

    `secret` is a `whsec_…` that every request must be signed with (`expect` sets it a path); None verifies
    nothing. With `real_time=False` the age of a signature is not judged, for tests that move the clock.
    """

    def __init__(
        self, *, secret: str | None = None, tls: ssl.SSLContext | None = None, real_time: bool = True
    ) -> None:
        self.requests: list[Received] = []
        self.problems: list[str] = []
        self._secret = secret
        self._secrets: dict[str, str] = {}
        self._tls = tls
        self._real_time = real_time
        self._queues: dict[str | None, deque[Answer]] = defaultdict(deque)
        self._always: dict[str | None, Answer] = {}
        self._only: dict[tuple[str, str], Answer] = {}
        self._released = asyncio.Event()
        self._arrived = asyncio.Condition()
        self._taken = 0
        self._open: Counter[str] = Counter()
        self._connections: dict[object, int] = {}
        self._numbers = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/{rest:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        if error is None:
            assert not self.problems, self.problems

    def url(self, path: str = "/hook", *, host: str = "127.0.0.1") -> str:
        """Where to POST to; `host` may be `localhost` for tests about names."""
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}{path}"

    def expect(self, secret: str, path: str) -> None:
        """Requests to `path` must be signed with this `whsec_…` from now on."""
        self._secrets[path] = secret

    def answers(self, *answers: Answer, path: str | None = None) -> None:
        """Answers to give next, once each, in order; to one `path` or to any."""
        self._queues[path].extend(answers)

    def always(self, answer: Answer, path: str | None = None) -> None:
        """What to answer when nothing is queued; 200 until this is called."""
        self._always[path] = answer

    def only(self, answer: Answer, path: str, *, ids: set[str]) -> None:
        """What these messages are always answered, whatever is queued."""
        self._only.update({(path, message): answer for message in ids})

    def release(self) -> None:
        """What hangs is answered now, and nothing hangs any more."""
        self._released.set()

    async def next_request(self, timeout: float = DEADLINE_S) -> Received:
        """The first request that this has not returned yet; TimeoutError when none comes."""
        self._taken += 1
        return (await self.wait_for(self._taken, timeout))[self._taken - 1]

    async def wait_for(self, count: int, timeout: float = DEADLINE_S) -> list[Received]:
        """All requests, once there are `count`; TimeoutError when that many do not come."""
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)
            return list(self.requests)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self._open[request.path] += 1
        try:
            return await self._take(request)
        finally:
            self._open[request.path] -= 1

    async def _take(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        if transport not in self._connections:
            self._connections[transport] = next(self._numbers)
        received = Received(
            request.method,
            request.path,
            request.headers,
            await request.read(),
            time.time_ns() // 1_000_000,
            self._connections[transport],
            self._open[request.path],
        )
        problem = self._problem(received)
        async with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        if problem is not None:
            self.problems.append(problem)
            return web.Response(status=400, text=problem)
        only = self._only.get((received.path, received.headers.get("webhook-id", "")))
        return await self._answer(request, only or self._next(received.path))

    def _next(self, path: str) -> Answer:
        for key in (path, None):
            if self._queues[key]:
                return self._queues[key].popleft()
        return self._always.get(path) or self._always.get(None) or Answer()

    def _problem(self, received: Received) -> str | None:
        secret = self._secrets.get(received.path, self._secret)
        if secret is None:
            return None
        try:
            verify_with_libraries(secret, received, real_time=self._real_time)
        except (standardwebhooks.WebhookVerificationError, ValueError, KeyError) as error:
            return f"{received.path} {received.headers.get('webhook-id')}: {type(error).__name__} {error}"
        return None

    async def _answer(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.hang:
            await self._released.wait()
        if answer.drop:
            transport.abort()
        if answer.raw is not None:
            transport.write(answer.raw)
            transport.close()
        for byte in answer.raw_drip or b"":
            if transport.is_closing():
                break
            transport.write(bytes([byte]))
            await asyncio.sleep(0.01)
        if answer.raw_drip is not None:
            transport.close()
        while answer.flood is not None and not transport.is_closing():
            transport.write(answer.flood)
            await asyncio.sleep(0.01)
        if answer.drop or answer.raw is not None or answer.raw_drip is not None or answer.flood is not None:
            return web.Response(status=500)  # goes nowhere: the connection is closed
        if answer.drip or answer.endless or answer.broken_body:
            return await self._stream(request, answer)
        response = web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        if answer.close:
            response.force_close()
        return response

    async def _stream(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        if answer.broken_body:
            response.content_length = len(answer.body) + 1000
        await response.prepare(request)
        async for chunk in _chunks(answer):
            await response.write(chunk)
        assert request.transport is not None
        request.transport.abort()
        return response


async def _chunks(answer: Answer) -> AsyncIterator[bytes]:
    if answer.broken_body:
        yield answer.body
        return
    if answer.endless:
        while True:
            yield b"x" * 65_536
    for byte in answer.body:
        yield bytes([byte])
        await asyncio.sleep(0.01)
    while True:
        yield b"."
        await asyncio.sleep(0.05)


def verify_with_libraries(secret: str, received: Received, *, real_time: bool = True) -> None:
    """Raises unless both libraries find the request signed with `secret` (and, in `real_time`, fresh)."""
    headers = dict(received.headers)
    standard, other = standardwebhooks.Webhook(secret), svix.webhooks.Webhook(secret)
    if real_time:
        standard.verify(received.body, headers)
        other.verify(received.body, headers)
        return
    moment = datetime.fromtimestamp(int(received.headers["webhook-timestamp"]), tz=UTC)
    body, given = received.body.decode(), received.headers["webhook-signature"].split(" ")
    for signed in (
        standard.sign(received.message_id, moment, body),
        other.sign(received.message_id, moment, body),
    ):
        if signed not in given:
            raise ValueError("no signature of this secret")


def ids(requests: Iterable[Received]) -> list[str]:
    """The `webhook-id`s, in order of arrival."""
    return [request.message_id for request in requests]
