"""Which page of a list is asked for, and how is a page answered?

A parameter that a list does not have is refused (422), and so is one that is given twice: what is misspelt would
otherwise answer everything where one thing was asked for. Every list takes `limit` (1 to 500, default 50) and `after`, the `next` of the page before. A cursor is
opaque: base64url of a checksum and the store's own position. The checksum covers the list's name, so that
a cursor of another list, or one that was cut short, is told at once (422) instead of starting anywhere; and so is one
that somebody made, whose position is none of this list's.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from aiohttp import web

from relay.api.problems import Fault, invalid
from relay.store.records import Page
from relay.times import to_ns

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

DEFAULT_LIMIT, MOST = 50, 500
_SHOWN = 64
ANYWHERE = re.compile(r".*", re.DOTALL)
"""A place between others that are compared as text; every text is one."""
NUMBER = re.compile(r"[0-9]{1,16}")
TIMED = re.compile(r"-?[0-9]{1,16}\|.+", re.DOTALL)
"""`<Unix ms>|<what stood there>`."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list that is answered in pages: a name of its own, and the form that the store's positions in it have."""

    name: str
    position: re.Pattern[str] = ANYWHERE


@dataclass(frozen=True, slots=True)
class Asked:
    """The page that is asked for; `after` is the store's own position."""

    after: str | None
    limit: int


class Query:
    """Reads the query string and gathers every fault; `check` raises them all at once. What was not read before
    `check` is a parameter that there is not."""

    def __init__(self, request: web.Request) -> None:
        self._query = request.query
        self._known: list[str] = []
        self._faults: list[Fault] = []

    def text(self, name: str, *, most: int = 512) -> str | None:
        """A parameter as it is; None when it is absent or empty."""
        self._known.append(name)
        value = self._query.get(name) or None
        if value is not None and len(value) > most:
            self._fault(name, f"give at most {most} characters")
            return None
        return value

    def choice(self, name: str, kind: type[E]) -> E | None:
        """One of a closed list."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return kind(value)
        except ValueError:
            self._fault(name, "give one of " + ", ".join(kind))
            return None

    def time_ms(self, name: str) -> int | None:
        """An RFC 3339 time, as Unix milliseconds."""
        # A plus sign that was not escaped arrives as a space: an offset of a time cannot hold one.
        value = (self.text(name) or "").replace(" ", "+")
        if not value:
            return None
        try:
            return to_ns(value) // 1_000_000
        except ValueError as problem:
            self._fault(name, str(problem))
            return None

    def page(self, listing: Listing) -> Asked:
        """`after` and `limit` of this list."""
        limit, after = self.text("limit"), self.text("after", most=2048)
        size = DEFAULT_LIMIT
        if limit is not None:
            if limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= MOST:
                size = int(limit)
            else:
                self._fault("limit", f"give a number from 1 to {MOST}")
        position = None
        if after is not None:
            position = open_cursor(listing, after)
            if position is None:
                self._fault("after", "give the `next` of the page before, as it was answered")
        return Asked(position, size)

    def check(self) -> None:
        """Raises 422 with everything that was wrong."""
        for name in dict.fromkeys(self._query):
            if name not in self._known:
                self._fault(name, f"there is none of this name here; there are {', '.join(self._known)}")
            elif len(self._query.getall(name)) > 1:
                self._fault(name, "give it once")
        if self._faults:
            raise invalid(self._faults)

    def _fault(self, name: str, detail: str) -> None:
        shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
        pointer = shown.replace("~", "~0").replace("/", "~1")
        self._faults.append(Fault(f"/{pointer}", f"query parameter {shown}: {detail}"))


def cursor(listing: Listing, position: str) -> str:
    """The opaque cursor for a position in a list."""
    raw = position.encode()
    return base64.urlsafe_b64encode(_checksum(listing, raw) + raw).rstrip(b"=").decode()


def open_cursor(listing: Listing, text: str) -> str | None:
    """The position that `cursor` was given; None when it made no such text for this list, or of no position in it."""
    try:
        both = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        checksum, raw = both[:4], both[4:]
        position = raw.decode()
    except (UnicodeError, binascii.Error):
        return None
    if _checksum(listing, raw) != checksum or cursor(listing, position) != text:
        return None
    return position if listing.position.fullmatch(position) else None


def page_of(items: Iterable[T], key: Callable[[T], str], asked: Asked) -> Page[T]:
    """One page of a whole list that is at hand; newest, that is the greatest key, first."""
    rest = sorted(items, key=key, reverse=True)
    if asked.after is not None:
        rest = [item for item in rest if key(item) < asked.after]
    data = rest[: asked.limit]
    return Page(data, key(data[-1]) if len(rest) > asked.limit else None)


def in_order(items: Sequence[T], asked: Asked) -> Page[T]:
    """One page of a whole list that is at hand, in its own order."""
    start = int(asked.after or 0)
    end = start + asked.limit
    return Page(list(items[start:end]), str(end) if end < len(items) else None)


def listed(listing: Listing, page: Page[Any], data: Sequence[Any]) -> dict[str, Any]:
    """The JSON of a page whose entries are shown as `data`."""
    return {"data": list(data), "next": None if page.next is None else cursor(listing, page.next)}


def _checksum(listing: Listing, raw: bytes) -> bytes:
    return zlib.crc32(listing.name.encode() + b"\0" + raw).to_bytes(4, "big")
