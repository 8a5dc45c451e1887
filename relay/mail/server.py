"""What did one mail server do with one message?

A small pool of connections to it, one transaction at a time on each, one recipient a transaction, the built bytes
as they are. Whatever the server does is an `Ending` with its verdict; nothing is raised and nothing tried twice in
here. Only what is lost once the final dot was handed over is ambiguous. Credentials are in no ending, error or log.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import unquote, urlsplit

from aiosmtplib import SMTP
from aiosmtplib.errors import SMTPException, SMTPResponseException, SMTPServerDisconnected, SMTPTimeoutError
from aiosmtplib.protocol import SMTPProtocol
from aiosmtplib.response import SMTPResponse

from relay.errors import ConfigError
from relay.gate import Gate
from relay.mail.trust import why_insecure
from relay.mail.verdict import Fault, Step, Verdict, of_babble, of_loss, of_reply
from relay.model import Outcome

MESSAGES_PER_CONNECTION = 50
"""A connection is used for so many messages and then replaced."""

_GO_AHEAD = 354
_GOODBYE_S = 5.0
_NOT_ENCRYPTED = "credentials are configured, but the connection is not encrypted: they were not sent"
_FIRST_DOT = re.compile(rb"(?m)^\.")


class Sendable(Protocol):
    """What is sent: built bytes and their envelope (`relay.mail.compose.Composed` is one)."""

    @property
    def raw(self) -> bytes: ...
    @property
    def sender(self) -> str: ...
    @property
    def to(self) -> str: ...
    @property
    def smtputf8(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail goes: the parts of a URL. The password is never shown."""

    host: str
    port: int
    tls: bool
    username: str
    password: str = field(repr=False)

    @property
    def local(self) -> bool:
        """Whether the way there does not leave this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_url(url: str, setting: str = "mail.url") -> Server:
    """The server that `smtp://[user:password@]host[:port]` or `smtps://…` names; ConfigError if none.

    The port is 25, or 465 for `smtps`. The message never repeats the URL, which may hold a password.
    """
    wrong = ConfigError([f"{setting}: give smtp://user:password@host:port or smtps://…"])
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError:
        raise wrong from None
    if split.scheme not in ("smtp", "smtps") or not host or split.path not in ("", "/") or split.query:
        raise wrong
    tls = split.scheme == "smtps"
    return Server(
        host, port or (465 if tls else 25), tls, unquote(split.username or ""), unquote(split.password or "")
    )


@dataclass(frozen=True, slots=True)
class Manner:
    """How a server is spoken to. `hello` is the relay's name in EHLO; `start_tls` as in the settings."""

    hello: str
    start_tls: str
    tls_context: ssl.SSLContext
    connections: int
    connect_timeout_s: float
    command_timeout_s: float
    data_timeout_s: float


@dataclass(frozen=True, slots=True)
class Ending:
    """How a transaction ended, and what the server said to end it."""

    verdict: Verdict
    detail: str
    code: int | None = None
    answer: str = ""


class _Ended(Exception):
    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.detail)
        self.ending = ending


def _server_fault(detail: str) -> _Ended:
    return _Ended(Ending(Verdict(Outcome.TRANSPORT_DOWN, Fault.SURE), detail))


@dataclass(slots=True)
class _Line:
    """One connection: how far it came, and how many messages it has carried. `whole`: the final dot of the message
    at hand was handed over."""

    smtp: SMTP
    used: int = 0
    step: Step = Step.CONNECT
    whole: bool = False

    @property
    def protocol(self) -> SMTPProtocol:
        """The open connection; SMTPServerDisconnected when it is not."""
        if self.smtp.protocol is None:
            raise SMTPServerDisconnected("Connection lost")
        return self.smtp.protocol


class MailServer:
    """One server and its pool. At most `connections` transactions run at a time."""

    def __init__(self, server: Server, manner: Manner) -> None:
        self._server = server
        self._manner = manner
        self._idle: list[_Line] = []
        self._closed = False
        self.turns = Gate(manner.connections)

    async def carry(self, message: Sendable) -> Ending:
        """One transaction; hold one of `turns` meanwhile."""
        try:
            reply = await self._transaction(message)
        except _Ended as ended:
            return ended.ending
        return Ending(Verdict(Outcome.ACCEPTED), "the mail server accepted the message", reply.code, reply.message)

    async def probe(self) -> Ending | None:
        """What keeps mail from being handed over, None when nothing does."""
        try:
            line = await self._connect()
        except _Ended as ended:
            return ended.ending
        await self._farewell(line)
        return None

    async def close(self) -> None:
        """Says goodbye on every idle connection; one in use is closed when its transaction ends."""
        self._closed = True
        while self._idle:
            await self._farewell(self._idle.pop())

    async def _transaction(self, message: Sendable) -> SMTPResponse:
        line = await self._take()
        reusable = False
        smtp = line.smtp
        try:
            options = ["SMTPUTF8"] if message.smtputf8 else []
            encoding = "utf-8" if message.smtputf8 else "ascii"
            if message.smtputf8 and not smtp.supports_extension("smtputf8"):
                reusable = True
                unsupported = Verdict(Outcome.ADDRESS_UNSUPPORTED)
                raise _Ended(Ending(unsupported, "the mail server does not take addresses outside ASCII"))
            line.step = Step.MAIL
            await smtp.mail(message.sender, options=options, encoding=encoding)
            line.step = Step.RCPT
            await smtp.rcpt(message.to, encoding=encoding)
            reply = await self._data(line, message.raw)
            line.used += 1
            reusable = True
            return reply
        except SMTPResponseException as refused:
            reusable = smtp.is_connected and refused.code > 0 and refused.code != 421
            raise _refusal(line.step, refused) from refused
        except (SMTPException, OSError, ValueError) as lost:
            raise _loss(line, lost) from lost
        finally:
            await self._give_back(line, reusable=reusable)

    async def _data(self, line: _Line, raw: bytes) -> SMTPResponse:
        """DATA, the message and the final dot, and the answer to that (RFC 5321, 4.1.1.4)."""
        manner = self._manner
        line.step = Step.DATA
        reply = await line.smtp.execute_command(b"DATA", timeout=manner.command_timeout_s)
        if reply.code != _GO_AHEAD:
            raise SMTPResponseException(reply.code, reply.message)
        line.step = Step.MESSAGE
        protocol = line.protocol
        protocol._response_pending = True  # it may answer before it has read all of it
        protocol.write(_FIRST_DOT.sub(b"..", raw))
        async with asyncio.timeout(manner.data_timeout_s):
            await protocol._drain_helper()  # the server's machine has room for the rest
        # The dot goes by itself: a connection that is lost before it leaves no doubt.
        line.protocol.write(b".\r\n" if raw.endswith(b"\r\n") else b"\r\n.\r\n")
        line.whole = True
        reply = await protocol.read_response(timeout=manner.data_timeout_s)
        if not 200 <= reply.code < 300:
            raise SMTPResponseException(reply.code, reply.message)
        return reply

    async def _take(self) -> _Line:
        """An idle connection that still answers, or a new one."""
        while self._idle:
            line = self._idle.pop()
            line.whole = False
            try:
                await line.smtp.rset()
            except (SMTPException, OSError):  # idle for too long: the server hung up; nothing was sent
                line.smtp.close()
                continue
            return line
        return await self._connect()

    async def _give_back(self, line: _Line, *, reusable: bool) -> None:
        if not reusable or not line.smtp.is_connected:
            line.smtp.close()
        elif self._closed or line.used >= MESSAGES_PER_CONNECTION:
            await self._farewell(line)
        else:
            self._idle.append(line)

    async def _farewell(self, line: _Line) -> None:
        try:
            await line.smtp.quit(timeout=min(_GOODBYE_S, self._manner.command_timeout_s))
        except (SMTPException, OSError):  # it is gone either way
            line.smtp.close()

    async def _connect(self) -> _Line:
        server, manner = self._server, self._manner
        line = None
        try:
            line = _Line(
                SMTP(
                    hostname=server.host,
                    port=None,
                    sock=await _dial(server, manner.connect_timeout_s),
                    timeout=manner.command_timeout_s,
                    local_hostname=manner.hello,  # not this host's own name: that is nobody's business
                    use_tls=server.tls,
                    start_tls=False,
                    tls_context=manner.tls_context,
                )
            )
            await self._open(line, server)
        except SMTPResponseException as refused:
            raise _refusal(line.step if line else Step.CONNECT, refused) from refused
        except (SMTPException, OSError, ValueError) as down:
            raise _server_fault(_why_down(line, down)) from down
        finally:
            if line is not None and line.step is not Step.MAIL:
                line.smtp.close()
        return line

    async def _open(self, line: _Line, server: Server) -> None:
        smtp = line.smtp
        await smtp.connect()
        line.step = Step.EHLO
        await smtp.ehlo()
        line.step = Step.TLS
        secure = server.tls or await self._secured(smtp, local=server.local)
        if server.username:
            line.step = Step.LOGIN
            if not secure and not server.local:
                raise _server_fault(_NOT_ENCRYPTED)
            if not smtp.supports_extension("auth"):
                raise _server_fault("the mail server does not offer AUTH")
            await smtp.login(server.username, server.password)
        line.step = Step.MAIL

    async def _secured(self, smtp: SMTP, *, local: bool) -> bool:
        """Starts TLS as the operator chose; whether the connection is encrypted now.

        "required" does not bind a server on this machine: what stays on loopback crosses no network.
        """
        start_tls = self._manner.start_tls
        if start_tls == "never":
            return False
        if not smtp.supports_extension("starttls"):
            if start_tls == "if_offered" or local:
                return False
            raise _server_fault("the mail server does not offer STARTTLS")
        await smtp.starttls(tls_context=self._manner.tls_context)
        await smtp.ehlo()
        return True


async def _dial(server: Server, within_s: float) -> socket.socket:
    """A connected socket to the first of the server's addresses that takes one. Raises OSError."""
    loop = asyncio.get_running_loop()
    failed: OSError = OSError("the host name has no address")
    async with asyncio.timeout(within_s):
        for family, kind, proto, _, address in await loop.getaddrinfo(
            server.host, server.port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, proto)
            try:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
            except OSError as problem:
                sock.close()
                failed = problem
            except BaseException:
                sock.close()
                raise
            else:
                return sock
    raise failed


def _refusal(step: Step, refused: SMTPResponseException) -> _Ended:
    answer = str(refused.message)
    if refused.code <= 0:
        return _Ended(Ending(of_babble(step), f"the answer to {step.upper()} is not SMTP", None, answer))
    detail = f"the mail server answered {step.upper()} with {refused.code}"
    return _Ended(Ending(of_reply(step, refused.code, answer), detail, refused.code, answer))


def _loss(line: _Line, lost: Exception) -> _Ended:
    step = line.step
    late = isinstance(lost, SMTPTimeoutError | TimeoutError)
    gone = isinstance(lost, SMTPServerDisconnected | OSError)
    if not late and not gone:
        return _Ended(Ending(of_babble(step), f"the conversation failed at {step.upper()}: {type(lost).__name__}"))
    if line.whole:
        how = "no answer came after" if late else "the connection was lost after"
        detail = f"{how} the final dot; the message may have been accepted"
    elif late:
        detail = f"the mail server did not answer {step.upper()} in time"
    else:
        detail = f"the mail server closed the connection at {step.upper()}"
    return _Ended(Ending(of_loss(step, late=late, whole=line.whole), detail))


def _why_down(line: _Line | None, down: BaseException) -> str:
    cause: BaseException | None = down
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return why_insecure(cause)
        cause = cause.__cause__ or cause.__context__
    if isinstance(down, TimeoutError):
        return "the mail server did not answer in time"
    if line is None or line.step is Step.CONNECT:
        return "the mail server cannot be reached"
    return f"the connection to the mail server was lost at {line.step.upper()}"
