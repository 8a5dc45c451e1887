"""A mail server on a real socket that does at each step what a test wrote beforehand, byte by byte.

Unlike `SmtpFake` it knows no manners of its own: a reply may be many lines, no SMTP at all, come in drips or not
at all, and the connection may go at any byte. What it took is in `kept`; who waits at a step is told with `at`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Self

from tests.ports import free_port

STEPS = ("connect", "ehlo", "starttls", "mail", "rcpt", "data", "body", "dot")


@dataclass(frozen=True)
class Act:
    """What is done at a step instead of the good reply. `say` is sent as it is, in `drip` pieces; then the
    connection is closed (`close`), cut with a reset (`reset`), or nothing more is said (`hang`). At the final dot,
    `keep` says whether the message was taken before that."""

    say: bytes = b""
    close: bool = False
    reset: bool = False
    hang: bool = False
    drip: int = 1
    keep: bool = False


def say(*lines: str, close: bool = False, keep: bool = False) -> Act:
    """These lines."""
    return Act("".join(line + "\r\n" for line in lines).encode(), close=close, keep=keep)


DROP = Act(reset=True)
CLOSE = Act(close=True)
HANG = Act(hang=True)


@dataclass(frozen=True)
class Kept:
    """One message that it took."""

    sender: str
    to: str
    raw: bytes

    @property
    def message_id(self) -> str:
        return str(message_from_bytes(self.raw)["Message-ID"])


class _Gone(Exception):
    """This connection is over."""


@dataclass
class MailServer:
    """`script[step]` has what the next times of a step do, and `script_of[step, to]` what they do for one recipient,
    from `rcpt` on; without any, the step goes well."""

    tls: ssl.SSLContext | None = None
    offers_tls: bool = True
    script: dict[str, deque[Act]] = field(default_factory=lambda: defaultdict(deque))
    script_of: dict[tuple[str, str], deque[Act]] = field(default_factory=lambda: defaultdict(deque))
    kept: list[Kept] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    port: int = field(default_factory=free_port)
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.deafen()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """From now on, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def deafen(self) -> None:
        """Refuses connections, and ends those there are."""
        if self._server is not None:
            self._server.close()
            self.hang_up()
            await self._server.wait_closed()
            self._server = None

    def hang_up(self) -> None:
        """Cuts all connections."""
        for writer in list(self._open):
            writer.transport.abort()
        self._open.clear()

    def will(self, step: str, *acts: Act, to: str = "") -> None:
        """What the next times of `step` do, or of those for one recipient alone."""
        assert step in STEPS and (not to or step in STEPS[STEPS.index("rcpt") :])
        (self.script_of[step, to] if to else self.script[step]).extend(acts)

    async def at(self, step: str, times: int, within_s: float = 30) -> None:
        """Waits until a step has come so many times."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: self.seen[step] >= times)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._converse(reader, writer)
        except (_Gone, OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def _script(self, step: str, to: str) -> deque[Act]:
        return self.script_of[step, to] or self.script[step]

    async def _step(self, writer: asyncio.StreamWriter, step: str, good: str, to: str = "") -> bool:
        """Does what is written for the step; whether it went well."""
        script = self._script(step, to)
        act = script.popleft() if script else None
        self.seen[step] += 1
        async with self._changed:
            self._changed.notify_all()
        if act is None:
            writer.write(good.encode())
            await writer.drain()
            return True
        await self._do(writer, act)
        return act.say[:1] in (b"2", b"3")

    async def _do(self, writer: asyncio.StreamWriter, act: Act) -> None:
        size = -(-len(act.say) // act.drip) or 1
        for at in range(0, len(act.say), size):
            writer.write(act.say[at : at + size])
            await writer.drain()
            if act.drip > 1:
                await asyncio.sleep(0.02)  # between two pieces of one reply; nobody waits for a number of them
        if act.hang:
            await writer.wait_closed()  # by the client, or by the end of the test
            raise _Gone
        if act.reset:
            writer.transport.abort()
        if act.reset or act.close:
            raise _Gone

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._step(writer, "connect", "220 fake.example ESMTP\r\n"):
            return
        sender = to = ""
        while line := (await reader.readline()).decode("utf-8", "replace"):
            verb, _, rest = line.strip().partition(" ")
            match verb.upper():
                case "EHLO":
                    offer = "250-STARTTLS\r\n" if self._may_start_tls(writer) else ""
                    await self._step(writer, "ehlo", f"250-fake.example\r\n{offer}250-SMTPUTF8\r\n250 8BITMIME\r\n")
                case "STARTTLS":
                    if await self._step(writer, "starttls", "220 2.0.0 go on\r\n"):
                        assert self.tls is not None
                        await writer.start_tls(self.tls)
                case "MAIL":
                    sender = rest.partition("<")[2].partition(">")[0]
                    await self._step(writer, "mail", "250 2.1.0 ok\r\n")
                case "RCPT":
                    to = rest.partition("<")[2].partition(">")[0]
                    await self._step(writer, "rcpt", "250 2.1.5 ok\r\n", to)
                case "DATA":
                    if await self._step(writer, "data", "354 go ahead\r\n", to):
                        await self._message(reader, writer, sender, to)
                case "QUIT":
                    writer.write(b"221 2.0.0 bye\r\n")
                    return
                case _:
                    writer.write(b"250 2.0.0 ok\r\n")

    def _may_start_tls(self, writer: asyncio.StreamWriter) -> bool:
        return self.tls is not None and self.offers_tls and writer.get_extra_info("sslcontext") is None

    async def _message(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sender: str, to: str
    ) -> None:
        lines = [await reader.readline()]
        if not await self._step(writer, "body", "", to):
            raise _Gone
        while lines[-1] != b".\r\n":
            lines.append(await reader.readline())
            if not lines[-1]:
                raise _Gone
        raw = b"".join(line[1:] if line.startswith(b".") else line for line in lines[:-1])
        script = self._script("dot", to)
        act = script[0] if script else None
        if act is None or act.keep:
            self.kept.append(Kept(sender, to, raw))
        await self._step(writer, "dot", "250 2.0.0 queued\r\n", to)
