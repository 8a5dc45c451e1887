"""A real SMTP server on loopback whose answers a test writes beforehand.

`SmtpFake` runs aiosmtpd's protocol in the test's own event loop. Every message it accepts is kept, and in
`offered` the bytes of every one that came as far as its final dot; a step may be scripted to answer something else, to say nothing, or to hang up. A script entry is used
once, in order; without one the step succeeds.
"""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections import defaultdict, deque
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

HANG_UP = "(hang up)"
SILENCE = "(silence)"


@dataclass(frozen=True)
class Received:
    """One accepted message: the envelope, the bytes and what they parse to."""

    sender: str
    to: str
    raw: bytes

    @property
    def parsed(self) -> EmailMessage:
        message = message_from_bytes(self.raw, policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message


@dataclass
class SmtpFake:
    """`refuse` has what RCPT is answered for an address; `script[step]` the answers of `connect`, `ehlo`, `mail`, `rcpt`, `data` and `rset`."""

    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    credentials: tuple[str, str] | None = None
    smtputf8: bool = True
    refuse: dict[str, str] = field(default_factory=dict)
    script: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    messages: list[Received] = field(default_factory=list)
    offered: list[bytes] = field(default_factory=list)
    connections: int = 0
    logins: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.BaseTransport] = field(default_factory=set)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        context = self.tls if self.implicit_tls else None
        self._server = await loop.create_server(self._protocol, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up_all()
        await self._server.wait_closed()

    def will(self, step: str, *answers: str) -> None:
        """What the next times of `step` are answered with."""
        self.script[step].extend(answers)

    def hang_up_all(self) -> None:
        """Closes every open connection, as a server does that was idle for too long."""
        for transport in list(self._open):
            transport.abort() if isinstance(transport, asyncio.WriteTransport) else transport.close()
        self._open.clear()

    @property
    def url(self) -> str:
        scheme = "smtps" if self.implicit_tls else "smtp"
        return f"{scheme}://127.0.0.1:{self.port}"

    async def next_message(self, within: float = 5) -> Received:
        """The latest message, waiting for one to arrive."""
        await asyncio.wait_for(self._arrived.wait(), within)
        return self.messages[-1]

    def _protocol(self) -> SMTP:
        self.connections += 1
        fake = self

        class Protocol(SMTP):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                fake._open.add(transport)
                super().connection_made(transport)

            async def _handle_client(self) -> None:
                answer = fake._next("connect")
                if answer is not None and self.transport is not None:
                    if answer == SILENCE:
                        await asyncio.Event().wait()
                    if answer != HANG_UP:
                        self.transport.write(answer.encode() + b"\r\n")  # type: ignore[attr-defined]
                    self.transport.close()
                    return
                await super()._handle_client()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # signing in without TLS is what some tests are about
            return Protocol(
                _Handler(self),
                hostname="mail.fake.example",
                ident="fake",
                enable_SMTPUTF8=self.smtputf8,
                decode_data=False,
                tls_context=None if self.implicit_tls else self.tls,
                auth_required=self.credentials is not None,
                auth_require_tls=False,
                authenticator=self._authenticate,
            )

    def _authenticate(self, *args: Any) -> AuthResult:
        data = args[-1]
        self.logins += 1
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self.credentials, handled=False)

    def _next(self, step: str) -> str | None:
        return self.script[step].popleft() if self.script[step] else None


class _Handler:
    """aiosmtpd's hooks, answering from the script."""

    def __init__(self, fake: SmtpFake) -> None:
        self._fake = fake

    async def _scripted(self, step: str, server: SMTP) -> str | None:
        answer = self._fake._next(step)
        if answer == HANG_UP:
            assert server.transport is not None
            server.transport.abort()  # type: ignore[attr-defined]
            await asyncio.Event().wait()
        if answer == SILENCE:
            await asyncio.Event().wait()
        return answer

    async def handle_MAIL(
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = await self._scripted("mail", server)
        if answer is None:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return answer or "250 OK"

    async def handle_RCPT(
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = await self._scripted("rcpt", server) or self._fake.refuse.get(address)
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_RSET(self, server: SMTP, _session: Session, _envelope: Envelope) -> str:
        return await self._scripted("rset", server) or "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self._fake.offered.append(envelope.content)
        answer = await self._scripted("data", server)
        if answer is None:
            content = envelope.content
            assert isinstance(content, bytes) and envelope.mail_from is not None
            self._fake.messages.append(Received(envelope.mail_from, envelope.rcpt_tos[0], content))
            self._fake._arrived.set()
        return answer or "250 2.0.0 queued"
