"""What is in the mailbox of `relay up`?

The newest messages that its mail server took, for a person to look at and for a program to read. One hash
tag, so that adding, capping and numbering are one transaction.

    {mailbox}:last    the number of the newest message
    {mailbox}:ids     sorted set of the numbers that are kept
    {mailbox}:text    hash, number -> JSON of the message
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from relay.store.client import Client
from relay.store.records import Page

MOST: Final = 1000
"""How many messages are kept; the oldest go."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came. `to` is the envelope recipient; `raw` is text whose UTF-8 is the message."""

    id: str
    to: str
    subject: str
    raw: str
    at_ms: int


class Mailbox:
    """The messages, newest first. Raises `StoreError`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._last = client.key("mailbox", "last")
        self._ids = client.key("mailbox", "ids")
        self._text = client.key("mailbox", "text")

    async def add(self, to: str, subject: str, raw: bytes, at_ms: int) -> str:
        """Keep a message and give its id; the oldest beyond `MOST` are dropped.

        Bytes that are not UTF-8 are shown as U+FFFD: what is kept must be text.
        """
        number = int(await self._client.ask("INCR", self._last))
        id_ = str(number)
        message = {"to": to, "subject": subject, "raw": raw.decode("utf-8", "replace"), "at": at_ms}
        await self._client.several([("HSET", self._text, id_, orjson.dumps(message)), ("ZADD", self._ids, number, id_)])
        old: list[Any] = await self._client.ask("ZRANGE", self._ids, 0, -MOST - 1)
        if old:
            await self._client.ask("HDEL", self._text, *old)
            await self._client.ask("ZREM", self._ids, *old)
        return id_

    async def list(self, after: str | None = None, limit: int = 50) -> Page[Message]:
        """A page, newest first; `after` is the `next` of the page before."""
        below = "+inf" if after is None else f"({int(after)}"
        ids = await self._client.ask(
            "ZRANGE", self._ids, below, "-inf", "BYSCORE", "REV", "LIMIT", 0, limit + 1
        )
        shown = ids[:limit]
        if not shown:
            return Page([], None)
        texts = await self._client.ask("HMGET", self._text, *shown)
        found = [_message(id_.decode(), text) for id_, text in zip(shown, texts, strict=True) if text]
        return Page(found, shown[-1].decode() if len(ids) > limit else None)

    async def get(self, id_: str) -> Message | None:
        """One message; None when it is not there, or not any more."""
        text = await self._client.ask("HGET", self._text, id_)
        return None if text is None else _message(id_, text)


def _message(id_: str, text: bytes) -> Message:
    stored = orjson.loads(text)
    return Message(id_, stored["to"], stored["subject"], stored["raw"], stored["at"])
