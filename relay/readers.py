"""How do things stand with the person behind one address?

What the relay keeps of an address besides the messages to it: whether anything may be mailed to it at all, and
why not. It is kept under a keyed digest of the address, so that the database alone does not tell whose it is.
Pure: the key and `now` come in as arguments.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

import idna
from msgspec import field, structs

from relay.closed import SuppressionReason, SuppressionSource
from relay.model import Record

BOUNCES = frozenset({SuppressionReason.HARD_BOUNCE, SuppressionReason.SOFT_BOUNCES})
"""The reasons that are nobody's wish."""


class Suppression(Record, frozen=True, kw_only=True):
    """Why nothing is mailed to an address. `delivery` is the one that bounced, where that is known; `status` the
    enhanced status (RFC 3463), `detail` what the other side said, or a person's note."""

    reason: SuppressionReason
    source: SuppressionSource
    at_ms: int
    delivery: str | None = None
    status: str = ""
    detail: str = ""


class Reader(Record, frozen=True, kw_only=True):
    """One address. `lifted` counts how often a suppression was taken back, so that the next one is another. `soft`
    and `complaints` have the reports that were counted, each with its time, Unix ms; `heard` the newest events that
    anything followed from, which a lift does not forget."""

    suppressed: Suppression | None = None
    lifted: int = 0
    soft: dict[str, int] = field(default_factory=dict)
    complaints: dict[str, int] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)


def suppressed(now: Reader, new: Suppression) -> Reader:
    """The reader with this suppression; the one that is there holds."""
    return now if now.suppressed is not None else structs.replace(now, suppressed=new)


def lifted(now: Reader) -> Reader:
    """The reader without a suppression."""
    if now.suppressed is None:
        return now
    return structs.replace(now, suppressed=None, lifted=now.lifted + 1, soft={}, complaints={})


def normalised(email: str) -> str:
    """The address as it is compared: NFC, without regard to case, its domain in IDNA's ASCII form (UTS 46)."""
    local, _, domain = unicodedata.normalize("NFC", email.strip()).rpartition("@")
    try:
        domain = idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        domain = domain.casefold()  # no mail gets there, but it may be looked up and removed
    return f"{local.casefold()}@{domain.lower().rstrip('.')}"


def reader_key(email: str, key: bytes) -> str:
    """The name under which an address is kept: 40 hex digits, of which only `key` tells the address."""
    return hmac.new(key, normalised(email).encode(), hashlib.sha256).hexdigest()[:40]
