"""From which address is a mail sent, so that a report about it can be believed?

A variable envelope return path (VERP): `bounces+<token>@relay.example`, where the token names the delivery, says
until when a report is taken, and is signed. Only who handled the message knows it, and nobody makes one up. It is
base32, because local parts travel through systems that change their case (RFC 5321 forbids it; they do), and
48 characters long: a local part has 64 at most.

    4 bits: which queue · 20 bits: the expiry, in days since 2020 · 10 bytes of the recipient · 10 bytes of the event ·
    7 bytes of HMAC-SHA256
"""

from __future__ import annotations

import hmac
import re
from base64 import b32decode, b32encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from relay.mail.mime import address

_DELIVERY = re.compile(r"dlv_(mb|mb_daily)_([0-9a-f]{20})_([0-9a-f]{20})")
_QUEUES = ("mb", "mb_daily")
_TOKEN_CHARS = 48
_MAC_BYTES = 7
_DAY_MS = 86_400_000
_FIRST_DAY = 18_262
_MOST_DAYS = (1 << 20) - 1
LONGEST_LOCAL_PART = 64 - 1 - _TOKEN_CHARS
"""How long the part of the address before the plus sign may be."""


class Refusal(StrEnum):
    """Why a return path is not believed."""

    FORGED = "forged"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ReturnPath:
    """Makes return paths at `mailbox` and reads them. `key` signs; a report is taken for `lifetime_ms`."""

    mailbox: str
    key: bytes = field(repr=False)
    lifetime_ms: int

    def of(self, delivery: str, now_ms: int) -> str | None:
        """The return path of a delivery, valid from now on; None for what is no mail."""
        match = _DELIVERY.fullmatch(delivery)
        if match is None:
            return None
        local, _, domain = address(self.mailbox).email.rpartition("@")
        days = min(_MOST_DAYS, max(0, -(-(now_ms + self.lifetime_ms) // _DAY_MS) - _FIRST_DAY))
        head = (_QUEUES.index(match[1]) << 20 | days).to_bytes(3, "big")
        body = head + bytes.fromhex(match[2] + match[3])
        token = b32encode(body + self._mac(body)).decode().lower()
        return f"{local}+{token}@{domain}"

    def find(self, text: str) -> Iterator[str]:
        """What looks like one of our return paths in a text, each once: their tokens."""
        local, _, domain = address(self.mailbox).email.rpartition("@")
        # Rewriting on the way may have hidden it in another address (SRS, BATV): what is around it does not matter.
        pattern = rf"{re.escape(local)}\+([a-z2-7]{{{_TOKEN_CHARS}}})(?:@|=40|%40){re.escape(domain)}"
        yield from dict.fromkeys(token.lower() for token in re.findall(pattern, text, re.IGNORECASE | re.ASCII))

    def read(self, token: str, now_ms: int) -> str | Refusal:
        """The delivery that a token names, or why it is not believed."""
        raw = b32decode(token.upper())
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        head = int.from_bytes(body[:3], "big")
        queue = head >> 20
        if not hmac.compare_digest(mac, self._mac(body)) or queue >= len(_QUEUES):
            return Refusal.FORGED
        if now_ms > ((head & _MOST_DAYS) + _FIRST_DAY) * _DAY_MS:
            return Refusal.EXPIRED
        return f"dlv_{_QUEUES[queue]}_{body[3:13].hex()}_{body[13:].hex()}"

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self.key, b"return path\0" + body, "sha256")[:_MAC_BYTES]
