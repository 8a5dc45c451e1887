"""Is what comes back read for what it says, and believed for nothing but its signature?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import load
from relay.errors import ConfigError
from relay.mail.report import Kind, read
from relay.mail.return_path import LONGEST_LOCAL_PART, Refusal, ReturnPath
from tests.fakes.reports import EVERY, TO, arf, dsn

DAY_MS = 86_400_000
NOW = 1_795_222_923_000
DELIVERY = "dlv_mb_" + "0123456789" * 2 + "_" + "ab" * 10
PATH = ReturnPath("bounces@relay.example", b"k" * 32, 14 * DAY_MS)


@pytest.mark.parametrize("name", EVERY)
def test_every_report_is_read_for_what_it_is(name: str) -> None:
    raw, kind, status = EVERY[name]
    said = read(raw)
    assert (said.kind, said.status) == (kind, status)


@pytest.mark.parametrize("name", [name for name, (raw, *_) in EVERY.items() if TO.encode() in raw])
def test_the_return_path_is_found_wherever_the_report_has_it(name: str) -> None:
    address = PATH.of(DELIVERY, NOW)
    assert address is not None
    found = [token for place in read(EVERY[name][0].replace(TO.encode(), address.encode())).places for token in PATH.find(place)]
    assert [PATH.read(token, NOW) for token in dict.fromkeys(found)] == [DELIVERY]


def test_it_is_found_in_the_headers_of_the_mail_itself() -> None:
    address = PATH.of(DELIVERY, NOW)
    raw = arf(original=f"Return-Path: <{address}>").replace(f"Original-Mail-From: <{TO}>\r\n".encode(), b"")
    assert raw.count(b"bounces+") == 1
    assert [PATH.read(token, NOW) for place in read(raw).places for token in PATH.find(place)] == [DELIVERY]


def test_what_the_other_side_said_is_kept_short_and_in_one_line() -> None:
    said = read(dsn(said="smtp; 550 5.1.1 " + "x" * 2000 + "\n and more"))
    assert said.detail.startswith("550 5.1.1 xxx")
    assert len(said.detail) == 512


def test_nesting_and_floods_of_parts_are_borne() -> None:
    deep = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(5000)
    )
    assert read(deep).kind is Kind.OTHER
    wide = b'Content-Type: multipart/report; boundary="b"\r\n\r\n' + b"--b\r\n\r\nx\r\n" * 20_000
    assert read(wide).kind is Kind.OTHER
    messages = b"Content-Type: message/rfc822\r\n\r\n" * 5000
    assert read(messages).kind is Kind.OTHER


BOMBS = {
    # What the standard library takes minutes for, or raises.
    "parameters": b'Content-Type: multipart/mixed; x="' + b";" * 1_000_000 + b"\r\n\r\nx",
    "folded parameters": b"Content-Type: multipart/mixed;" + b'\r\n x=";;;;;;;' * 60_000 + b"\r\n\r\nx",
    "old newlines": b'Content-Type: multipart/mixed; x="' + b"\r ;" * 300_000 + b"\r\rx",
    "boundaries": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(400)) + b"\n" * 900_000,
    "numbers": b"Content-Type: multipart/mixed; boundary*" + b"9" * 900 + b'="x"\r\n\r\nx',
    "longer numbers": b"Content-Type: multipart/mixed; boundary*" + b"9" * 5000 + b'="x"\r\n\r\nx',
    "charset": b"Content-Type: multipart/mixed; boundary*=nonsense''x\r\n\r\nx",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_no_message_keeps_it_busy(name: str) -> None:
    assert read(BOMBS[name]).kind is Kind.OTHER


@given(st.binary(max_size=400), st.sampled_from(sorted(EVERY)), st.integers(0, 2000))
def test_nothing_that_is_sent_breaks_it(noise: bytes, name: str, at: int) -> None:
    raw = EVERY[name][0]
    read(noise)
    read(raw[:at] + noise + raw[at + len(noise) :])


# --- return paths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("queue", ["mb", "mb_daily"])
def test_a_return_path_names_its_delivery_and_fits(queue: str) -> None:
    delivery = DELIVERY.replace("_mb_", f"_{queue}_")
    path = ReturnPath("b" * LONGEST_LOCAL_PART + "@Bücher.example", b"k" * 32, DAY_MS)
    address = path.of(delivery, NOW)
    assert address is not None and address.isascii()
    assert len(address.rpartition("@")[0]) == 64
    assert [path.read(token, NOW) for token in path.find(f"To: <{address}>")] == [delivery]
    # Systems on the way change the case, or put the address into another one.
    for written in (address.upper(), f"SRS0=abcd=ef=relay.example={address.replace('@', '=40')}@fwd.example"):
        assert [path.read(token, NOW) for token in path.find(written)] == [delivery]


def test_it_is_believed_until_it_expires_and_only_from_who_has_the_key() -> None:
    address = PATH.of(DELIVERY, NOW)
    assert address is not None
    (token,) = PATH.find(address)
    assert PATH.read(token, NOW + 14 * DAY_MS) == DELIVERY
    assert PATH.read(token, NOW + 15 * DAY_MS + 1) is Refusal.EXPIRED
    assert ReturnPath(PATH.mailbox, b"x" * 32, PATH.lifetime_ms).read(token, NOW) is Refusal.FORGED


@given(st.integers(0, 47), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_whatever_is_changed_in_it_is_noticed(at: int, char: str) -> None:
    address = PATH.of(DELIVERY, NOW)
    assert address is not None
    (token,) = PATH.find(address)
    changed = token[:at] + char + token[at + 1 :]
    assert (PATH.read(changed, NOW) is Refusal.FORGED) == (changed != token)


def test_what_is_no_mail_has_none() -> None:
    assert PATH.of("dlv_ep_1_abc", NOW) is None
    assert list(PATH.find("bounces@relay.example bounces+abc@relay.example bounces+" + "a" * 48 + "@other.example")) == []


@pytest.mark.parametrize("wrong", ["bounces", "a b@x.example", "bounces+x@x.example", "bouncesofthetransferrelay@x.example"])
def test_a_bounce_mailbox_that_cannot_be_one_is_told(wrong: str) -> None:
    with pytest.raises(ConfigError, match="at most 15"):
        load(None, {"RELAY_BOUNCES__RETURN_ADDRESS": wrong})
