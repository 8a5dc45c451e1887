"""Which usual mistake makes a receiver compute this signature?

Given what was sent and what a receiver computed, the mistakes of people who verify webhooks are tried one
by one, and then two at a time: in the key, in the parts that are signed, in the body, in the encoding. Pure,
and bounded: at most MOST_HASHED bytes are hashed. Names the mistake and the cure; never gives a signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Final

from relay.misread import bodies, times

MOST_HASHED: Final = 32 << 20
_OVERHEAD: Final = 512  # of one signature, in bytes hashed meanwhile
_MOST_OTHERS: Final = 20
CLOCK_S: Final = 300


class Mistake(StrEnum):
    """What a receiver did wrong."""

    COMPARISON = "comparison"
    KEY_UNDECODED = "secret_undecoded"
    PREFIX_KEPT = "prefix_kept"
    KEY_MANGLED = "secret_mangled"
    KEY_EMPTY = "secret_empty"
    OLD_KEY = "old_secret"
    OTHER_KEY = "other_secret"
    ID_MISSING = "id_missing"
    TIMESTAMP_MISSING = "timestamp_missing"
    BODY_ONLY = "body_only"
    BODY_MISSING = "body_missing"
    PARTS_SWAPPED = "parts_swapped"
    SEPARATOR = "separator"
    WRONG_ID = "wrong_id"
    WRONG_TIMESTAMP = "wrong_timestamp"
    JSON_RESERIALISED = "json_reserialised"
    TRAILING_NEWLINE = "trailing_newline"
    WRONG_CHARSET = "wrong_charset"
    BODY_PRINTED = "body_printed"
    BODY_ENCODED = "body_encoded"
    PART_OF_BODY = "part_of_body"
    OTHER_BODY = "other_body"
    HEX = "hex"
    BASE64URL = "base64url"
    ENCODED_TWICE = "encoded_twice"
    WRONG_HASH = "wrong_hash"
    NOT_HMAC = "not_hmac"
    KEY_PAIR = "key_pair"
    NOT_A_SIGNATURE = "not_a_signature"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Message:
    """The three parts that are signed."""

    id: str
    timestamp: str
    body: bytes

    def signed(self) -> bytes:
        """The bytes that are signed: `{id}.{timestamp}.{body}`."""
        return b".".join((self.id.encode(), self.timestamp.encode(), self.body))


@dataclass(frozen=True, slots=True)
class Known:
    """What the relay knows. `secrets` are `whsec_…`: the current one, the previous ones, and those of the
    partner's other endpoints. `ids` and `timestamps` are what a receiver may take for the right ones."""

    sent: Message
    secret: str
    previous: Sequence[str] = ()
    others: Sequence[str] = ()
    ids: Sequence[str] = ()
    timestamps: Sequence[str] = ()


_Key = tuple[tuple[Mistake, ...], bytes]
_Content = tuple[tuple[Mistake, ...], Sequence[bytes]]


def diagnose(claimed: str, known: Known) -> tuple[Mistake, ...] | None:
    """The mistakes that give `claimed`, fewest first; empty when it is right as it is. None when no usual
    mistake, nor two of them, gives it."""
    digests = dict(_digests(claimed))
    if not digests:
        return (Mistake.NOT_A_SIGNATURE,)
    keys, contents = list(_keys(known)), list(_contents(known))
    left = MOST_HASHED
    for of_key, of_content, secret, parts in _by_number(keys, contents, known.sent):
        content = b"".join(parts)
        left -= len(content) + _OVERHEAD
        if left < 0:
            break
        encoded = digests.get(hmac.digest(secret, content, "sha256"))
        if encoded is not None:
            return (*of_key, *of_content, *encoded)
    return _other_hashes(digests, keys, known) or _key_pair(digests)


def _by_number(
    keys: Sequence[_Key], contents: Sequence[_Content], sent: Message
) -> Iterator[tuple[tuple[Mistake, ...], tuple[Mistake, ...], bytes, Sequence[bytes]]]:
    """Every key with every content, fewest mistakes first, two at most. The seconds around the sent one are
    tried with the right key only: there are hundreds."""
    for number in range(3):
        for in_key in (1, 0, 2):
            for of_key, secret in (key for key in keys if len(key[0]) == in_key):
                for of_content, parts in (one for one in contents if len(one[0]) == number - in_key):
                    yield of_key, of_content, secret, parts
        if number == 1:
            for of_content, parts in _near(sent):
                yield (), of_content, keys[0][1], parts


def compare(known: Known, given: Message, clock_s: int | None) -> list[Mistake]:
    """What is wrong with the parts that a receiver says it used, as far as it says so."""
    found: list[Mistake] = []
    if given.id and given.id != known.sent.id:
        found.append(Mistake.WRONG_ID)
    if given.timestamp and given.timestamp != known.sent.timestamp:
        found.append(Mistake.WRONG_TIMESTAMP)
    if given.body and given.body != known.sent.body:
        named = (name for name, body in bodies(known.sent.body) if body == given.body)
        found.append(Mistake(next(named, Mistake.OTHER_BODY)))
    if clock_s is not None and abs(clock_s - int(known.sent.timestamp)) > CLOCK_S:
        found.append(Mistake.CLOCK)
    return found


# --- what the claim may stand for ---------------------------------------------------------------------

_PREFIX = re.compile(r"(v1a?|sha256|sha1|sha512|hmac-sha256)[,=:]\s*", re.ASCII | re.IGNORECASE)


def _digests(claimed: str) -> Iterator[tuple[bytes, tuple[Mistake, ...]]]:
    """The raw digests that the text may mean, each with what is wrong with its encoding. The right encoding
    comes last, so that in a dict it wins."""
    for item in claimed.strip().strip("\"'").split():
        text = _PREFIX.sub("", item, count=1)
        standard = _base64(text.replace("-", "+").replace("_", "/"))
        if re.fullmatch(r"([0-9A-Fa-f]{2}){20,64}", text):
            yield bytes.fromhex(text), (Mistake.HEX,)
        if standard is None:
            continue
        inner = standard.decode("ascii", "replace")
        if re.fullmatch(r"[0-9A-Fa-f]{64}", inner):
            yield bytes.fromhex(inner), (Mistake.HEX, Mistake.ENCODED_TWICE)
        elif (twice := _base64(inner)) is not None and len(twice) == 32:
            yield twice, (Mistake.ENCODED_TWICE,)
        is_standard = "-" not in text and "_" not in text and len(text) % 4 == 0
        yield standard, () if is_standard else (Mistake.BASE64URL,)


def _base64(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) >= 20 else None


# --- keys -----------------------------------------------------------------------------------------------


def _keys(known: Known) -> Iterator[_Key]:
    yield from _of_secret((), known.secret)
    for secret in known.previous:
        yield from _of_secret((Mistake.OLD_KEY,), secret)
    for secret in known.others[:_MOST_OTHERS]:
        yield from _of_secret((Mistake.OTHER_KEY,), secret)
    yield (Mistake.KEY_EMPTY,), b""


def _of_secret(so_far: tuple[Mistake, ...], secret: str) -> Iterator[_Key]:
    text = secret.removeprefix("whsec_")
    raw = base64.b64decode(text)
    yield so_far, raw
    yield (*so_far, Mistake.KEY_UNDECODED), text.encode()
    yield (*so_far, Mistake.PREFIX_KEPT), secret.encode()
    # Lenient decoders skip the underscore, or take it for a character of the other alphabet.
    yield (*so_far, Mistake.PREFIX_KEPT), _lenient(secret.replace("_", ""))
    yield (*so_far, Mistake.PREFIX_KEPT), _lenient(secret.replace("_", "/"))
    mangled = (text.rstrip("="), text + "\n", secret + "\n", f'"{secret}"', raw.hex(), raw.hex().upper())
    yield from (((*so_far, Mistake.KEY_MANGLED), one.encode()) for one in mangled)
    yield (*so_far, Mistake.KEY_MANGLED), _lenient(text.replace("+", "").replace("/", ""))


def _lenient(text: str) -> bytes:
    """As decoders do that skip what they do not know, and drop a character that makes no byte."""
    text = text.rstrip("=")
    text = text[:-1] if len(text) % 4 == 1 else text
    return base64.b64decode(text + "=" * (-len(text) % 4))


# --- what is signed -------------------------------------------------------------------------------------


def _contents(known: Known) -> Iterator[_Content]:
    sent = known.sent
    yield from _layouts((), sent.id, sent.timestamp, sent.body)
    for name, body in bodies(sent.body):
        yield from _layouts((Mistake(name),), sent.id, sent.timestamp, body)
    for id_ in known.ids:
        yield (Mistake.WRONG_ID,), _parts(id_, sent.timestamp, sent.body)
    for text in chain(known.timestamps, times(sent.timestamp, sent.body)):
        if text != sent.timestamp:
            yield (Mistake.WRONG_TIMESTAMP,), _parts(sent.id, text, sent.body)


def _near(sent: Message) -> Iterator[_Content]:
    for by in chain(range(1, CLOCK_S + 1), range(-CLOCK_S, 0)):
        yield (Mistake.WRONG_TIMESTAMP,), _parts(sent.id, str(int(sent.timestamp) + by), sent.body)


def _layouts(so_far: tuple[Mistake, ...], id_: str, timestamp: str, body: bytes) -> Iterator[_Content]:
    first, second = id_.encode(), timestamp.encode()
    yield so_far, (first, b".", second, b".", body)
    yield (*so_far, Mistake.ID_MISSING), (second, b".", body)
    yield (*so_far, Mistake.TIMESTAMP_MISSING), (first, b".", body)
    yield (*so_far, Mistake.BODY_ONLY), (body,)
    for separator in (b"", b":", b"\n", b"|", b","):
        yield (*so_far, Mistake.SEPARATOR), (first, separator, second, separator, body)
    yield (*so_far, Mistake.PARTS_SWAPPED), (second, b".", first, b".", body)
    yield (*so_far, Mistake.PARTS_SWAPPED), (body, b".", second, b".", first)
    yield (*so_far, Mistake.PARTS_SWAPPED), (first, b".", body, b".", second)
    if not so_far:
        yield (Mistake.BODY_MISSING,), (first, b".", second, b".")
        yield (Mistake.BODY_MISSING,), (first, b".", second)


def _parts(id_: str, timestamp: str, body: bytes) -> tuple[bytes, ...]:
    return (id_.encode(), b".", timestamp.encode("utf-8", "replace"), b".", body)


# --- other functions ------------------------------------------------------------------------------------


def _other_hashes(
    digests: dict[bytes, tuple[Mistake, ...]], keys: Sequence[_Key], known: Known
) -> tuple[Mistake, ...] | None:
    for content in (known.sent.signed(), known.sent.body):
        for of_key, secret in keys[:5]:
            for name in ("sha1", "sha512", "sha384", "md5"):
                if (encoded := digests.get(hmac.digest(secret, content, name))) is not None:
                    return (*of_key, Mistake.WRONG_HASH, *encoded)
            for joined in (secret + content, content + secret, content):
                if (encoded := digests.get(hashlib.sha256(joined).digest())) is not None:
                    return (*of_key, Mistake.NOT_HMAC, *encoded)
            if (encoded := digests.get(hmac.digest(content, secret, "sha256"))) is not None:
                return (*of_key, Mistake.NOT_HMAC, *encoded)
    return None


def _key_pair(digests: dict[bytes, tuple[Mistake, ...]]) -> tuple[Mistake, ...] | None:
    """64 bytes are a signature of the key pair's, copied from the header."""
    return (Mistake.KEY_PAIR,) if any(len(digest) == 64 for digest in digests) else None
