"""How an SMTP transaction ends, against a real server on a real socket."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from relay.errors import ConfigError
from relay.mail.send import Mailer
from relay.mail.server import MESSAGES_PER_CONNECTION, Server, parse_url
from relay.mail.settings import PlainMailSettings
from relay.model import Attempt, Outcome
from relay.retry import Again
from relay.store.stored import dump
from tests.fakes.mails import SAMPLES, compose
from tests.fakes.smtp import HANG_UP, SILENCE, SmtpFake

RAW = b"From: a@relay.example\r\nTo: b@reader.example\r\nSubject: one\r\n\r\nfirst\r\n.dot\r\n"
PATIENT = PlainMailSettings(
    start_tls="never", connections=2, command_timeout_seconds=10, data_timeout_seconds=10
)
HASTY = dataclasses.replace(PATIENT, command_timeout_seconds=2.5, data_timeout_seconds=2.5)


@dataclass(frozen=True)
class Message:
    raw: bytes = RAW
    sender: str = "a@relay.example"
    to: str = "b@reader.example"
    smtputf8: bool = False


async def send(
    fake: SmtpFake, settings: PlainMailSettings = PATIENT, message: Message | None = None
) -> Attempt:
    mailer = Mailer(dataclasses.replace(settings, url=fake.url))
    try:
        return await attempted(mailer, message, now_ms=5)
    finally:
        await mailer.close()


async def attempted(mailer: Mailer, message: Message | None = None, *, number: int = 1, now_ms: int = 0) -> Attempt:
    """An attempt that is made."""
    attempt = await mailer.attempt(number=number, message=message or Message(), now_ms=now_ms)
    assert isinstance(attempt, Attempt)
    return attempt


async def test_the_built_bytes_arrive_unchanged() -> None:
    async with SmtpFake() as fake:
        attempt = await send(fake)
        assert (attempt.outcome, attempt.status, attempt.number, attempt.at_ms) == (
            Outcome.ACCEPTED,
            250,
            1,
            5,
        )
        assert attempt.answer == "2.0.0 queued"
        received = await fake.next_message()
        assert (received.raw, received.sender, received.to) == (RAW, "a@relay.example", "b@reader.example")


ANSWERS = [
    ("mail", "421 4.3.2 shutting down", Outcome.TRANSPORT_DOWN),
    ("rcpt", "421 4.7.0 too many to this one", Outcome.DEFERRED),
    ("mail", "451 4.7.1 later", Outcome.TRANSPORT_DOWN),
    ("mail", "530 5.7.0 sign in first", Outcome.TRANSPORT_DOWN),
    ("mail", "550 5.7.1 this sender may not", Outcome.TRANSPORT_DOWN),
    ("rcpt", "450 4.2.1 greylisted", Outcome.DEFERRED),
    ("rcpt", "452 4.2.2 mailbox full", Outcome.DEFERRED),
    ("rcpt", "552 5.2.2 mailbox full", Outcome.DEFERRED),
    ("rcpt", "550 5.1.1 no such user", Outcome.BOUNCED),
    ("rcpt", "550 5.1.10 null MX", Outcome.BOUNCED),
    ("rcpt", "550 5.2.1 disabled", Outcome.BOUNCED),
    ("rcpt", "550 no such user", Outcome.BOUNCED),
    ("rcpt", "551 moved", Outcome.BOUNCED),
    ("rcpt", "553 not a mailbox", Outcome.BOUNCED),
    ("rcpt", "550 5.7.1 policy", Outcome.REFUSED),
    ("rcpt", "554 5.7.1 policy", Outcome.REFUSED),
    ("rcpt", "553 5.6.7 no UTF-8 here", Outcome.ADDRESS_UNSUPPORTED),
    ("data", "451 4.3.0 try again", Outcome.DEFERRED),
    ("data", "550 5.1.1 no such user after all", Outcome.BOUNCED),
    ("data", "550 content", Outcome.REFUSED),
    ("data", "552 5.3.4 too big", Outcome.REFUSED),
    ("data", "554 5.7.1 spam", Outcome.REFUSED),
    ("connect", "421 4.3.2 too busy", Outcome.TRANSPORT_DOWN),
    ("connect", "554 go away", Outcome.TRANSPORT_DOWN),
    ("connect", "hello there", Outcome.TRANSPORT_DOWN),
    ("connect", HANG_UP, Outcome.TRANSPORT_DOWN),
    ("mail", HANG_UP, Outcome.TRANSPORT_DOWN),
    ("rcpt", HANG_UP, Outcome.DEFERRED),
    ("data", HANG_UP, Outcome.AMBIGUOUS),
]


@pytest.mark.parametrize(("step", "answer", "outcome"), ANSWERS, ids=lambda value: str(value))
async def test_each_answer_has_its_outcome(step: str, answer: str, outcome: Outcome) -> None:
    async with SmtpFake() as fake:
        fake.will(step, answer)
        attempt = await send(fake)
        assert attempt.outcome is outcome
        assert attempt.status == (int(answer[:3]) if answer[:3].isdigit() else None)
        assert not fake.messages


SILENT = [
    ("connect", Outcome.TRANSPORT_DOWN),
    ("mail", Outcome.TRANSPORT_DOWN),
    ("rcpt", Outcome.TIMED_OUT),
    ("data", Outcome.AMBIGUOUS),
]


@pytest.mark.parametrize(("step", "outcome"), SILENT)
async def test_a_silent_server_is_not_waited_for_for_ever(step: str, outcome: Outcome) -> None:
    async with SmtpFake() as fake:
        fake.will(step, SILENCE)
        assert (await send(fake, HASTY)).outcome is outcome


async def test_nobody_listening_is_the_transport_s_fault() -> None:
    async with SmtpFake() as fake:
        pass
    assert (await send(fake)).outcome is Outcome.TRANSPORT_DOWN


@pytest.mark.parametrize("locale", ["en", "ja"])
async def test_a_composed_message_arrives_as_it_was_built(locale: str) -> None:
    sample = SAMPLES["subscription-completed-target"]
    message = compose(sample, locale)
    async with SmtpFake() as fake:
        mailer = Mailer(dataclasses.replace(PATIENT, url=fake.url))
        assert (await attempted(mailer, message, number=1)).outcome is Outcome.ACCEPTED
        await mailer.close()
        received = await fake.next_message()
        assert received.raw == message.raw
        assert received.parsed["Subject"] == message.subject


async def test_without_a_server_nothing_is_lost() -> None:
    mailer = Mailer(PATIENT)
    later = await mailer.attempt(number=1, message=Message(), now_ms=0)
    assert isinstance(later, Again) and not later.spent
    assert await mailer.probe() == ["mail.url: no mail server is configured"]
    await mailer.close()


async def test_a_connection_is_used_again_until_its_share_is_sent() -> None:
    async with SmtpFake() as fake:
        mailer = Mailer(dataclasses.replace(PATIENT, url=fake.url))
        for number in range(MESSAGES_PER_CONNECTION + 1):
            await attempted(mailer, number=number)
        await mailer.close()
        assert (fake.connections, len(fake.messages)) == (2, MESSAGES_PER_CONNECTION + 1)


async def test_a_stale_connection_is_replaced_unnoticed() -> None:
    async with SmtpFake() as fake:
        mailer = Mailer(dataclasses.replace(PATIENT, url=fake.url))
        await attempted(mailer, number=1)
        fake.hang_up_all()
        attempt = await attempted(mailer, number=1)
        await mailer.close()
        assert (attempt.outcome, fake.connections, len(fake.messages)) == (Outcome.ACCEPTED, 2, 2)


async def test_a_refused_recipient_does_not_spoil_the_connection_for_the_next() -> None:
    async with SmtpFake() as fake:
        fake.will("rcpt", "550 5.1.1 no such user")
        mailer = Mailer(dataclasses.replace(PATIENT, url=fake.url))
        first = await attempted(mailer, number=1)
        second = await attempted(mailer, number=1)
        await mailer.close()
        assert (first.outcome, second.outcome) == (Outcome.BOUNCED, Outcome.ACCEPTED)
        assert fake.connections == 1


async def test_a_connection_is_not_used_after_a_timeout() -> None:
    async with SmtpFake() as fake:
        fake.will("rcpt", SILENCE)
        mailer = Mailer(dataclasses.replace(HASTY, url=fake.url))
        await attempted(mailer, number=1)
        assert (await attempted(mailer, number=2)).outcome is Outcome.ACCEPTED
        await mailer.close()
        assert fake.connections == 2


async def test_no_more_connections_than_allowed() -> None:
    async with SmtpFake() as fake:
        mailer = Mailer(dataclasses.replace(PATIENT, url=fake.url))
        attempts = await asyncio.gather(*(attempted(mailer, number=1) for _ in range(20)))
        await mailer.close()
        assert {attempt.outcome for attempt in attempts} == {Outcome.ACCEPTED}
        assert fake.connections <= 2


UTF8 = Message(
    raw="From: a@relay.example\r\nTo: 森@reader.example\r\n\r\nx\r\n".encode(),
    to="森@reader.example",
    smtputf8=True,
)


async def test_an_address_outside_ascii_goes_to_a_server_that_takes_it() -> None:
    async with SmtpFake(smtputf8=True) as fake:
        assert (await send(fake, message=UTF8)).outcome is Outcome.ACCEPTED
        assert fake.messages[0].to == "森@reader.example"


async def test_an_address_outside_ascii_is_not_forced_on_a_server_that_does_not() -> None:
    async with SmtpFake(smtputf8=False) as fake:
        assert (await send(fake, message=UTF8)).outcome is Outcome.ADDRESS_UNSUPPORTED


# --- TLS and signing in -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA, tmp_path: Path) -> PlainMailSettings:
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    return dataclasses.replace(REQUIRED, ca_file=str(file))


REQUIRED = dataclasses.replace(PATIENT, start_tls="required")


async def test_required_tls_is_started_and_checked(
    server_tls: ssl.SSLContext, trusting: PlainMailSettings
) -> None:
    async with SmtpFake(tls=server_tls) as fake:
        mailer = Mailer(dataclasses.replace(trusting, url=fake.url))
        assert (await attempted(mailer, number=1)).outcome is Outcome.ACCEPTED
        await mailer.close()


async def test_an_untrusted_certificate_is_refused_with_the_cure(server_tls: ssl.SSLContext) -> None:
    async with SmtpFake(tls=server_tls) as fake:
        attempt = await send(fake, REQUIRED)
        assert attempt.outcome is Outcome.TRANSPORT_DOWN
        assert attempt.detail.startswith("the mail server's certificate is not accepted (")
        assert attempt.detail.endswith("in mail.ca_file")
        assert not fake.messages


@pytest.mark.parametrize("implicit", [False, True])
async def test_an_authority_named_in_the_settings_is_trusted(
    authority: trustme.CA, server_tls: ssl.SSLContext, tmp_path: Path, implicit: bool
) -> None:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    async with SmtpFake(tls=server_tls, implicit_tls=implicit) as fake:
        attempt = await send(fake, dataclasses.replace(REQUIRED, ca_file=str(file)))
        assert attempt.outcome is Outcome.ACCEPTED


async def test_a_self_signed_certificate_that_is_named_is_trusted(tmp_path: Path) -> None:
    """What Debian's mail servers come with: a certificate that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    begun = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begun)
        .not_valid_after(begun + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, keys = tmp_path / "mail.pem", tmp_path / "mail.key"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    keys.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, keys)
    async with SmtpFake(tls=context) as fake:
        refused = await send(fake, REQUIRED)
        assert refused.outcome is Outcome.TRANSPORT_DOWN and refused.detail.endswith("in mail.ca_file")
        attempt = await send(fake, dataclasses.replace(REQUIRED, ca_file=str(certificate)))
        assert attempt.outcome is Outcome.ACCEPTED


async def test_a_certificate_of_another_name_stays_refused(authority: trustme.CA, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mail.elsewhere.example").configure_cert(context)
    async with SmtpFake(tls=context) as fake:
        attempt = await send(fake, dataclasses.replace(REQUIRED, ca_file=str(file)))
        assert attempt.outcome is Outcome.TRANSPORT_DOWN
        assert attempt.detail.endswith("write the host in mail.url as the certificate has it")
        assert not fake.messages


@pytest.mark.parametrize(("content", "why"), [(None, "cannot be read"), ("no certificate", "PEM file")])
def test_a_ca_file_of_no_use_is_a_configuration_problem(
    tmp_path: Path, content: str | None, why: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=f"mail.ca_file: .*ca.pem .*{why}"):
        Mailer(dataclasses.replace(REQUIRED, url="smtp://mail.example", ca_file=str(file)))


async def test_a_server_on_loopback_need_not_offer_tls() -> None:
    async with SmtpFake() as fake:
        assert (await send(fake, REQUIRED)).outcome is Outcome.ACCEPTED


async def test_required_tls_that_is_not_offered_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "local", False)
    async with SmtpFake() as fake:
        attempt = await send(fake, REQUIRED)
        assert (attempt.outcome, attempt.detail) == (
            Outcome.TRANSPORT_DOWN,
            "the mail server does not offer STARTTLS",
        )
        assert not fake.messages


async def test_tls_only_if_offered_goes_without_where_it_is_not() -> None:
    async with SmtpFake() as fake:
        settings = dataclasses.replace(PATIENT, start_tls="if_offered")
        assert (await send(fake, settings)).outcome is Outcome.ACCEPTED


async def test_implicit_tls(server_tls: ssl.SSLContext, trusting: PlainMailSettings) -> None:
    async with SmtpFake(tls=server_tls, implicit_tls=True) as fake:
        mailer = Mailer(dataclasses.replace(trusting, url=fake.url))
        assert (await attempted(mailer, number=1)).outcome is Outcome.ACCEPTED
        await mailer.close()
        assert (await send(fake, REQUIRED)).outcome is Outcome.TRANSPORT_DOWN


@pytest.mark.parametrize(
    ("password", "outcome"), [("p@ss/word", Outcome.ACCEPTED), ("wrong", Outcome.TRANSPORT_DOWN)]
)
async def test_signing_in(password: str, outcome: Outcome) -> None:
    async with SmtpFake(credentials=("relay", "p@ss/word")) as fake:
        quoted = password.replace("@", "%40").replace("/", "%2F")
        url = f"smtp://relay:{quoted}@127.0.0.1:{fake.port}"
        mailer = Mailer(dataclasses.replace(PATIENT, url=url))
        attempt = await attempted(mailer, number=1)
        problems = await mailer.probe()
        await mailer.close()
        assert attempt.outcome is outcome
        assert bool(problems) is (outcome is not Outcome.ACCEPTED)
        assert password not in dump(attempt).decode() + "".join(problems)


async def test_a_server_that_wants_signing_in_is_the_transport_s_fault() -> None:
    async with SmtpFake(credentials=("relay", "secret")) as fake:
        assert (await send(fake)).outcome is Outcome.TRANSPORT_DOWN


async def test_a_password_never_leaves_this_machine_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "local", False)
    async with SmtpFake(credentials=("relay", "secret")) as fake:
        mailer = Mailer(dataclasses.replace(PATIENT, url=f"smtp://relay:secret@127.0.0.1:{fake.port}"))
        attempt = await attempted(mailer, number=1)
        await mailer.close()
        assert attempt.outcome is Outcome.TRANSPORT_DOWN
        assert (fake.logins, fake.messages) == (0, [])


async def test_a_probe_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    async with SmtpFake() as fake:
        mailer = Mailer(dataclasses.replace(PATIENT, url=fake.url))
        assert await mailer.probe() == []
        fake.will("connect", "421 busy")
        [problem] = await mailer.probe()
        assert problem.startswith("mail.url: ") and "421 busy" in problem
        monkeypatch.setattr(Server, "local", False)
        strict = Mailer(dataclasses.replace(REQUIRED, url=fake.url))
        assert await strict.probe() == ["mail.url: the mail server does not offer STARTTLS"]


@pytest.mark.parametrize("url", ["", "mail.example", "http://mail.example", "smtp:///", "smtp://a:b@h:port"])
def test_a_url_that_names_no_server_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_url(url)
    assert not url or url not in str(refused.value)


def test_a_url_s_parts() -> None:
    server = parse_url("smtps://us%40er:p%3Aw@mail.example")
    assert (server.host, server.port, server.tls) == ("mail.example", 465, True)
    assert (server.username, server.password) == ("us@er", "p:w")
    assert "p:w" not in repr(server)
    assert parse_url("smtp://mail.example").port == 25


def test_loopback_is_known() -> None:
    assert parse_url("smtp://127.0.0.1").local and parse_url("smtp://localhost").local
    assert not parse_url("smtp://10.0.0.1").local and not parse_url("smtp://mail.example").local
