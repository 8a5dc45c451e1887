"""Where does e-mail go while somebody tries the relay?

Into a mail server on this machine that takes everything and sends nothing on: each message is in the
mailbox of the store before the sender is told that it was taken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email import message_from_bytes
from email.header import decode_header, make_header
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, Envelope

from relay.errors import StoreError
from relay.store.mailbox import Mailbox

HOST = "127.0.0.1"
_MOST_BYTES = 10 * 1024 * 1024

Told = Callable[[str, str], None]
"""Takes the recipient and the subject of each message that is kept."""


class Catcher:
    """The mail server; `async with Catcher(mailbox) as catcher: catcher.url`."""

    def __init__(self, mailbox: Mailbox, port: int = 0, told: Told | None = None) -> None:
        self._mailbox = mailbox
        self._told = told
        self._port = port
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """How mail is handed to it."""
        return f"smtp://{HOST}:{self._port}"

    async def __aenter__(self) -> Self:
        handler = _Keeping(self._mailbox, self._told)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(
                handler,
                hostname="mailbox.relay.invalid",
                ident="relay mailbox",
                data_size_limit=_MOST_BYTES,
                enable_SMTPUTF8=True,
            ),
            HOST,
            self._port,
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()


class _Keeping:
    def __init__(self, mailbox: Mailbox, told: Told | None) -> None:
        self._mailbox = mailbox
        self._told = told

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Keep one message for each recipient."""
        raw = envelope.original_content or b""
        subject = subject_of(raw)
        try:
            for recipient in envelope.rcpt_tos:
                await self._mailbox.add(recipient, subject, raw, time.time_ns() // 1_000_000)
                if self._told is not None:
                    self._told(recipient, subject)
        except StoreError:
            return "451 4.3.0 The mailbox cannot be written just now"
        return "250 2.0.0 Kept in the mailbox"


def subject_of(raw: bytes) -> str:
    """The subject of a message in words, however it is encoded; `""` without one."""
    header = message_from_bytes(raw).get("Subject", "")
    try:
        return str(make_header(decode_header(str(header)))).replace("\r", "").replace("\n", "")
    except (UnicodeError, LookupError, ValueError):
        return str(header)
