"""Is a partner's activity log still what it was when it was written?

The lines of a log are chained with SHA-256 in the order in which they were appended, some at a time, and each
batch ends in a signed head. Whoever changes, removes, adds or moves a line changes every head after it, and
cannot sign one. What this does not show: lines that are newer than the last head, and the loss of the newest
lines together with their heads, for somebody who has seen none of those heads.

    link(before, line) = SHA-256(before ‖ position ‖ length of id ‖ id ‖ length of record ‖ record)

Numbers are 8 bytes, the highest first; the record is the bytes that are stored; before the first line there
are 32 zero bytes. A head signs `relay activity head 1`, and on a line each: partner, number, first and last
position, count, the hash before and after, and the time in Unix milliseconds.

What retention takes it takes from the beginning, whole batches. The last head it took is kept, and with it what says
that the relay took them: `relay activity taken 1`, and on a line each partner, number, last position, the hash after
and the time, signed with the same key. Nobody else can make lines leave at the beginning without it being seen.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from relay.model import Record
from relay.signing import Ed25519Key, is_signed

START = bytes(32)
LATE_MS = 3_600_000
"""A line is chained within seconds. One that was chained so much later than it says it was written may be from
when nothing was chained, or the chain was made anew: who removes all heads of a log has it chained again."""


class _Written(msgspec.Struct):
    at_ms: int


_WRITTEN = msgspec.json.Decoder(_Written)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log as it is stored."""

    position: int
    id: str
    record: bytes

    @property
    def at_ms(self) -> int:
        """When it was written, as it says itself; 0 where it says nothing that can be read."""
        try:
            return _WRITTEN.decode(self.record).at_ms
        except msgspec.DecodeError:
            return 0


class Head(Record, frozen=True, kw_only=True):
    """The end of one batch. `before` and `after` are hexadecimal, `signature` is base64 (Ed25519)."""

    number: int
    first: int
    last: int
    count: int
    before: str
    after: str
    at_ms: int
    signature: str = ""


class Taken(Record, frozen=True, kw_only=True):
    """Retention has taken all lines up to this head and the head, at `at_ms`. `signature` is base64 (Ed25519)."""

    head: Head
    at_ms: int
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of checking a log: how many lines are chained and how many are too new to be, how many of
    the chained were so long after they were written, the last head, what retention has taken, and every fault in a
    sentence."""

    chained: int
    unchained: int
    late: int
    last: Head | None
    faults: list[str]
    taken: Taken | None = None


def link(before: bytes, line: Line) -> bytes:
    """The hash after this line."""
    id_ = line.id.encode()
    parts = (before, _number(line.position), _number(len(id_)), id_, _number(len(line.record)), line.record)
    return hashlib.sha256(b"".join(parts)).digest()


def extend(partner: str, last: Head | None, lines: Sequence[Line], at_ms: int, key: Ed25519Key) -> Head:
    """The head of the next batch: at least one line, in order, all behind the last head."""
    before = after = START if last is None else bytes.fromhex(last.after)
    for line in lines:
        after = link(after, line)
    head = Head(
        number=1 if last is None else last.number + 1,
        first=lines[0].position,
        last=lines[-1].position,
        count=len(lines),
        before=before.hex(),
        after=after.hex(),
        at_ms=at_ms,
    )
    signature = key.sign(signed(partner, head))
    return Head(**{name: getattr(head, name) for name in head.__struct_fields__} | {"signature": _text(signature)})


def signed(partner: str, head: Head) -> bytes:
    """The bytes that a head's signature is over."""
    parts = (head.number, head.first, head.last, head.count, head.before, head.after, head.at_ms)
    return "\n".join(("relay activity head 1", partner, *map(str, parts))).encode()


def take(partner: str, head: Head, at_ms: int, key: Ed25519Key) -> Taken:
    """What is kept of the lines up to this head when retention takes them."""
    return Taken(head=head, at_ms=at_ms, signature=_text(key.sign(taken(partner, head, at_ms))))


def taken(partner: str, head: Head, at_ms: int) -> bytes:
    """The bytes that the signature of what was taken is over."""
    parts = (head.number, head.last, head.after, at_ms)
    return "\n".join(("relay activity taken 1", partner, *map(str, parts))).encode()


class Checker:
    """Checks a log as it comes: what retention has taken, if anything, then each head before the lines that are
    under it, then the lines that are under none. The key is `whpk_…`."""

    def __init__(self, partner: str, public_key: str) -> None:
        self._partner = partner
        self._public_key = public_key
        self._faults: list[str] = []
        self._head: Head | None = None
        self._hash = START
        self._count = 0
        self._chained = 0
        self._unchained = 0
        self._late = 0
        self._taken: Taken | None = None

    def begin(self, taken_: Taken) -> None:
        """Where the log begins, because retention has taken what was before."""
        head, partner = taken_.head, self._partner
        if not is_signed(self._public_key, _signature(head.signature), signed(partner, head)):
            self._faults.append(f"head {head.number}, up to which lines were taken, is not signed by the relay")
        if not is_signed(self._public_key, _signature(taken_.signature), taken(partner, head, taken_.at_ms)):
            self._faults.append(f"that retention took the lines up to position {head.last} is not signed by the relay")
        self._taken = taken_
        self._head = head

    def head(self, head: Head) -> None:
        """The next head. Its lines follow."""
        self._close()
        self._faults += _of_head(self._partner, head, self._head, self._public_key)
        self._head, self._hash, self._count = head, _bytes(head.before), 0

    def line(self, line: Line) -> None:
        """The next line."""
        if self._head is not None and line.position <= self._head.last:
            self._hash = link(self._hash, line)
            self._count += 1
            self._chained += 1
            # What is no line of ours says so by its hash.
            self._late += self._head.at_ms - (line.at_ms or self._head.at_ms) > LATE_MS
        else:
            self._unchained += 1

    def end(self) -> Checked:
        """What came of it."""
        if self._head is not None:
            self._close()
        return Checked(self._chained, self._unchained, self._late, self._head, self._faults, self._taken)

    def _close(self) -> None:
        head = self._head
        if head is None:
            if self._unchained:
                self._faults.append(f"{self._unchained} lines stand before the first head")
                self._unchained = 0
            return
        if self._taken is not None and head is self._taken.head:
            if self._count:
                self._faults.append(f"{self._count} lines stand where retention took all")
                self._chained -= self._count
            return
        where = f"between positions {head.first} and {head.last}"
        if self._count != head.count:
            self._faults.append(f"{where} there are {self._count} lines where there were {head.count}")
        elif self._hash.hex() != head.after:
            self._faults.append(f"{where} a line is not what it was")


def _of_head(partner: str, head: Head, last: Head | None, public_key: str) -> list[str]:
    faults = []
    if not is_signed(public_key, _signature(head.signature), signed(partner, head)):
        faults.append(f"head {head.number} is not signed by the relay")
    if head.number != (1 if last is None else last.number + 1):
        faults.append(f"head {head.number} follows head {0 if last is None else last.number}: heads are missing")
    elif head.before != (START.hex() if last is None else last.after):
        faults.append(f"head {head.number} does not go on where the one before it ended")
    if last is not None and head.first <= last.last:
        faults.append(f"head {head.number} begins before the one before it ended")
    return faults


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _signature(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
