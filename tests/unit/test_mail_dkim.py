"""Does another's verifier believe what the relay signs, and nothing that somebody changed?"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from relay.cli import relay
from relay.config import load
from relay.config_mail import DkimSection
from relay.errors import ConfigError
from relay.mail.compose import Composed, Composer
from relay.mail.dkim import Signer
from relay.mail.samples import DATE_MS
from relay.mail.settings import PlainMailSettings
from tests.fakes import signatures
from tests.fakes.mails import LOCALES, SAMPLES, TEMPLATES, compose
from tests.fakes.signatures import keys, pem


@cache
def signing() -> Composer:
    return Composer(PlainMailSettings(dkim=keys()), TEMPLATES)


def signed(name: str, locale: str) -> Composed:
    sample = SAMPLES[name]
    return signing().compose(
        body=sample.body, recipient=sample.recipient, delivery_id="dlv_01jd8m2k", event_id="evt-2f6c3",
        transfer_key="43fb1d3a", date_ms=DATE_MS, acceptance_url=sample.url, locale=locale,
    )  # fmt: skip


def believed(raw: bytes) -> list[bool]:
    """What a receiver says of each signature."""
    return signatures.believed(raw, signing().dkim_records)


@pytest.mark.parametrize("locale", LOCALES)
def test_every_message_is_signed_by_each_key(locale: str) -> None:
    for name in SAMPLES:
        raw = signed(name, locale).raw
        assert believed(raw) == [True, True], name
        assert max(map(len, raw.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 78 + len("Content-Type: boundary=")


def test_the_same_message_has_the_same_signatures() -> None:
    """A retry after a crash sends what was stored; built anew, it would be no other."""
    again = Composer(PlainMailSettings(dkim=keys()), TEMPLATES)
    sample = SAMPLES["subscription-completed-source"]
    assert signed(sample.name, "ja") == again.compose(
        body=sample.body, recipient=sample.recipient, delivery_id="dlv_01jd8m2k", event_id="evt-2f6c3",
        transfer_key="43fb1d3a", date_ms=DATE_MS, locale="ja",
    )  # fmt: skip


def test_without_a_key_nothing_is_signed() -> None:
    assert b"DKIM" not in compose(SAMPLES["sim-created-source"], "en").raw


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\r\nFrom: ", b"\r\nFrom: ceo@bank.example\r\nFrom: "),
        (b"\r\nSubject: ", b"\r\nSubject: You have won\r\nSubject: "),
        (b"\r\nDate: ", b"\r\nReply-To: thief@bank.example\r\nDate: "),
        (b"\r\nDate: ", b"\r\nCc: more@bank.example\r\nDate: "),
        (b"\r\nDate: ", b"\r\nList-Unsubscribe: <https://evil.example/>\r\nDate: "),
        (b"\r\nMIME-Version: ", b'\r\nContent-Type: text/html; boundary="x"\r\nMIME-Version: '),
        (b"dlv_01jd8m2k@", b"dlv_another@"),
        (b"Fabrikam", b"Evilcorp"),
        (b"Content-Type: text/html", b"Content-Type: text/plain"),
    ],
)  # fmt: skip
def test_what_somebody_changed_is_not_believed(old: bytes, new: bytes) -> None:
    raw = signed("subscription-created-customer", "en").raw.replace(b"=\r\n", b"")
    whole = signed("sim-created-target-root-with-link", "en").raw
    assert old in (raw + whole)
    for one in (raw, whole):
        if old in one:
            assert True not in believed(one.replace(old, new, 1))


def test_what_a_server_may_change_on_the_way_is_believed() -> None:
    raw = signed("subscription-created-source", "ja").raw
    head, _, body = raw.partition(b"\r\n\r\n")
    head = b"Received: from relay\r\n by mx\r\n" + re.sub(rb"\r\n (?==\?)", b"\r\n\t  ", head)
    assert believed(head.replace(b"\r\nAuto-Submitted:", b"\r\nauto-submitted: ") + b"\r\n\r\n" + body + b"\r\n\r\n") == [True, True]


def test_a_body_of_nothing_and_one_without_an_end_of_line_are_believed() -> None:
    signer = Signer(keys(), "relay.example")
    head = b"From: a@relay.example\r\nSubject:   two \t words  \r\n\tand more \r\n\r\n"
    for body in (b"", b"\r\n\r\n", b"one", b"one  two \r\n \r\n", b" \t\r\n"):
        assert believed(signer.signed(head + body, 1_795_237_500)) == [True, True], body


def test_a_key_of_the_domain_above_signs_too() -> None:
    settings = PlainMailSettings(
        from_address="a@mail.relay.example",
        dkim=[DkimSection(selector="up", key=keys()[0].key, domain="relay.example")],
    )
    assert [one.name for one in Composer(settings, TEMPLATES).dkim_records] == ["up._domainkey.relay.example"]


CURVE = pem(ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"selector": ""}, r"mail\.dkim\.0\.selector"),
        ({"selector": "a b"}, r"mail\.dkim\.0\.selector"),
        ({"selector": "a", "key": "x", "domain": "other.example"}, r"mail\.dkim\.0\.domain: other\.example is neither"),
        ({"selector": "a", "key": "x", "domain": "y.example"}, "neither relay.example"),
        ({"selector": "a"}, "either key_file"),
        ({"selector": "a", "key": "x", "key_file": "y"}, "either key_file"),
        ({"selector": "a", "key": "secret-that-is-no-key"}, r"mail\.dkim\.0\.key: it is not a private key"),
        ({"selector": "a", "key_file": "/nowhere/dkim.pem"}, r"key_file: /nowhere/dkim\.pem cannot be read"),
        ({"selector": "a", "key": CURVE}, "make an RSA or an Ed25519 key"),
    ],
)
def test_a_key_of_no_use_is_a_configuration_problem(section: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        Signer([DkimSection(**section)], "relay.example")
    assert "secret-that" not in str(refused.value)


def test_all_that_is_wrong_with_keys_is_said_at_once() -> None:
    weak = pem(rsa.generate_private_key(65537, 1024))
    locked = pem(Ed25519PrivateKey.generate(), b"password")
    with pytest.raises(ConfigError) as refused:
        Signer([DkimSection(selector="a", key=weak), DkimSection(selector="b", key=locked), *keys()[:1] * 2], "relay.example")
    assert [one.partition(": ")[0] for one in refused.value.problems] == ["mail.dkim.0.key", "mail.dkim.1.key", "mail.dkim"]
    assert "1024 bits" in refused.value.problems[0]


def test_keys_come_from_the_environment_or_a_file_and_check_says_what_to_publish(tmp_path: Path) -> None:
    path = tmp_path / "dkim.pem"
    path.write_text(keys()[1].key)
    env = {"RELAY_MAIL__DKIM": f'[{{"selector": "r1", "key_file": "{path}"}}]', "RELAY_MAIL__FROM_ADDRESS": "a@relay.example"}
    assert load(None, env).mail.dkim[0].key_file == str(path)
    said = CliRunner().invoke(relay, ["check"], env=env | {"RELAY_STORE__URL": "redis://127.0.0.1:1/0"})
    line = next(one for one in said.stdout.split("\n") if one.startswith("mail.dkim"))
    assert re.fullmatch(r'mail\.dkim: the DNS must have r1\._domainkey\.relay\.example\. IN TXT "v=DKIM1; k=rsa; p=[^"]{237}" "[^"]+"', line)
    assert "PRIVATE" not in said.output
    path.write_text("no key")
    said = CliRunner().invoke(relay, ["check"], env=env | {"RELAY_STORE__URL": "redis://127.0.0.1:1/0"})
    assert f"✗ mail.dkim.0.key_file: {path} is not a private key" in said.output
