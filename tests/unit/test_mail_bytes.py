"""What the bytes of a message are, whatever is in it, and how its text sits on lines."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from base64 import b64decode
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from relay.errors import MessageError
from relay.mail.compose import Composer
from relay.mail.flow import flow, wrap
from relay.mail.mime import address, encoded_words, message_id
from relay.mail.notice import EndpointNotice, NoticeType
from relay.mail.preview import write_preview
from relay.mail.samples import CHOOSE_AT, DATE_MS
from relay.mail.settings import PlainMailSettings
from relay.mail.words import clean
from relay.model import Audience, Channel, Outcome, Recipient
from tests.fakes.mails import (
    EVERY,
    LOCALES,
    SAMPLES,
    TEMPLATES,
    both,
    changed,
    compose,
    composer,
    parsed,
    seen,
    squeezed,
)

# --- the bytes -------------------------------------------------------------------------------------------


def test_the_same_inputs_give_the_same_bytes() -> None:
    sample = SAMPLES["subscription-completed-target"]
    other = Composer(PlainMailSettings(from_address="transfers@relay.example"), TEMPLATES)
    again = other.compose(
        body=sample.body,
        recipient=sample.recipient,
        delivery_id="dlv_01jd8m2k",
        event_id="evt-2f6c3",
        transfer_key="43fb1d3a",
        date_ms=DATE_MS,
        locale="ja",
        preferences_url=CHOOSE_AT,
    )
    assert again == compose(sample, "ja")


def test_the_headers() -> None:
    message = compose(SAMPLES["subscription-created-source"], "en")
    head = message.raw.split(b"\r\n\r\n", 1)[0].decode()
    assert re.sub(r"(transfer-|=_)[a-z2-7]{26,32}|=_[0-9a-f]{32}", r"\1#", head).split("\r\n") == [
        'From: "Transfer Relay" <transfers@relay.example>',
        "To: =?utf-8?b?5qOuIOiRtQ==?=",
        " <source@reader.example>",
        "Subject: =?utf-8?b?W05ldyByZXF1ZXN0XSDmoKrlvI/kvJrnpL7jg6zjg6zjgq/jg6k=?=",
        " =?utf-8?b?44Km44OJOiB0cmFuc2ZlciBvZiBzdWJzY3JpcHRpb25zIHRvIEZhYnJpa2Ft?=",
        " =?utf-8?b?IERpc3RyaWJ1dGlvbiBMdGQuICg0M0ZCMUQzQSk=?=",
        "Date: Sat, 21 Nov 2026 05:05:00 +0000",
        "Message-ID: <dlv_01jd8m2k@relay.example>",
        "In-Reply-To: <transfer-#@relay.example>",
        "References: <transfer-#@relay.example>",
        "Thread-Topic: =?utf-8?b?5qCq5byP5Lya56S+44Os44Os44Kv44Op44Km44OJOiB0cmFu?=",
        " =?utf-8?b?c2ZlciBvZiBzdWJzY3JpcHRpb25zIHRvIEZhYnJpa2FtIERpc3RyaWJ1dGlv?=",
        " =?utf-8?b?biBMdGQuICg0M0ZCMUQzQSk=?=",
        "Thread-Index: Ad14isECBNNaYLzBMR0t7DNm+Nl/FA==",
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: All",
        "Content-Language: en",
        f"List-Unsubscribe: <{CHOOSE_AT}>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="#"',
    ]
    assert parsed(message)["Date"].datetime == datetime.fromtimestamp(DATE_MS / 1000, UTC)


@pytest.mark.parametrize("name", SAMPLES)
def test_what_may_be_chosen_about_has_its_link_and_what_may_not_says_so(name: str) -> None:
    """RFC 8058: both headers or none, plain and unfolded, and the same link for a person to open."""
    sample = SAMPLES[name]
    always = sample.type in ("endpoint.warned", "endpoint.disabled") or "-root" in name
    message = compose(sample, "en")
    head = message.raw.split(b"\r\n\r\n", 1)[0].decode().split("\r\n")
    found = [line for line in head if line.startswith("List-")]
    links = [attrs["href"] for tag, attrs in seen(message.html).tags if tag == "a" and attrs["href"] == CHOOSE_AT]
    if always:
        assert not found and not links and CHOOSE_AT not in message.text
        assert all("Thismessageisalwayssent,because" in part for part in both(message))
    else:
        assert found == [
            f"List-Unsubscribe: <{CHOOSE_AT}>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        ]  # fmt: skip
        assert len(links) == 1 and CHOOSE_AT in message.text.split("\n")
        assert not any("alwayssent" in part for part in both(message))


def test_one_click_is_offered_over_https_only_and_without_a_link_nothing_is() -> None:
    sample = SAMPLES["subscription-created-source"]
    plain = parsed(compose(sample, "en", preferences_url="http://127.0.0.1:8080/preferences/x"))
    assert plain["List-Unsubscribe"] == "<http://127.0.0.1:8080/preferences/x>"
    assert "List-Unsubscribe-Post" not in plain
    none = compose(sample, "en", preferences_url="")
    assert "List-Unsubscribe" not in parsed(none) and "Choose which" not in none.text + none.html


def test_a_reader_s_mails_of_one_transfer_are_one_thread() -> None:
    roots = {
        parsed(compose(SAMPLES[name], "en", delivery_id=name))["References"]
        for name in ("subscription-created-source", "subscription-completed-source")
    }
    assert len(roots) == 1
    other = parsed(compose(SAMPLES["subscription-created-source"], "en", transfer_key="another"))
    assert other["References"] not in roots


EVENT = re.compile(r"\[([^][]+)\] (.+)")


@pytest.mark.parametrize("locale", LOCALES)
def test_the_subject_tells_the_event_and_keeps_the_thread_together(locale: str) -> None:
    """Gmail leaves out what stands in brackets before a subject and wants the rest to be the same."""
    topics: dict[str, set[str]] = defaultdict(set)
    events: dict[str, list[str]] = defaultdict(list)
    for sample in SAMPLES.values():
        message = compose(sample, locale)
        found = EVENT.fullmatch(message.subject)
        assert found and "…" not in message.subject, message.subject
        if sample.kind == "daily":  # it is in no thread
            assert not {"Thread-Topic", "References", "In-Reply-To"} & set(parsed(message))
            continue
        thread = f"{sample.kind} {sample.recipient.audience}"
        topics[thread].add(found[2])
        events[f"{thread} {sample.type}"].append(found[1])
        assert parsed(message)["Thread-Topic"] == found[2]
    assert {len(found) for found in topics.values()} == {1}
    for thread in topics:
        kinds = [set(said) for key, said in events.items() if key.startswith(thread + " ")]
        assert len(set.union(*kinds)) >= len(kinds), "two events of one thread are called the same"


@pytest.mark.parametrize("name", ["譲" * 300, "A" * 300])
def test_a_long_name_is_cut_alike_whatever_the_event(name: str) -> None:
    topics = set()
    for event in ("subscription-expiring-source", "subscription-completed-source", "subscription-partially-completed-source"):
        subject = compose(changed(event, customer={"id": "c", "name": name}), "de").subject
        assert subject.endswith(" (43FB1D3A)")
        topics.add(subject.partition("] ")[2])
    assert len(topics) == 1


def test_outlook_s_thread_index_is_one_a_thread() -> None:
    indices = {
        parsed(compose(SAMPLES[name], locale, transfer_key=key))["Thread-Index"]
        for name, locale, key in (
            ("subscription-created-source", "en", "a"),
            ("subscription-completed-source", "ja", "a"),
            ("subscription-created-source", "en", "b"),
            ("subscription-created-customer", "en", "a"),
        )
    }
    assert len(indices) == 3
    for index in indices:
        data = b64decode(index)
        ticks = int.from_bytes(data[:6] + b"\0\0", "big")
        began = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)
        assert len(data) == 22 and abs(began - datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC)) < timedelta(seconds=1)


@pytest.mark.parametrize("created_at", ["0001-01-01T00:00:00Z", "1600-12-31T23:59:59Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("locale", ["en", "ja"])
def test_a_transfer_of_any_year_can_be_told(created_at: str, locale: str) -> None:
    times = {"created_at": created_at, "expires_at": created_at}
    message = parsed(compose(changed("subscription-created-source", **times), locale))
    assert len(b64decode(message["Thread-Index"])) == 22


def test_a_long_delivery_id_is_never_an_encoded_word() -> None:
    for token in ("d" * 200, "evt-1:fabrikam|x@y", "д" * 20):
        message = compose(SAMPLES["subscription-created-source"], "en", delivery_id=token)
        for line in message.raw.split(b"\r\n\r\n", 1)[0].split(b"\r\n"):
            assert not line.startswith((b"Message-ID: =?", b"References: =?", b"In-Reply-To: =?"))
        assert re.fullmatch(r"<[!-~]+@relay\.example>", str(parsed(message)["Message-ID"]))


def test_a_domain_outside_ascii_is_encoded_and_a_local_part_asks_for_smtputf8() -> None:
    sample = SAMPLES["subscription-created-source"]
    domain = replace(sample.recipient, email="mori@例え.jp")
    message = compose(sample, "ja", recipient=domain)
    assert (message.to, message.smtputf8) == ("mori@xn--r8jz45g.jp", False)
    local = replace(sample.recipient, email="森@例え.jp")
    message = compose(sample, "ja", recipient=local)
    assert (message.to, message.smtputf8) == ("森@xn--r8jz45g.jp", True)
    assert "森@xn--r8jz45g.jp".encode() in message.raw


@pytest.mark.parametrize(
    "email", ["", "nobody", "a@", "@b", "a b@c.example", "a@b.example\r\nBcc: x@y", "a@\u2024.jp"]
)
def test_an_address_that_is_none_cannot_be_written_to(email: str) -> None:
    with pytest.raises(MessageError):
        address(email)


HOSTILE = [
    "<script>alert(1)</script>&amp;\"'",
    "Contoso\r\nBcc: everybody@evil.example\r\n\r\nhello",
    "moc.\u202eelpmaxe\u2066\u2028\x00\x1b[31m",
    "😀" * 300,
    "👨‍👩‍👧‍👦" * 40,
    "{{ 7 * 7 }}{% raw %}",
    "=?utf-8?b?aGVsbG8=?=",
    "- point\n\n- another",
    "\ufeff\u200b",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("locale", LOCALES)
def test_a_hostile_name_is_only_a_name(name: str, locale: str) -> None:
    sample = changed(
        "subscription-failed-source",
        target={"id": "t", "name": name},
        customer={"id": "c", "name": name},
        items=[
            {
                "id": "1",
                "name": name,
                "quantity": 1,
                "status": "failed",
                "error": {"code": "1", "message": name},
            }
        ],
    )
    recipient = replace(sample.recipient, name=name)
    message = compose(sample, locale, recipient=recipient)
    mail = parsed(message)
    assert not mail.defects and "Bcc" not in mail
    assert [str(one) for one in (mail["Subject"],)] == [message.subject]
    assert len(message.subject) <= 150
    tags = [tag for tag, _ in seen(message.html).tags]
    assert "script" not in tags and tags.count("li") == 0
    for text in (message.subject, message.text, message.html):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\u2028]", text)
    assert "49" not in message.subject
    if clean(name):
        assert squeezed(clean(name)) in both(message)[1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"type":"transfer.created"}',
        b'{"type":"transfer.unheard","data":{"transfer":{"kind":"sim"}}}',
        b'{"type":"transfer.expired","timestamp":"2026-11-21T00:00:00Z","data":{"role":"source","transfer":{"kind":"sim","id":"1",'
        b'"status":"expired","created_at":"2026-11-21T00:00:00Z","source":{"id":"a","name":"a"},"target":{"id":"b","name":"b"}}}}',
    ],
)
def test_a_body_that_fits_no_message_is_a_message_error(body: bytes) -> None:
    with pytest.raises(MessageError):
        compose(dataclasses.replace(SAMPLES["sim-created-source"], body=body), "en")


def test_a_gone_endpoint_is_told_as_such() -> None:
    notice = EndpointNotice(
        type=NoticeType.DISABLED,
        at_ms=DATE_MS,
        endpoint="ep_1",
        host="h.example",
        partner="P",
        outcome=Outcome.GONE,
        status=410,
        waiting=1,
    )
    recipient = Recipient(id="r", channel=Channel.EMAIL, audience=Audience.SOURCE, email="a@b.example")
    message = composer().compose(
        body=notice.body(), recipient=recipient, delivery_id="d", event_id="e", transfer_key="ep_1", date_ms=0
    )
    assert "gone (HTTP 410)" in message.text and "delete it" in message.text


# --- lines -----------------------------------------------------------------------------------------------


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_wrapping_loses_nothing(text: str) -> None:
    assert squeezed(wrap(text)) == squeezed(text)


@given(st.text(max_size=120))
@settings(max_examples=200, deadline=None)
def test_encoded_words_read_back(text: str) -> None:
    shown = clean(text)
    if not shown:
        return
    raw = f"Subject: {encoded_words('Subject', shown)}\r\n\r\n"
    assert all(len(line) <= 76 for line in raw.split("\r\n"))
    assert str(message_from_bytes(raw.encode(), policy=policy.default)["Subject"]) == shown


@given(st.text(max_size=400))
@settings(max_examples=200, deadline=None)
def test_clean_text_is_one_line_without_controls(text: str) -> None:
    shown = clean(text)
    assert len(shown) <= 120 and len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(char) == "Cc" for char in shown)


def test_a_japanese_line_does_not_begin_with_a_closing_mark() -> None:
    lines = flow("承認の義務はありません。" * 20).split("\n")
    assert len(lines) > 2
    assert not any(line[0] in "、。」" for line in lines)


def test_a_sentence_that_ends_with_a_name_has_one_stop() -> None:
    assert flow("It is with Fabrikam Ltd..\nReally... so..\n\n- Ask Fabrikam Ltd..") == (
        "It is with Fabrikam Ltd. Really... so.\n\n* Ask Fabrikam Ltd."
    )
    for locale in LOCALES:
        assert not re.search(r"Ltd\.\.", compose(SAMPLES["subscription-completed-customer"], locale).text)


def test_a_message_id_keeps_a_token_that_is_one() -> None:
    assert message_id("dlv_1", "relay.example") == "<dlv_1@relay.example>"


def test_the_preview_has_every_message(tmp_path: Path) -> None:
    written = write_preview(tmp_path, composer(), TEMPLATES)
    assert len(written) == len(SAMPLES) * len(LOCALES) * 6 + 1
    assert all(path.stat().st_size for path in written)
    index = (tmp_path / "index.html").read_text("utf-8")
    for name, locale in EVERY:
        assert f"{locale}/{name}.html" in index
    dark, light = (
        (tmp_path / f"ja/sim-created-target.{scheme}.html").read_text("utf-8") for scheme in ("dark", "light")
    )
    assert "@media all" in dark and "@media not all" in light
