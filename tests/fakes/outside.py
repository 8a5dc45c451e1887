"""What does the outside do that the relay connects to: a DNS server that changes its mind, a forward proxy,
a port that counts who comes?

All on loopback and on real sockets.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Self

_A, _AAAA = 1, 28


class Dns(asyncio.DatagramProtocol):
    """A DNS server on UDP. Each question is answered with the next entry of `script`, the last for ever.

    `lookup` asks it, and stands in for `socket.getaddrinfo`.
    """

    def __init__(self, *script: list[str]) -> None:
        self._script = list(script)
        self.asked: list[str] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there; `__aenter__` keeps its transport."""

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        name, end = _name(data, 12)
        (wanted,) = struct.unpack_from(">H", data, end)
        if wanted == _A:
            self.asked.append(name)
        found = self._script[0] if len(self._script) == 1 or wanted != _A else self._script.pop(0)
        packed = [ip_address(text).packed for text in found]
        records = [raw for raw in packed if len(raw) == (4 if wanted == _A else 16)]
        answer = struct.pack(">2sHHHHH", data[:2], 0x8180, 1, len(records), 0, 0) + data[12 : end + 4]
        for raw in records:  # a pointer to the question's name, class IN, a time to live of 0
            answer += struct.pack(">HHHIH", 0xC00C, wanted, 1, 0, len(raw)) + raw
        self._transport.sendto(answer, addr)

    def lookup(self, host: str, port: int, family: int, kind: int) -> list[Any]:
        """Every address of `host`, as this server says. Blocking."""
        found: list[Any] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(30)
            for wanted in (_A, _AAAA):
                labels = b"".join(bytes([len(part)]) + part.encode() for part in host.split("."))
                question = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0"
                asking.sendto(question + struct.pack(">HH", wanted, 1), ("127.0.0.1", self.port))
                for raw in _addresses(asking.recv(4096)):
                    text = str(ip_address(raw))
                    found.append(
                        (socket.AF_INET, kind, 0, "", (text, port))
                        if len(raw) == 4
                        else (socket.AF_INET6, kind, 0, "", (text, port, 0, 0))
                    )
        return found


def _name(data: bytes, at: int) -> tuple[str, int]:
    labels = []
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels), at + 1


def _addresses(answer: bytes) -> Iterator[bytes]:
    (count,) = struct.unpack_from(">H", answer, 6)
    at = _name(answer, 12)[1] + 4
    for _ in range(count):
        (length,) = struct.unpack_from(">H", answer, at + 10)
        yield answer[at + 12 : at + 12 + length]
        at += 12 + length


class _Listening:
    """A server that leaves nothing open behind it."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host, self.port = host, port
        self._handlers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            await self.serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            await _shut(writer)
            self._handlers.discard(task)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        raise NotImplementedError


async def _shut(writer: asyncio.StreamWriter) -> None:
    try:
        if writer.can_write_eof():
            await writer.drain()
        writer.close()
        await writer.wait_closed()
    except (ConnectionError, asyncio.CancelledError):
        writer.transport.abort()


class Counting(_Listening):
    """A port of 127.0.0.1 (or `host`) that counts who connects, and answers 200 to whatever is sent."""

    connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Counts it."""
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()


class Proxy(_Listening):
    """A forward proxy that knows one place: every CONNECT and every absolute URL is taken to `to` (a port of
    127.0.0.1), or answered with `refusal`."""

    def __init__(self, to: int, refusal: bytes | None = None, *, port: int = 0) -> None:
        super().__init__(port=port)
        self._to, self._refusal = to, refusal
        self.asked: list[str] = []
        self.heads: list[bytes] = []

    @property
    def url(self) -> str:
        """As it is set."""
        return f"http://relay:pass@proxy.contoso.com:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes one request where it is to go."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b" ", 2)
        self.asked.append(f"{method.decode()} {target.decode()}")
        self.heads.append(head)
        if self._refusal is not None:
            writer.write(self._refusal)
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._to)
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            inner_writer.write(head)
        there = asyncio.ensure_future(_pump(reader, inner_writer))
        try:
            await _pump(inner_reader, writer)
        finally:
            there.cancel()
            await asyncio.gather(there, return_exceptions=True)
            await _shut(inner_writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass


_seen: list[list[Any]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _seen and arguments[0].type & socket.SOCK_STREAM:
        for watch in _seen:
            watch.append(arguments[1])


sys.addaudithook(_audit)  # cannot be taken away again, and costs nothing while nobody watches


@contextmanager
def connections() -> Iterator[list[Any]]:
    """Every address that this process connects a TCP socket to meanwhile, wherever it leads."""
    watch: list[Any] = []
    _seen.append(watch)
    try:
        yield watch
    finally:
        _seen.remove(watch)
