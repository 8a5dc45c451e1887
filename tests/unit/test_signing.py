"""Standard Webhooks to the letter, checked against its vectors and the libraries of others."""

import base64
from datetime import UTC, datetime

import pytest
import standardwebhooks
import svix.webhooks
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from relay.errors import SignatureError
from relay.signing import (
    Ed25519Key,
    HmacKey,
    Key,
    new_secret,
    new_signing_key,
    sign,
    verify,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SIGNING_KEY = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC_KEY = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SENT_S = 1614265330
BODY = b'{"test": 2432232314}'
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="

hmac_key = HmacKey.parse(SECRET)
ed_key = Ed25519Key.parse(SIGNING_KEY)


def headers(
    signature: str = V1, *, message_id: str = MESSAGE_ID, timestamp: str = str(SENT_S)
) -> dict[str, str]:
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}


def test_the_standards_own_vectors() -> None:
    assert sign(MESSAGE_ID, SENT_S, BODY, [hmac_key]) == V1
    assert sign(MESSAGE_ID, SENT_S, BODY, [ed_key]) == V1A
    assert ed_key.public_text == PUBLIC_KEY


def test_every_key_signs_v1_before_v1a_and_in_the_order_given() -> None:
    previous = HmacKey.parse(new_secret())
    signed = sign(MESSAGE_ID, SENT_S, BODY, [ed_key, hmac_key, previous])
    assert signed == f"{V1} {sign(MESSAGE_ID, SENT_S, BODY, [previous])} {V1A}"
    for key in (hmac_key, previous, ed_key):
        verify(headers(signed), BODY, [key], now_s=SENT_S)


@given(
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    st.text(max_size=200).map(str.encode),
    st.binary(min_size=24, max_size=64),
)
def test_the_libraries_of_others_accept_what_is_signed(message_id: str, body: bytes, secret: bytes) -> None:
    text = "whsec_" + base64.b64encode(secret).decode()
    now_s = int(datetime.now(UTC).timestamp())
    signed = sign(message_id, now_s, body, [HmacKey.parse(new_secret()), HmacKey.parse(text)])
    given_headers = headers(signed, message_id=message_id, timestamp=str(now_s))
    standardwebhooks.Webhook(text).verify(body, given_headers, json_parse=False)
    svix.webhooks.Webhook(text).verify(body, given_headers)


@given(st.text(max_size=200))
def test_what_the_libraries_of_others_sign_is_accepted(body: str) -> None:
    moment = datetime.fromtimestamp(SENT_S, tz=UTC)
    for library in (standardwebhooks.Webhook(SECRET), svix.webhooks.Webhook(SECRET)):
        verify(headers(library.sign(MESSAGE_ID, moment, body)), body.encode(), [hmac_key], now_s=SENT_S)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_no_other_bytes_verify(body: bytes, other: bytes) -> None:
    signed = headers(sign(MESSAGE_ID, SENT_S, body, [hmac_key, ed_key]))
    for key in (hmac_key, ed_key):
        if other == body:
            verify(signed, other, [key], now_s=SENT_S)
        else:
            with pytest.raises(SignatureError):
                verify(signed, other, [key], now_s=SENT_S)


@pytest.mark.parametrize(
    ("away_s", "sound"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)]
)
def test_the_window_is_five_minutes_both_ways(away_s: int, sound: bool) -> None:
    if sound:
        verify(headers(), BODY, [hmac_key], now_s=SENT_S + away_s)
    else:
        with pytest.raises(SignatureError):
            verify(headers(), BODY, [hmac_key], now_s=SENT_S + away_s)


def test_header_names_are_read_in_any_case() -> None:
    shouted = {name.upper(): value for name, value in headers().items()}
    verify(shouted, BODY, [hmac_key], now_s=SENT_S)
    verify(CIMultiDict(shouted), BODY, [hmac_key], now_s=SENT_S)


def test_signatures_of_unknown_versions_are_skipped() -> None:
    verify(headers(f"v9,AAAA nonsense v1 v1, v1,é  {V1} v2,{V1[3:]}"), BODY, [hmac_key], now_s=SENT_S)


BAD: list[tuple[str, dict[str, str]]] = [
    ("nothing", {}),
    ("no id", {k: v for k, v in headers().items() if k != "webhook-id"}),
    ("no timestamp", {k: v for k, v in headers().items() if k != "webhook-timestamp"}),
    ("no signature", {k: v for k, v in headers().items() if k != "webhook-signature"}),
    ("another id", headers(message_id="msg_2")),
    ("another timestamp", headers(timestamp=str(SENT_S + 1))),
    ("padded timestamp", headers(timestamp=f"0{SENT_S}")),
    ("fractional timestamp", headers(timestamp=f"{SENT_S}.0")),
    ("signed timestamp", headers(timestamp=f"+{SENT_S}")),
    ("other digits", headers(timestamp="١٦١٤٢٦٥٣٣٠")),
    ("a timestamp of thousands of digits", headers(timestamp="1" * 5000)),
    ("not ascii", headers("v1,\u00e9\udcff", message_id="m\udcffé")),
    ("v1 called v1a", headers("v1a," + V1[3:])),
    ("cut short", headers(V1[:-8])),
    ("empty", headers("v1,")),
    ("flooded", headers("v1,AAAA " * 5000 + V1)),
]


@pytest.mark.parametrize(("given_headers"), [bad for _, bad in BAD], ids=[name for name, _ in BAD])
@pytest.mark.parametrize(
    "keys", [[hmac_key], [ed_key], [hmac_key, ed_key], []], ids=["v1", "v1a", "both", "none"]
)
def test_every_refusal_says_the_same(given_headers: dict[str, str], keys: list[Key]) -> None:
    with pytest.raises(SignatureError) as refused:
        verify(given_headers, BODY, keys, now_s=SENT_S)
    assert str(refused.value) == "the signature does not prove who sent this request"


def test_without_a_key_nothing_verifies() -> None:
    with pytest.raises(SignatureError):
        verify(headers(), BODY, [], now_s=SENT_S)
    with pytest.raises(SignatureError):
        verify(headers("v1," + base64.b64encode(bytes(32)).decode()), BODY, [], now_s=SENT_S)


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()))
def test_whatever_the_headers_hold_only_a_signature_error_comes_out(garbage: dict[str, str]) -> None:
    with pytest.raises(SignatureError):
        verify(garbage, BODY, [hmac_key, ed_key], now_s=SENT_S)


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "a\nb", "é", "a" * 257, "a\x7f"])
def test_an_id_that_could_be_mistaken_is_not_signed(message_id: str) -> None:
    with pytest.raises(SignatureError):
        sign(message_id, SENT_S, BODY, [hmac_key])


def test_an_id_with_a_full_stop_never_verifies() -> None:
    # id "a" at 1 with body "2.x" and id "a.1" at 2 with body "x" sign the same bytes.
    signed = sign("a", 1, b"2.x", [hmac_key])
    verify(headers(signed, message_id="a", timestamp="1"), b"2.x", [hmac_key], now_s=1)
    with pytest.raises(SignatureError):
        verify(headers(signed, message_id="a.1", timestamp="2"), b"x", [hmac_key], now_s=1)


def test_no_keys_no_signature() -> None:
    with pytest.raises(SignatureError):
        sign(MESSAGE_ID, SENT_S, BODY, [])


def test_fresh_keys_are_the_shapes_of_the_standard() -> None:
    secret = new_secret()
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert new_secret() != secret
    private, public = new_signing_key()
    assert len(base64.b64decode(private.removeprefix("whsk_"))) == 64
    assert len(base64.b64decode(public.removeprefix("whpk_"))) == 32
    assert Ed25519Key.parse(private).public_text == public


def _b64(length: int) -> str:
    return base64.b64encode(bytes(length)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        SECRET[6:],
        "whsk_" + _b64(32),
        "whsec_",
        "whsec_" + _b64(23),
        "whsec_" + _b64(65),
        "whsec_é",
        "whsec_a b",
    ],
)
def test_an_unusable_secret_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(SignatureError) as refused:
        HmacKey.parse(text)
    assert len(text) < 8 or text[6:] not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", SECRET, "whsk_" + _b64(63), "whsk_" + _b64(64), "whsk_" + _b64(32), PUBLIC_KEY]
)
def test_an_unusable_signing_key_is_refused(text: str) -> None:
    with pytest.raises(SignatureError):
        Ed25519Key.parse(text)


@pytest.mark.parametrize("length", [24, 64])
def test_secrets_of_24_to_64_bytes_are_taken(length: int) -> None:
    HmacKey.parse("whsec_" + _b64(length))


def test_keys_do_not_show_themselves() -> None:
    assert SECRET[6:] not in repr(hmac_key) + str(hmac_key)
    assert SIGNING_KEY[5:20] not in repr(ed_key) + str(ed_key)
