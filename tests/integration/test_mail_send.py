"""How an SMTP transaction ends, against a real server on a real socket."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from dataclasses import dataclass

import pytest
import trustme

from relay.errors import ConfigError
from relay.mail.send import MESSAGES_PER_CONNECTION, Mailer, Server, parse_url
from relay.mail.settings import PlainMailSettings
from relay.model import Attempt, Outcome
from relay.store.stored import dump
from tests.fakes.mails import SAMPLES, compose
from tests.fakes.smtp import HANG_UP, SILENCE, SmtpFake

RAW = b"From: a@relay.example\r\nTo: b@reader.example\r\nSubject: one\r\n\r\nfirst\r\n.dot\r\n"
PATIENT = PlainMailSettings(
    start_tls="never", connections=2, command_timeout_seconds=10, data_timeout_seconds=10
)
HASTY = dataclasses.replace(PATIENT, command_timeout_seconds=0.1, data_timeout_seconds=0.1)


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
        return await mailer.attempt(number=1, message=message or Message(), now_ms=5)
    finally:
        await mailer.close()


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
    ("mail", "421 4.3.2 shutting down", Outcome.DEFERRED),
    ("mail", "451 4.7.1 later", Outcome.DEFERRED),
    ("mail", "530 5.7.0 sign in first", Outcome.TRANSPORT_DOWN),
    ("mail", "550 5.7.1 this sender may not", Outcome.REFUSED),
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
    ("mail", HANG_UP, Outcome.DEFERRED),
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
    ("mail", Outcome.TIMED_OUT),
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
        assert (await mailer.attempt(number=1, message=message, now_ms=0)).outcome is Outcome.ACCEPTED
        await mailer.close()
        received = await fake.next_message()
        assert received.raw == message.raw
        assert received.parsed["Subject"] == message.subject


async def test_without_a_server_nothing_is_lost() -> None:
    mailer = Mailer(PATIENT)
    assert (await mailer.attempt(number=1, message=Message(), now_ms=0)).outcome is Outcome.TRANSPORT_DOWN
    assert await mailer.probe() == ["mail.url: no mail server is configured"]
    await mailer.close()


async def test_a_connection_is_used_again_until_its_share_is_sent() -> None:
    async with SmtpFake() as fake:
        mailer = Mailer(dataclasses.replace(PATIENT, url=fake.url))
        for number in range(MESSAGES_PER_CONNECTION + 1):
            await mailer.attempt(number=number, message=Message(), now_ms=0)
        await mailer.close()
        assert (fake.connections, len(fake.messages)) == (2, MESSAGES_PER_CONNECTION + 1)


async def test_a_stale_connection_is_replaced_unnoticed() -> None:
    async with SmtpFake() as fake:
        mailer = Mailer(dataclasses.replace(PATIENT, url=fake.url))
        await mailer.attempt(number=1, message=Message(), now_ms=0)
        fake.hang_up_all()
        attempt = await mailer.attempt(number=1, message=Message(), now_ms=0)
        await mailer.close()
        assert (attempt.outcome, fake.connections, len(fake.messages)) == (Outcome.ACCEPTED, 2, 2)


async def test_a_refused_recipient_does_not_spoil_the_connection_for_the_next() -> None:
    async with SmtpFake() as fake:
        fake.will("rcpt", "550 5.1.1 no such user")
        mailer = Mailer(dataclasses.replace(PATIENT, url=fake.url))
        first = await mailer.attempt(number=1, message=Message(), now_ms=0)
        second = await mailer.attempt(number=1, message=Message(), now_ms=0)
        await mailer.close()
        assert (first.outcome, second.outcome) == (Outcome.BOUNCED, Outcome.ACCEPTED)
        assert fake.connections == 1


async def test_a_connection_is_not_used_after_a_timeout() -> None:
    async with SmtpFake() as fake:
        fake.will("rcpt", SILENCE)
        mailer = Mailer(dataclasses.replace(HASTY, url=fake.url))
        await mailer.attempt(number=1, message=Message(), now_ms=0)
        mailer._command_timeout = 10
        assert (await mailer.attempt(number=2, message=Message(), now_ms=0)).outcome is Outcome.ACCEPTED
        await mailer.close()
        assert fake.connections == 2


async def test_no_more_connections_than_allowed() -> None:
    async with SmtpFake() as fake:
        mailer = Mailer(dataclasses.replace(PATIENT, url=fake.url))
        attempts = await asyncio.gather(
            *(mailer.attempt(number=1, message=Message(), now_ms=0) for _ in range(20))
        )
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
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


REQUIRED = dataclasses.replace(PATIENT, start_tls="required")


async def test_required_tls_is_started_and_checked(
    server_tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with SmtpFake(tls=server_tls) as fake:
        mailer = Mailer(dataclasses.replace(REQUIRED, url=fake.url), tls_context=trusting)
        assert (await mailer.attempt(number=1, message=Message(), now_ms=0)).outcome is Outcome.ACCEPTED
        await mailer.close()


async def test_an_untrusted_certificate_is_refused(server_tls: ssl.SSLContext) -> None:
    async with SmtpFake(tls=server_tls) as fake:
        attempt = await send(fake, REQUIRED)
        assert (attempt.outcome, attempt.detail) == (
            Outcome.TRANSPORT_DOWN,
            "no secure connection to the mail server",
        )
        assert not fake.messages


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


async def test_implicit_tls(server_tls: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with SmtpFake(tls=server_tls, implicit_tls=True) as fake:
        mailer = Mailer(dataclasses.replace(REQUIRED, url=fake.url), tls_context=trusting)
        assert (await mailer.attempt(number=1, message=Message(), now_ms=0)).outcome is Outcome.ACCEPTED
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
        attempt = await mailer.attempt(number=1, message=Message(), now_ms=0)
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
        attempt = await mailer.attempt(number=1, message=Message(), now_ms=0)
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
