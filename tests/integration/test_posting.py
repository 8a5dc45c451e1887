"""A POST by the connector alone is the POST that aiohttp's own session would make."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from yarl import URL

from relay.dialer import open_session
from relay.egress import Policy
from relay.posting import Poster

LOOPBACK = Policy.of(["127.0.0.0/8"], allow_http=True)
HEADERS = {"content-type": "application/json", "user-agent": "u/1", "accept-encoding": "identity", "x-one": "a b"}
Told = tuple[str, dict[str, str], bytes]


class Listener:
    """Keeps what it is sent, byte for byte, and answers each request on the same connection."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                self.told.append((first, headers, await reader.readexactly(int(headers["content-length"]))))
                writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 2\r\nx-a: b\r\n\r\nok")
        except asyncio.IncompleteReadError:
            writer.close()


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with open_session(LOOPBACK, connect_timeout_s=5, total_timeout_s=30, keepalive_s=30, limit=4) as opened:
        yield opened


@pytest.mark.parametrize("path", ["", "/", "/hook", "/a%2Fb/%E8%AD%B2?x=1&y=%20", "/譲渡?名=値"])
@pytest.mark.parametrize("body", [b"", b"{}", b"\x00\r\n\r\n" * 50_000], ids=["empty", "small", "large"])
async def test_it_is_the_sessions_own_request(session: ClientSession, path: str, body: bytes) -> None:
    listener = Listener()
    async with await asyncio.start_server(listener, "127.0.0.1", 0) as server:
        url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}")
        poster = Poster(session, 5)
        answer = await poster.post(poster.line(url), HEADERS, body)
        assert (answer.status, answer.headers["x-a"], await answer.content.read()) == (201, "b", b"ok")
        answer.done()
        async with session.post(url, data=body, headers=HEADERS, allow_redirects=False) as usual:
            await usual.read()
        ours, theirs = listener.told
        assert ours == theirs
        assert listener.connections == 1


async def test_a_connection_whose_answer_has_not_ended_is_not_used_again(session: ClientSession) -> None:
    connections = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(endless, "127.0.0.1", 0) as server:
        poster = Poster(session, 5)
        line = poster.line(URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"))
        for _ in range(2):
            answer = await poster.post(line, HEADERS, b"{}")
            assert answer.status == 200
            answer.done()
    assert connections == 2


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb"])
async def test_no_header_begins_a_line_of_its_own(session: ClientSession, value: str) -> None:
    listener = Listener()
    async with await asyncio.start_server(listener, "127.0.0.1", 0) as server:
        poster = Poster(session, 5)
        line = poster.line(URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"))
        with pytest.raises(ValueError, match="line break"):
            await poster.post(line, {**HEADERS, "x-one": value}, b"{}")
        assert listener.connections == 0
