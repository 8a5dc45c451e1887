"""A POST by the connector alone is the POST that aiohttp's own session would make."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from aiohttp.http_exceptions import HttpProcessingError
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


class Scripted:
    """Says the next of `answers` to each request, whoever asks on whichever connection, and keeps what it was sent.
    `more` is written, unasked, to the connection that was answered last when `now` is set."""

    def __init__(self, *answers: bytes, reads: int = 2, more: bytes = b"") -> None:
        self.answers, self.reads, self.more = list(answers), reads, more
        self.now = asyncio.Event()
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(self.reads)
                writer.write(self.answers.pop(0))
                if self.more:
                    await self.now.wait()
                    writer.write(self.more)
                    self.more = b""
            await reader.read()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            writer.close()


OK, NO = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"


async def _statuses(session: ClientSession, listener: Scripted, *bodies: bytes) -> list[int]:
    async with await asyncio.start_server(listener, "127.0.0.1", 0) as server:
        poster = Poster(session, 5)
        line = poster.line(URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"))
        found = []
        for body in bodies:
            answer = await poster.post(line, HEADERS, body)
            found.append(answer.status)
            answer.done()
            if listener.more:
                (((waiting, _),),) = session.connector._conns.values()  # type: ignore[union-attr]
                listener.now.set()
                async with asyncio.timeout(30):
                    while not waiting.should_close:
                        await asyncio.sleep(0)
        return found


@pytest.mark.parametrize("more", [OK, OK[:-2], b"x", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["whole", "half", "junk", "endless"])
async def test_an_answer_that_came_before_its_request_is_nobodys(session: ClientSession, more: bytes) -> None:
    listener = Scripted(OK, NO, more=more)
    if more == OK[:-2]:  # what has only begun cannot be seen from outside; it is nobody's answer all the same
        listener.more = OK + more
    assert await _statuses(session, listener, b"{}", b"{}") == [200, 503]
    assert listener.connections == 2


async def test_a_connection_on_which_a_request_was_answered_too_early_is_not_used_again(session: ClientSession) -> None:
    # What has not been read of the body would be read as the next request.
    listener = Scripted(OK, NO)
    assert await _statuses(session, listener, b"x" * (64 << 20), b"{}") == [200, 503]
    assert listener.connections == 2


async def test_chunks_in_an_old_version_are_no_reason_to_keep_the_connection(session: ClientSession) -> None:
    old = b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    listener = Scripted(old, NO)
    assert await _statuses(session, listener, b"{}", b"{}") == [200, 503]
    assert listener.connections == 2


async def test_interim_answers_without_end_are_an_end(session: ClientSession) -> None:
    few, many = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 30, b"HTTP/1.1 100 Continue\r\n\r\n" * 5000
    assert await _statuses(session, Scripted(few + OK), b"{}") == [200]
    with pytest.raises(HttpProcessingError, match="interim"):
        await _statuses(session, Scripted(many + OK), b"{}")
