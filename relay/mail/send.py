"""How did one SMTP transaction end?

One recipient a transaction, the built bytes as they are, over a small pool of connections. Whatever the
server does is an `Attempt`; nothing is raised and nothing tried twice in here. A loss after DATA counts
as ambiguous: the message may have been accepted, and only its Message-ID can tell it from its double.
Credentials are in no attempt, error or log.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import unquote, urlsplit

from aiosmtplib import SMTP
from aiosmtplib.errors import (
    SMTPException,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from relay.errors import ConfigError
from relay.mail.reply import Step, outcome_of
from relay.mail.settings import MailSettings, own_address
from relay.mail.trust import trust_of, why_insecure
from relay.model import Attempt, Outcome

MESSAGES_PER_CONNECTION = 50
"""A connection is used for so many messages and then replaced."""

ANSWER_BYTES = 4096
_NOT_ENCRYPTED = "credentials are configured, but the connection is not encrypted: they were not sent"


class Sendable(Protocol):
    """What `Mailer` sends: built bytes and their envelope (`relay.mail.compose.Composed` is one)."""

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
    """Where mail goes: the parts of `mail.url`. The password is never shown."""

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


def parse_url(url: str) -> Server:
    """The server that `smtp://[user:password@]host[:port]` or `smtps://…` names; ConfigError if none.

    The port is 25, or 465 for `smtps`. The message never repeats the URL, which may hold a password.
    """
    wrong = ConfigError(["mail.url: give smtp://user:password@host:port or smtps://…"])
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


@dataclass(slots=True)
class _Line:
    """One connection: how far its opening came, and how many messages it has carried."""

    smtp: SMTP
    used: int = 0
    step: Step = Step.CONNECT


class _Ended(Exception):
    """A transaction is over: how, and what the server said."""

    def __init__(self, outcome: Outcome, detail: str, code: int | None = None, answer: str = "") -> None:
        super().__init__(detail)
        self.outcome, self.detail, self.code, self.answer = outcome, detail, code, answer


class Mailer:
    """Sends built messages to one server. At most `connections` transactions run at a time.

    ConfigError for a `url` that names no server; with an empty one every attempt ends as the
    transport's fault, so that nothing is lost meanwhile. ConfigError, too, for a `ca_file` that holds no
    certificates. `tls_context` replaces the trust that the settings ask for.
    """

    def __init__(self, config_mail: MailSettings, *, tls_context: ssl.SSLContext | None = None) -> None:
        self._server = parse_url(config_mail.url) if config_mail.url else None
        self._start_tls = config_mail.start_tls
        self._hello = own_address(config_mail).domain
        self._command_timeout = float(config_mail.command_timeout_seconds)
        self._data_timeout = float(config_mail.data_timeout_seconds)
        self._tls_context = tls_context or trust_of(config_mail.ca_file)
        self._turns = asyncio.Semaphore(max(1, config_mail.connections))
        self._idle: list[_Line] = []
        self._closed = False

    async def attempt(self, *, number: int, message: Sendable, now_ms: int) -> Attempt:
        """One transaction for `message`; always an Attempt. `now_ms` is when it counts as begun."""
        async with self._turns:
            begun = time.monotonic()
            try:
                code, answer = await self._transaction(message)
                ended = _Ended(Outcome.ACCEPTED, "the mail server accepted the message", code, answer)
            except _Ended as end:
                ended = end
        return Attempt(
            number=number,
            at_ms=now_ms,
            duration_ms=round((time.monotonic() - begun) * 1000),
            outcome=ended.outcome,
            status=ended.code,
            detail=ended.detail,
            answer=ended.answer.encode()[:ANSWER_BYTES].decode(errors="ignore"),
        )

    async def close(self) -> None:
        """Says goodbye on every idle connection; one in use is closed when its transaction ends."""
        self._closed = True
        while self._idle:
            await self._farewell(self._idle.pop())

    async def probe(self) -> list[str]:
        """What is wrong with the server, one sentence each; empty when mail can be handed to it."""
        try:
            line = await self._connect()
        except _Ended as end:
            said = f" ({end.code} {end.answer})" if end.code else ""
            return [f"mail.url: {end.detail}{said}"]
        await self._farewell(line)
        return []

    async def _transaction(self, message: Sendable) -> tuple[int, str]:
        line = await self._take()
        reusable = False
        step = Step.MAIL
        smtp = line.smtp
        try:
            options = ["SMTPUTF8"] if message.smtputf8 else []
            encoding = "utf-8" if message.smtputf8 else "ascii"
            if message.smtputf8 and not smtp.supports_extension("smtputf8"):
                reusable = True
                raise _Ended(
                    Outcome.ADDRESS_UNSUPPORTED, "the mail server does not take addresses outside ASCII"
                )
            await smtp.mail(message.sender, options=options, encoding=encoding)
            step = Step.RCPT
            await smtp.rcpt(message.to, encoding=encoding)
            step = Step.DATA
            reply = await smtp.data(message.raw, timeout=self._data_timeout)
            line.used += 1
            reusable = True
            return reply.code, reply.message
        except SMTPResponseException as refused:
            reusable = smtp.is_connected and refused.code != 421
            raise _refusal(step, refused) from refused
        except SMTPTimeoutError as late:
            if step is Step.DATA:
                raise _lost("no answer came after the message was sent; it may have been accepted") from late
            raise _Ended(
                Outcome.TIMED_OUT, f"the mail server did not answer {step.upper()} in time"
            ) from late
        except (SMTPServerDisconnected, OSError) as lost:
            if step is Step.DATA:
                raise _lost(
                    "the connection was lost after DATA; the message may have been accepted"
                ) from lost
            raise _Ended(
                Outcome.DEFERRED, f"the mail server closed the connection at {step.upper()}"
            ) from lost
        except (SMTPException, ValueError) as wrong:
            raise _Ended(
                Outcome.PROTOCOL_ERROR, f"the conversation failed at {step.upper()}: {type(wrong).__name__}"
            ) from wrong
        finally:
            await self._give_back(line, reusable=reusable)

    async def _take(self) -> _Line:
        """An idle connection that still answers, or a new one."""
        while self._idle:
            line = self._idle.pop()
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
            await line.smtp.quit(timeout=min(5.0, self._command_timeout))
        except (SMTPException, OSError):  # it is gone either way
            line.smtp.close()

    async def _connect(self) -> _Line:
        server = self._server
        if server is None:
            raise _Ended(Outcome.TRANSPORT_DOWN, "no mail server is configured")
        smtp = SMTP(
            hostname=server.host,
            port=server.port,
            timeout=self._command_timeout,
            local_hostname=self._hello,  # not this host's own name: that is nobody's business
            use_tls=server.tls,
            start_tls=False,
            tls_context=self._tls_context,
        )
        line = _Line(smtp)
        try:
            await self._open(line, server)
        except SMTPResponseException as refused:
            smtp.close()
            raise _refusal(line.step, refused) from refused
        except (SMTPException, OSError, ValueError) as down:
            smtp.close()
            raise _Ended(Outcome.TRANSPORT_DOWN, _why_down(line.step, down)) from down
        except BaseException:
            smtp.close()
            raise
        return line

    async def _open(self, line: _Line, server: Server) -> None:
        smtp = line.smtp
        await smtp.connect()
        await smtp.ehlo()
        line.step = Step.TLS
        secure = server.tls or await self._secured(smtp, local=server.local)
        if not server.username:
            return
        line.step = Step.LOGIN
        if not secure and not server.local:
            raise _Ended(Outcome.TRANSPORT_DOWN, _NOT_ENCRYPTED)
        if not smtp.supports_extension("auth"):
            raise _Ended(Outcome.TRANSPORT_DOWN, "the mail server does not offer AUTH")
        await smtp.login(server.username, server.password)

    async def _secured(self, smtp: SMTP, *, local: bool) -> bool:
        """Starts TLS as the operator chose; whether the connection is encrypted now.

        "required" does not bind a server on this machine: what stays on loopback crosses no network.
        """
        if self._start_tls == "never":
            return False
        if not smtp.supports_extension("starttls"):
            if self._start_tls == "if_offered" or local:
                return False
            raise _Ended(Outcome.TRANSPORT_DOWN, "the mail server does not offer STARTTLS")
        await smtp.starttls(tls_context=self._tls_context)
        await smtp.ehlo()
        return True


def _refusal(step: Step, refused: SMTPResponseException) -> _Ended:
    answer = str(refused.message)
    if refused.code <= 0:
        early = step in (Step.CONNECT, Step.TLS, Step.LOGIN)
        outcome = Outcome.TRANSPORT_DOWN if early else Outcome.PROTOCOL_ERROR
        return _Ended(outcome, f"the answer to {step.upper()} is not SMTP", None, answer)
    return _Ended(
        outcome_of(step, refused.code, answer),
        f"the mail server answered {step.upper()} with {refused.code}",
        refused.code,
        answer,
    )


def _lost(detail: str) -> _Ended:
    return _Ended(Outcome.AMBIGUOUS, detail)


def _why_down(step: Step, down: BaseException) -> str:
    cause: BaseException | None = down
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return why_insecure(cause)
        cause = cause.__cause__ or cause.__context__
    if isinstance(down, TimeoutError):
        return "the mail server did not answer in time"
    if step is Step.CONNECT:
        return "the mail server cannot be reached"
    return f"the connection to the mail server was lost at {step.upper()}"
