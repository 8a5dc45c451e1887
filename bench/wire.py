"""What are the cheapest HTTP client and server to measure with?

A load generator and a sink on bare asyncio protocols, so that what is measured is the relay and not its
tools. They speak just enough HTTP/1.1 for these benchmarks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast


class _Caller(asyncio.Protocol):
    """One connection of the load generator: one request after the other."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._buffer.lower().find(b"content-length:", 0, head)
        length = int(self._buffer[at + 15 : self._buffer.find(b"\r", at)]) if at >= 0 else 0
        if len(self._buffer) < head + 4 + length:
            return
        self._load.answered(int(self._buffer[9:12]), time.perf_counter() - self._began)
        self._buffer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.gone()

    def _next(self) -> None:
        request = self._load.next()
        if request is None:
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(request)


class Load:
    """`total` requests over `connections` connections; `make(n)` gives the bytes of the n-th."""

    def __init__(self, make: Callable[[int], bytes], total: int, connections: int) -> None:
        self._make = make
        self._total = total
        self._connections = connections
        self._sent = 0
        self._open = connections
        self._done = asyncio.Event()
        self.rate = 0.0
        self.codes: dict[int, int] = {}
        self.seconds: list[float] = []

    def next(self) -> bytes | None:
        if self._sent >= self._total:
            return None
        self._sent += 1
        return self._make(self._sent - 1)

    def answered(self, code: int, seconds: float) -> None:
        self.codes[code] = self.codes.get(code, 0) + 1
        self.seconds.append(seconds)

    def gone(self) -> None:
        self._open -= 1
        if not self._open:
            self._done.set()

    async def run(self, host: str, port: int) -> float:
        """Send them all; requests a second."""
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        for _ in range(self._connections):
            await loop.create_connection(lambda: _Caller(self), host, port)
        await self._done.wait()
        return self._total / (time.perf_counter() - began)


_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Sink(asyncio.Protocol):
    """A receiver that answers 200 to whatever comes, and counts; on a path that begins with /hang it takes
    a request and never answers."""

    count = 0
    target = 0
    reached: asyncio.Event
    arrivals: dict[str, float] = {}
    keep_arrivals = False

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while True:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            at = self._buffer.lower().find(b"content-length:", 0, head)
            length = int(self._buffer[at + 15 : self._buffer.find(b"\r", at)])
            if len(self._buffer) < head + 4 + length:
                return
            if Sink.keep_arrivals:
                start = self._buffer.lower().find(b"webhook-id: ", 0, head) + 12
                name = self._buffer[start : self._buffer.find(b"\r", start)].decode()
                Sink.arrivals.setdefault(name, time.time())
            hangs = self._buffer.startswith(b"POST /hang")
            self._buffer = self._buffer[head + 4 + length :]
            if hangs:
                return
            self._transport.write(_OK)
            Sink.count += 1
            if Sink.count == Sink.target:
                Sink.reached.set()
            if not self._buffer:
                return
