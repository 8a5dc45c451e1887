"""Every mistake that people make with signatures, made here as a receiver would, is named."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from relay.advice import CURES
from relay.mistakes import Known, Message, Mistake, compare, diagnose
from relay.signing import Ed25519Key, HmacKey, new_secret, new_signing_key, sign, signed_content

ID, TS = "evt-2f6c1", 1795222923
VALUE = {
    "type": "transfer.created",
    "timestamp": "2026-11-21T01:02:03.456789Z",
    "data": {"role": "target", "sequence": 1, "late": False, "transfer": {
        "name": "譲渡 <R&D>", "z": None, "a": "https://contoso.example/x", "quantity": 25}},
}  # fmt: skip
BODY = orjson.dumps(VALUE)
SECRET, OLD, OTHER = new_secret(), new_secret(), new_secret()
TEXT = SECRET.removeprefix("whsec_")
KEY = base64.b64decode(TEXT)
KNOWN = Known(
    sent=Message(ID, str(TS), BODY), secret=SECRET, previous=[OLD], others=[OTHER], ids=["dlv_ep_1_ab"],
    timestamps=[str(TS - 7000)],
)  # fmt: skip


def mac(content: bytes, key: bytes = KEY, kind: Any = hashlib.sha256) -> bytes:
    return hmac.new(key, content, kind).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def content(body: bytes = BODY, *, id_: str = ID, ts: object = TS) -> bytes:
    return f"{id_}.{ts}.".encode() + body


def go(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode()


M = Mistake
RIGHT = mac(content())
MADE: dict[str, tuple[str, tuple[Mistake, ...]]] = {
    "right": (b64(RIGHT), ()),
    "right, as in the header": (f"v1,{b64(RIGHT)}", ()),
    "right, one of a list": (f"v1,{b64(bytes(32))} v1,{b64(RIGHT)}", ()),
    "the library of others": (Webhook(SECRET).sign(ID, __import__("datetime").datetime.fromtimestamp(
        TS, __import__("datetime").timezone.utc), BODY.decode()), ()),
    "secret as text": (b64(mac(content(), TEXT.encode())), (M.KEY_UNDECODED,)),
    "secret with its prefix": (b64(mac(content(), SECRET.encode())), (M.PREFIX_KEPT,)),
    "prefix decoded too": (b64(mac(content(), base64.b64decode(SECRET + "=="))), (M.PREFIX_KEPT,)),
    "prefix decoded by the URL alphabet": (b64(mac(content(), base64.urlsafe_b64decode(SECRET.rstrip("=")[:-1]))), (M.PREFIX_KEPT,)),
    "secret from a file with a line end": (b64(mac(content(), SECRET.encode() + b"\n")), (M.KEY_MANGLED,)),
    "secret in quotes": (b64(mac(content(), f'"{SECRET}"'.encode())), (M.KEY_MANGLED,)),
    "secret in hex": (b64(mac(content(), KEY.hex().encode())), (M.KEY_MANGLED,)),
    "no secret": (b64(mac(content(), b"")), (M.KEY_EMPTY,)),
    "old secret": (b64(mac(content(), base64.b64decode(OLD[6:]))), (M.OLD_KEY,)),
    "old secret as text": (b64(mac(content(), OLD[6:].encode())), (M.OLD_KEY, M.KEY_UNDECODED)),
    "another endpoint's": (b64(mac(content(), base64.b64decode(OTHER[6:]))), (M.OTHER_KEY,)),
    "no id": (b64(mac(f"{TS}.".encode() + BODY)), (M.ID_MISSING,)),
    "no timestamp": (b64(mac(f"{ID}.".encode() + BODY)), (M.TIMESTAMP_MISSING,)),
    "the body alone": (b64(mac(BODY)), (M.BODY_ONLY,)),
    "the body alone, in hex": ("sha256=" + mac(BODY).hex(), (M.BODY_ONLY, M.HEX)),
    "no body": (b64(mac(content(b""))), (M.BODY_MISSING,)),
    "swapped": (b64(mac(f"{TS}.{ID}.".encode() + BODY)), (M.PARTS_SWAPPED,)),
    "no full stops": (b64(mac(f"{ID}{TS}".encode() + BODY)), (M.SEPARATOR,)),
    "colons": (b64(mac(f"{ID}:{TS}:".encode() + BODY)), (M.SEPARATOR,)),
    "the delivery's id": (b64(mac(content(id_="dlv_ep_1_ab"))), (M.WRONG_ID,)),
    "another attempt's time": (b64(mac(content(ts=TS - 7000))), (M.WRONG_TIMESTAMP,)),
    "milliseconds": (b64(mac(content(ts=TS * 1000))), (M.WRONG_TIMESTAMP,)),
    "the event's time": (b64(mac(content(ts=VALUE["timestamp"]))), (M.WRONG_TIMESTAMP,)),
    "the receiver's clock": (b64(mac(content(ts=TS + 3))), (M.WRONG_TIMESTAMP,)),
    "a fraction": (b64(mac(content(ts=f"{TS}.0"))), (M.WRONG_TIMESTAMP,)),
    "Python wrote it again": (b64(mac(content(json.dumps(VALUE).encode()))), (M.JSON_RESERIALISED,)),
    "JavaScript, indented": (b64(mac(content(json.dumps(VALUE, indent=2, ensure_ascii=False).encode()))), (M.JSON_RESERIALISED,)),
    "sorted": (b64(mac(content(orjson.dumps(VALUE, option=orjson.OPT_SORT_KEYS)))), (M.JSON_RESERIALISED,)),
    "Go wrote it again": (b64(mac(content(go(VALUE)))), (M.JSON_RESERIALISED,)),
    "Go's encoder": (b64(mac(content(go(VALUE) + b"\n"))), (M.JSON_RESERIALISED,)),
    "PHP wrote it again": (b64(mac(content(json.dumps(VALUE, separators=(",", ":")).replace("/", "\\/").encode()))), (M.JSON_RESERIALISED,)),
    "written again and the secret as text": (b64(mac(content(json.dumps(VALUE).encode()), TEXT.encode())), (M.KEY_UNDECODED, M.JSON_RESERIALISED)),
    "written again and alone": (b64(mac(json.dumps(VALUE).encode())), (M.JSON_RESERIALISED, M.BODY_ONLY)),
    "a line end": (b64(mac(content(BODY + b"\n"))), (M.TRAILING_NEWLINE,)),
    "latin-1": (b64(mac(content(BODY.decode("latin-1").encode()))), (M.WRONG_CHARSET,)),
    "a byte order mark": (b64(mac(content(b"\xef\xbb\xbf" + BODY))), (M.WRONG_CHARSET,)),
    "printed bytes": (b64(mac(content(str(BODY).encode()))), (M.BODY_PRINTED,)),
    "printed dict": (b64(mac(content(str(VALUE).encode()))), (M.BODY_PRINTED,)),
    "printed object": (b64(mac(content(b"[object Object]"))), (M.BODY_PRINTED,)),
    "a gateway's base64": (b64(mac(content(base64.b64encode(BODY)))), (M.BODY_ENCODED,)),
    "data alone": (b64(mac(content(orjson.dumps(VALUE["data"])))), (M.PART_OF_BODY,)),
    "hex": (RIGHT.hex(), (M.HEX,)),
    "HEX": (RIGHT.hex().upper(), (M.HEX,)),
    "URL alphabet": (base64.urlsafe_b64encode(RIGHT).decode().rstrip("="), (M.BASE64URL,)),
    "base64 of hex": (b64(RIGHT.hex().encode()), (M.HEX, M.ENCODED_TWICE)),
    "base64 of base64": (b64(b64(RIGHT).encode()), (M.ENCODED_TWICE,)),
    "SHA-1": (b64(mac(content(), kind=hashlib.sha1)), (M.WRONG_HASH,)),
    "SHA-512 in hex": (mac(content(), kind=hashlib.sha512).hex(), (M.WRONG_HASH, M.HEX)),
    "no HMAC": (b64(hashlib.sha256(KEY + content()).digest()), (M.NOT_HMAC,)),
    "swapped arguments": (b64(mac(KEY, content())), (M.NOT_HMAC,)),
    "no signature": ("hello", (M.NOT_A_SIGNATURE,)),
}  # fmt: skip


@pytest.mark.parametrize(("claimed", "mistakes"), MADE.values(), ids=MADE)
def test_each_mistake_is_named(claimed: str, mistakes: tuple[Mistake, ...]) -> None:
    assert diagnose(claimed, KNOWN) == mistakes


def test_the_other_signature_of_the_header_is_recognised() -> None:
    pair, _ = new_signing_key()
    header = sign(ID, TS, BODY, [Ed25519Key.parse(pair)])
    assert diagnose(header, KNOWN) == (Mistake.KEY_PAIR,)
    assert diagnose(sign(ID, TS, BODY, [HmacKey.parse(SECRET), Ed25519Key.parse(pair)]), KNOWN) == ()


@pytest.mark.parametrize("claimed", [b64(bytes(32)), "0" * 64, b64(b"x" * 20)])
def test_what_no_usual_mistake_gives_is_said_to_be_unknown(claimed: str) -> None:
    assert diagnose(claimed, KNOWN) is None


GIVEN: list[tuple[Message, int | None, list[Mistake]]] = [
    (Message(ID, str(TS), BODY), TS + 299, []),
    (Message("", "", b""), None, []),
    (Message("evt-2", "", b""), None, [Mistake.WRONG_ID]),
    (Message(ID, str(TS + 1), b""), None, [Mistake.WRONG_TIMESTAMP]),
    (Message(ID, "", json.dumps(VALUE).encode()), None, [Mistake.JSON_RESERIALISED]),
    (Message(ID, "", BODY + b"\n"), None, [Mistake.TRAILING_NEWLINE]),
    (Message(ID, "", b"{}"), TS - 301, [Mistake.OTHER_BODY, Mistake.CLOCK]),
]


@pytest.mark.parametrize(("message", "clock", "mistakes"), GIVEN)
def test_what_a_receiver_says_it_used_is_compared(
    message: Message, clock: int | None, mistakes: list[Mistake]
) -> None:
    assert compare(KNOWN, message, clock) == mistakes


def test_every_mistake_has_its_cure_in_words() -> None:
    assert set(CURES) == set(Mistake)
    assert all(cure.endswith((".", ").")) for cure in CURES.values())


def test_every_mistake_is_made_in_these_tests() -> None:
    made = {mistake for _, mistakes in MADE.values() for mistake in mistakes}
    made |= {mistake for *_, mistakes in GIVEN for mistake in mistakes}
    assert set(Mistake) - made == {Mistake.COMPARISON, Mistake.KEY_PAIR}


def test_what_is_signed_is_what_the_relay_signs() -> None:
    assert KNOWN.sent.signed() == signed_content(ID, TS, BODY)


@given(claimed=st.text(max_size=200), body=st.binary(max_size=200))
@settings(max_examples=30, deadline=None)
def test_no_text_and_no_body_make_it_fail(claimed: str, body: bytes) -> None:
    known = Known(sent=Message(ID, str(TS), body), secret=SECRET)
    diagnose(claimed, known)
    diagnose(b64(bytes(32)), known)


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"[" * 900 + b"]" * 900, b'{"a":' * 80 + b"1" + b"}" * 80, b'"\\ud800"', b'{"timestamp":"\\ud800"}', b"x" * 400_000],
)
def test_a_body_made_to_hurt_does_not(body: bytes) -> None:
    assert (
        diagnose(b64(bytes(32)), Known(sent=Message(ID, str(TS), body), secret=SECRET, others=[OTHER] * 1000))
        is None
    )
