"""What does a mail server get: every message in every language, and addresses and names of every kind?

Over real SMTP; what arrives is read by the standard library's parser, which did not write it.
`GOLDEN=write` writes `tests/golden/mail/<locale>.txt` anew.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from msgspec.structs import replace

from relay.mail.compose import Composed, Composer
from relay.mail.samples import DATE_MS
from relay.mail.send import Mailer
from relay.mail.settings import PlainMailSettings
from relay.model import Attempt, Outcome
from tests.fakes.mails import LOCALES, SAMPLES, TEMPLATES, changed, compose, seen, squeezed
from tests.fakes.smtp import Received, SmtpFake

GOLDEN = Path(__file__).parents[1] / "golden" / "mail"
PATIENT = PlainMailSettings(start_tls="never", connections=4, command_timeout_seconds=30, data_timeout_seconds=30)
ORDER = [
    "From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Thread-Topic", "Thread-Index", "Auto-Submitted",
    "X-Auto-Response-Suppress", "Content-Language", "List-Unsubscribe", "List-Unsubscribe-Post", "MIME-Version", "Content-Type",
]  # fmt: skip
ALWAYS = {*ORDER} - {"In-Reply-To", "References", "Thread-Topic", "Thread-Index", "List-Unsubscribe", "List-Unsubscribe-Post"}
PLAIN = re.compile(r"(Message-ID|In-Reply-To|References|List-[A-Za-z-]+|Thread-Index|Content-Type|Auto-Submitted): *=\?")


async def delivered(fake: SmtpFake, messages: dict[str, Composed]) -> dict[str, Attempt]:
    """Every message sent, by its name."""
    mailer = Mailer(dataclasses.replace(PATIENT, url=fake.url))
    try:
        made = await asyncio.gather(
            *(mailer.attempt(number=1, message=message, now_ms=0) for message in messages.values())
        )
    finally:
        await mailer.close()
    assert all(isinstance(one, Attempt) for one in made), made
    return {name: one for name, one in zip(messages, made, strict=True) if isinstance(one, Attempt)}


def named(locale: str) -> dict[str, Composed]:
    """Every message there is, each with a Message-ID of its own, and a follow-up that takes a calendar entry out."""
    made = {name: compose(sample, locale, delivery_id=name) for name, sample in SAMPLES.items()}
    name = "subscription-completed-source"
    made[f"{name}-invited"] = compose(SAMPLES[name], locale, delivery_id=f"{name}-invited", invited=True)
    return made


def shape(part: EmailMessage) -> str:
    """The tree of a message's parts."""
    kind, detail = part.get_content_type(), part.get_param("method") or part.get("Content-Transfer-Encoding", "")
    if part.is_multipart():
        return f"{kind} ({', '.join(shape(one) for one in part.iter_parts() if isinstance(one, EmailMessage))})"
    return f"{kind} {detail}".strip()


def headers(mail: EmailMessage) -> dict[str, str]:
    """Its headers as a reader sees them, in their order; the type as the tree of the parts."""
    return {name: str(value) for name, value in mail.items()} | {"Content-Type": shape(mail)}


def golden(mails: dict[str, EmailMessage]) -> str:
    """All headers of the first message, and of each other one those that are not the same."""
    first: dict[str, str] = {}
    blocks = []
    for name, mail in mails.items():
        found = headers(mail)
        told = [f"  {key}: {value}" for key, value in found.items() if first.get(key) != value]
        told += [f"  {key}: -" for key in first if key not in found]
        blocks.append("\n".join([name, *told]))
        first = first or found
    return "\n\n".join(blocks) + "\n"


def has_each_header_once(mail: EmailMessage) -> bool:
    """In their order, without any other."""
    found = [name for name, _ in mail.items()]
    return found == [name for name in ORDER if name in found] and set(found) >= ALWAYS


def has_the_same_in_both(mail: EmailMessage) -> None:
    text, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None and page is not None
    plain, html = text.get_content().replace("\r\n", "\n"), page.get_content()
    page_ = seen(html)
    shown = squeezed("".join(page_.words))
    links = {attrs["href"] for tag, attrs in page_.tags if tag == "a"}
    assert links == set(re.findall(r"https?://[^\s<>\"]+", plain))
    for line in re.split(r"\n+", plain):
        words = squeezed(re.sub(r"^(== | *\d+\. |\* |-- $)| ==$", "", line))
        assert "  " in line.strip() or words in shown or line in links, line


@pytest.mark.parametrize("locale", LOCALES)
async def test_every_message_arrives_as_it_was_built_and_reads_as_it_should(locale: str) -> None:
    messages = named(locale)
    async with SmtpFake() as fake:
        made = await delivered(fake, messages)
        assert {one.outcome for one in made.values()} == {Outcome.ACCEPTED}
        received: dict[str, Received] = {one.parsed["Message-ID"].strip("<>").partition("@")[0]: one for one in fake.messages}
    assert set(received) == set(messages)
    for name, message in messages.items():
        one = received[name]
        assert (one.raw, one.sender, one.to) == (message.raw, message.sender, message.to)
        assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in one.raw.split(b"\r\n"))
        head = one.raw.partition(b"\r\n\r\n")[0].decode("ascii")
        assert not PLAIN.search(head)
        assert all(len(line) <= 78 for line in head.split("\r\n") if not line.startswith(("List-Unsubscribe", "Content-Type")))
        mail = one.parsed
        assert not mail.defects and has_each_header_once(mail)
        has_the_same_in_both(mail)
    told = golden({name: received[name].parsed for name in messages})
    path = GOLDEN / f"{locale}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(told, "utf-8")
    assert told == path.read_text("utf-8"), "if that is meant: GOLDEN=write .venv/bin/pytest tests/integration/test_mail_received.py"


# --- whom a mail is for ----------------------------------------------------------------------------------

ASCII, IDN, UTF8 = "mori@reader.example", "mori@例え.jp", "森@例え.jp"


def spelt(address: str) -> str:
    """Both parsers keep bytes outside ASCII as surrogates."""
    return address.encode(errors="surrogateescape").decode()


@pytest.mark.parametrize("takes_utf8", [True, False], ids=["with SMTPUTF8", "without"])
@pytest.mark.parametrize(
    ("sender", "reader", "needs_utf8"),
    [
        (ASCII, ASCII, False),
        (ASCII, IDN, False),
        (IDN, IDN, False),
        (ASCII, UTF8, True),
        (UTF8, ASCII, True),
        (UTF8, UTF8, True),
    ],
)
async def test_an_address_goes_as_the_server_takes_it_or_ends_with_a_reason(
    sender: str, reader: str, needs_utf8: bool, takes_utf8: bool
) -> None:
    composer = Composer(PlainMailSettings(from_address=sender, from_name="譲渡リレー"), TEMPLATES)
    sample = SAMPLES["subscription-created-source"]
    message = composer.compose(
        body=sample.body, recipient=replace(sample.recipient, email=reader), delivery_id="d", event_id="e",
        transfer_key="k", date_ms=DATE_MS, locale="ja",
    )  # fmt: skip
    async with SmtpFake(smtputf8=takes_utf8) as fake:
        (attempt,) = (await delivered(fake, {"one": message})).values()
        if needs_utf8 and not takes_utf8:
            assert (attempt.outcome, fake.messages, fake.offered) == (Outcome.ADDRESS_UNSUPPORTED, [], [])
            assert "outside ASCII" in attempt.detail
            return
        assert attempt.outcome is Outcome.ACCEPTED
        (one,) = fake.messages
    to_ascii = {ASCII: ASCII, IDN: "mori@xn--r8jz45g.jp", UTF8: "森@xn--r8jz45g.jp"}
    assert (spelt(one.sender), spelt(one.to), one.raw) == (to_ascii[sender], to_ascii[reader], message.raw)
    assert one.raw.partition(b"\r\n\r\n")[0].isascii() is not needs_utf8
    mail = message_from_bytes(one.raw, policy=policy.SMTPUTF8)
    written = [spelt(mail[name].addresses[0].addr_spec) for name in ("From", "To")]
    assert written == [to_ascii[sender], to_ascii[reader]]
    assert mail["From"].addresses[0].display_name == "譲渡リレー"
    assert re.fullmatch(r"<[!-~]+@[!-~]+>", str(mail["Message-ID"])), "its domain is ASCII whatever the address is"


# --- names that mean harm --------------------------------------------------------------------------------

HOSTILE = {
    "markup": "</p><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\"'",
    "a header": "Contoso\r\nBcc: everybody@evil.example\r\n\r\n<h1>hello</h1>",
    "the end of the message": "\r\n.\r\nMAIL FROM:<evil@evil.example>\r\n",
    "a boundary": '\r\n--=_00\r\nContent-Type: text/html\r\n\r\n"',
    "directions": "moc.\u202eelpmaxe\u2066\u2067\u2069\u200f\u061c",
    "controls": "a\x00b\x1b[31m\u2028\u2029\x85\x7f",
    "emoji": "😀" * 300,
    "a family": "👨‍👩‍👧‍👦" * 75,
    "an encoded word": "=?utf-8?q?=0D=0ABcc:_x@evil.example?=",
    "a template": "{{ 7*7 }}{% for a in [] %}{#",
    "brackets": "[x] Re: [Completed] (43fb1d3a)",
    "a surrogate pair split": "\ufffd" * 10,
}


async def test_a_name_that_means_harm_is_only_a_name_everywhere() -> None:
    """A customer's, a partner's, a reader's and an item's name, in every message, to the server and back."""
    messages = {}
    for what, name in HOSTILE.items():
        for at, sample_name in enumerate(SAMPLES):
            if not sample_name.startswith(("subscription", "sim")):
                continue
            party = {"id": "p", "name": name}
            item = {"name": name, "quantity": 1, "status": "failed", "error": {"code": name, "message": name}}
            sample = changed(
                sample_name, customer=party, source=party, target={**party, "email": "r@reader.example"}, items=[item],
                reseller=party,
            )  # fmt: skip
            locale = LOCALES[at % len(LOCALES)]
            recipient = replace(sample.recipient, name=name)
            messages[f"{what}: {sample_name}"] = compose(sample, locale, recipient=recipient, invited=True)
    async with SmtpFake() as fake:
        made = await delivered(fake, messages)
        assert {one.outcome for one in made.values()} == {Outcome.ACCEPTED}
        assert sorted(one.raw for one in fake.messages) == sorted(one.raw for one in messages.values())
    for name, message in messages.items():
        mail = message_from_bytes(message.raw, policy=policy.default)
        assert isinstance(mail, EmailMessage) and not mail.defects, name
        assert has_each_header_once(mail), name
        assert [one.addr_spec for one in mail["To"].addresses] == [message.to], name
        assert len(mail["Subject"]) <= 160 and mail["Subject"] == message.subject, name
        tags = {tag for tag, _ in seen(message.html).tags}
        assert not tags & {"img", "iframe", "svg"} and not any(one.startswith("on") for _, attrs in seen(message.html).tags for one in attrs), name
        scripts = [attrs for tag, attrs in seen(message.html).tags if tag == "script"]
        assert scripts in ([], [{"type": "application/ld+json"}]), name
        for text in (message.subject, message.text, message.html):
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200f\u2028-\u202e\u2066-\u2069]", text), name
        assert len(message.html.encode()) < 90_000, name
