"""How does one POST go out over a guarded session, at little more than the price of its bytes?

`ClientSession.post` is made for clients that keep cookies, follow redirects, upload streams and change their
minds; for a signed POST of a few kilobytes it costs three times what the socket does. Here the session's own
connector finds the connection (with its guard, its pool, its TLS and its time-outs), aiohttp's own parser
reads the answer, and between them are only the bytes. Through a forward proxy, which is asked in other words,
the session posts as ever.

A host may be shared by several partners, and so is its connection. Whatever could be taken for the answer to
another's POST closes it (RFC 9112, sections 6.1, 9.2 and 9.3): bytes that nobody asked for, an answer that has not
ended or whose framing is doubtful, and a request that was answered before all of it had left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp import ClientRequest, ClientResponse, ClientSession, ClientTimeout, StreamReader
from aiohttp.connector import Connection
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import BadHttpMessage
from multidict import CIMultiDictProxy, istr
from yarl import URL

from relay.dialer import GuardedConnector

_LONGEST_LINE: Final = 8190
"""Bytes of a status line or of one header, as aiohttp's own session bounds them."""
_MOST_INTERIM: Final = 32
"""How many 1xx may come before the answer: each costs us more than it costs who sends it."""
_TRANSFER_ENCODING: Final = istr("transfer-encoding")


class Line:
    """Where the POSTs to one URL go: what finds their connections, and the head that all of them begin with."""

    __slots__ = ("head", "request", "url")

    def __init__(self, session: ClientSession, url: URL) -> None:
        self.url = url
        self.request = ClientRequest("POST", url, loop=asyncio.get_running_loop(), session=session)
        self.head = (
            f"POST {url.raw_path_qs} HTTP/1.1\r\nhost: {url.host_port_subcomponent}\r\naccept: */*\r\n"
        )


class Answered:
    """The head of a final answer, and what follows it. `done` must be called, once. `once`: its connection serves no
    other request."""

    __slots__ = ("_on", "_once", "content", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: CIMultiDictProxy[str],
        content: StreamReader,
        on: Connection | ClientResponse,
        once: bool = False,
    ) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        self._on = on
        self._once = once

    def done(self) -> None:
        """Give the connection back, or close it where the answer has not ended."""
        if self.content.is_eof() and not self._once:
            self._on.release()
        else:
            self._on.close()


class Poster:
    """Posts over one session, which stays its owner's. `connect_timeout_s` is for each connection made; the
    time for the rest is the caller's to bound, by cancelling."""

    def __init__(self, session: ClientSession, connect_timeout_s: float | None) -> None:
        self._session = session
        self._timeout = ClientTimeout(total=None, sock_connect=connect_timeout_s)
        connector = session.connector
        self._connector = (
            connector if isinstance(connector, GuardedConnector) and not connector.is_proxied else None
        )

    def line(self, url: URL) -> Line:
        """To be kept for as long as the URL is called."""
        return Line(self._session, url)

    async def post(self, line: Line, headers: Mapping[str, str], body: bytes) -> Answered:
        """The head of the answer. Raises what aiohttp's connector and parser raise: `aiohttp.ClientError`,
        `OSError`, and `HttpProcessingError` for what is no HTTP. ValueError where a header breaks its line,
        RuntimeError when the session is closed."""
        if self._connector is None:
            answer = await self._session.post(
                line.url, data=body, headers=headers, allow_redirects=False, timeout=self._timeout
            )
            return Answered(answer.status, answer.headers, answer.content, answer)
        if self._session.closed:
            raise RuntimeError("the session is closed")
        head = [line.head, f"content-length: {len(body)}\r\n"]
        head += [f"{name}: {value}\r\n" for name, value in headers.items()]
        head.append("\r\n")
        text = "".join(head)
        if text.count("\n") != len(headers) + 5 or text.count("\r") != len(headers) + 5:
            raise ValueError("a header with a line break in it")
        connection = await self._connector.connect(line.request, [], self._timeout)
        while (protocol := connection.protocol) is not None and protocol.should_close:
            connection.close()  # something came that nobody asked for, while it was not used
            connection = await self._connector.connect(line.request, [], self._timeout)
        try:
            transport = connection.transport
            assert protocol is not None
            protocol.set_response_params(
                read_until_eof=True,
                auto_decompress=False,
                max_line_size=_LONGEST_LINE,
                max_field_size=_LONGEST_LINE,
            )
            if transport is None or transport.is_closing():
                raise aiohttp.ClientConnectionResetError("the connection was closed while it was not used")
            transport.write(text.encode("latin-1") + body)
            for _ in range(_MOST_INTERIM):
                message, content = await protocol.read()
                if not 100 <= message.code < 200 or message.code == 101:
                    # Framed by chunks in a version that knows none, or answered before all of it was read.
                    doubtful = message.version < HttpVersion11 and _TRANSFER_ENCODING in message.headers
                    once = doubtful or transport.get_write_buffer_size() > 0
                    return Answered(message.code, message.headers, content, connection, once)
            raise BadHttpMessage("too many interim answers")
        except BaseException:
            connection.close()
            raise
