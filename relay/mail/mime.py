"""What are the bytes of a message?

Written by hand, once, and sent as they are: the same inputs give the same bytes, so that a second try
after a lost answer is the same message. The standard library's generator turns long Message-IDs into
encoded-words and re-folds on the way out; here a structured header breaks only at its spaces.
Sources: RFC 5322 (headers), 2045 to 2047 (bodies, encoded-words), 6532 (UTF-8 addresses).
"""

from __future__ import annotations

import quopri
import re
from base64 import b32encode, b64encode, encodebytes
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import idna

from relay.errors import MessageError
from relay.mail.ics import Entry

_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~.,()-]*", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,200}", re.ASCII)
_MAX_LINE = 998
_ENCODED_LINE = 76
_FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox as SMTP takes it: the domain is ASCII; `smtputf8` says that the local part is not."""

    email: str
    domain: str
    name: str
    smtputf8: bool

    def header(self, field: str) -> str:
        """The header's value: a display name where there is one, and the address."""
        if not self.name:
            return self.email
        if not _PLAIN_PHRASE.fullmatch(self.name) or "=?" in self.name or len(self.name) > 60:
            return f"{encoded_words(field, self.name)}\r\n <{self.email}>"
        return f'"{self.name}" <{self.email}>'


def address(email: str, name: str = "") -> Address:
    """The mailbox `email`, its domain IDNA-encoded (UTS 46); MessageError when that cannot be done."""
    local, at, domain = email.rpartition("@")
    if not at or not local or not domain or re.search(r"[\s\x00-\x1f\x7f<>]", email):
        raise MessageError("the address is not one mailbox")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError as problem:
            raise MessageError("the domain of the address cannot be encoded") from problem
    return Address(f"{local}@{domain}", domain, name, not local.isascii())


def message_id(token: str, domain: str) -> str:
    """`<token@domain>`; a token that is not one (RFC 5322 dot-atom) is replaced by its digest."""
    if not _TOKEN.fullmatch(token) or token.startswith(".") or token.endswith(".") or ".." in token:
        token = digest(token)
    return f"<{token}@{domain}>"


def digest(text: str) -> str:
    """A short name for `text`: 26 characters of base32."""
    return b32encode(sha256(text.encode()).digest()[:16]).decode("ascii").rstrip("=").lower()


def thread_index(thread: str, begun: datetime) -> str:
    """What Outlook keeps a thread together by where its first mail is not at hand.

    Six bytes of the time when it began, as FILETIME, and a GUID (MS-OXOMSG, 2.2.1.3). `begun` is aware; before
    1601 there is no FILETIME, and 1601 is as good.
    """
    ticks = max(0, (begun - _FILETIME_EPOCH) // timedelta(microseconds=1) * 10)
    head = ticks.to_bytes(8, "big")[:6]
    return b64encode(head + sha256(thread.encode()).digest()[:16]).decode("ascii")


def encoded_words(field: str, text: str) -> str:
    """`text` as RFC 2047 words of whole characters, folded for a header called `field`."""
    words: list[str] = []
    chunk = b""
    room = _ENCODED_LINE - len(field) - 2
    for char in text:
        data = char.encode()
        if len(chunk) + len(data) > (room - 12) // 4 * 3:
            words.append(_word(chunk))
            chunk, room = b"", _ENCODED_LINE - 1
        chunk += data
    words.append(_word(chunk))
    return "\r\n ".join(words)


def _word(chunk: bytes) -> str:
    return f"=?utf-8?b?{b64encode(chunk).decode('ascii')}?="


def unstructured(field: str, text: str) -> str:
    """A free-text header value: as it is where it is plain ASCII and short, else as encoded-words."""
    if text.isascii() and text.isprintable() and "=?" not in text and len(field) + 2 + len(text) <= 78:
        return text
    return encoded_words(field, text)


def date(moment: datetime) -> str:
    """An RFC 5322 date, whatever the process's locale. `moment` is aware, in UTC."""
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} {moment.year:04} "
        f"{moment:%H:%M:%S} +0000"
    )


def build(
    headers: list[tuple[str, str]], *, text: str, html: str, token: str, calendar: Entry | None = None
) -> bytes:
    """The whole message: `headers` in order (values already folded), then the two parts, text first.

    `token` names the message and makes the boundaries. With a `calendar` entry, that is attached: beside the two
    parts and not one of them, or Outlook shows the entry in the place of the page. MessageError when a line would
    be too long.
    """
    boundary = "=_" + sha256(token.encode()).hexdigest()[:32]
    kind, body = _multipart("alternative", boundary, [_part("plain", text), _part("html", html)])
    if calendar is not None:
        outer = "=_" + sha256(f"mixed\n{token}".encode()).hexdigest()[:32]
        kind, body = _multipart("mixed", outer, [f"{kind}\r\n\r\n".encode() + body, _attached(calendar)])
    lines = [f"{name}: {value}" for name, value in headers]
    lines += ["MIME-Version: 1.0", kind, "", ""]
    head = "\r\n".join(lines).encode()
    if max(map(len, head.split(b"\r\n"))) > _MAX_LINE:
        raise MessageError("a header line would be longer than 998 bytes")
    return head + body


def _multipart(subtype: str, boundary: str, shown: list[bytes]) -> tuple[str, bytes]:
    """The header that says what it is, and the bytes."""
    opening = b"--" + boundary.encode()
    parts = [opening + b"\r\n" + part + b"\r\n" for part in shown]
    return f'Content-Type: multipart/{subtype}; boundary="{boundary}"', b"".join([*parts, opening, b"--\r\n"])


def _attached(entry: Entry) -> bytes:
    head = (
        f"Content-Type: text/calendar; charset=utf-8; method={entry.method}\r\n"
        f'Content-Disposition: attachment; filename="{entry.name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode() + encodebytes(entry.data).replace(b"\n", b"\r\n")


def _part(subtype: str, body: str) -> bytes:
    data = body.replace("\n", "\r\n").encode()
    if body.isascii() and max(map(len, data.split(b"\r\n"))) <= _MAX_LINE:
        encoding, coded = "7bit", data
    elif len(data) - len(body) < len(data) // 12:
        encoding = "quoted-printable"
        coded = quopri.encodestring(body.encode()).replace(b"\n", b"\r\n")
    else:
        encoding, coded = "base64", encodebytes(data).replace(b"\n", b"\r\n")
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + coded
