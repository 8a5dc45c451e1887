"""Whatever a mail server does, what becomes of the mail, how often is it tried, and how often does it come?

One relay and one mail server; each row is one fault at one step, through the door, the plan, the queue and the
socket. Then the server is well again, and time passes until the delivery has settled.
"""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from relay.mail.server import Server
from relay.mail.standing import WELL
from tests.fakes.mail_server import CLOSE, DROP, HANG, STEPS, Act, MailServer, say
from tests.pipeline.events import step
from tests.pipeline.inside import Inside, inside

SOON_S = 2.0
"""The time-outs of rows in which the server says nothing; no other row waits for one."""


@dataclass(frozen=True)
class Row:
    """`outcomes`: of the attempts that the fault cost, none for a fault of the server's. `ends`: the delivery,
    when the server is well again; `copies` of the mail that arrived, all with one Message-ID."""

    what: str
    at: str
    act: Act
    outcomes: tuple[str, ...] = ()
    ends: str = "delivered"
    copies: int = 1
    or_else: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        return f"{self.at}: {self.what}"


def down(what: str, at: str, act: Act) -> Row:
    """The server is at fault: no attempt is spent."""
    return Row(what, at, act)


def again(what: str, at: str, act: Act, outcome: str = "deferred", copies: int = 1) -> Row:
    """Tried again on the schedule."""
    return Row(what, at, act, (outcome, "accepted"), copies=copies)


def over(what: str, at: str, act: Act, outcome: str) -> Row:
    """Given up at once."""
    return Row(what, at, act, (outcome,), "exhausted", 0)


def fine(what: str, at: str, act: Act) -> Row:
    """No fault at all."""
    return Row(what, at, act, ("accepted",))


ROWS = [
    down("busy", "connect", say("421 4.3.2 too busy", close=True)),
    down("no service", "connect", say("554 5.3.2 not for you", close=True)),
    down("closed without a word", "connect", CLOSE),
    down("reset", "connect", DROP),
    down("silence", "connect", HANG),
    down("not SMTP", "connect", say("hello there")),
    down("another protocol", "connect", say("HTTP/1.1 400 Bad Request", "", close=True)),
    fine("many lines", "connect", say("220-welcome", "220-to the", "220 server")),
    fine("a slow banner", "connect", Act(b"220 fake.example ESMTP at your service\r\n", drip=8)),
    down("unknown command", "ehlo", say("502 5.5.1 what?")),
    down("leaves", "ehlo", say("421 4.3.2 going down", close=True)),
    down("reset", "ehlo", DROP),
    down("silence", "ehlo", HANG),
    down("not SMTP", "ehlo", say("pleased to meet you")),
    down("lines without end", "ehlo", Act(b"250-and\r\n" * 8000, close=True)),
    fine("a slow reply", "ehlo", Act(b"250-fake.example\r\n250 8BITMIME\r\n", drip=8)),
    down("leaves", "mail", say("421 4.3.2 going down", close=True)),
    down("its processing fails", "mail", say("451 4.3.0 try later")),
    down("no room", "mail", say("452 4.3.1 no room")),
    down("wants a login", "mail", say("530 5.7.0 sign in first")),
    down("this sender may not", "mail", say("550 5.7.1 not from you")),
    down("reset", "mail", DROP),
    down("silence", "mail", HANG),
    down("not SMTP", "mail", say("certainly, sir")),
    again("leaves", "rcpt", say("421 4.7.0 too many", close=True)),
    again("greylisted", "rcpt", say("450 4.2.0 greylisted")),
    again("asked to slow down", "rcpt", say("451 4.7.1 slow down")),
    again("mailbox full, 4xx", "rcpt", say("452 4.2.2 full")),
    again("mailbox full, 5xx", "rcpt", say("552 5.2.2 full")),
    again("many lines", "rcpt", say("450-4.2.1 not", "450-4.2.1 just", "450 4.2.1 now")),
    over("no such user", "rcpt", say("550 5.1.1 no such user"), "bounced"),
    over("no such user, many lines", "rcpt", say("550-5.1.1 no such user", "550 5.1.1 see https://x.example"), "bounced"),
    over("no such domain", "rcpt", say("550 5.1.2 no such domain"), "bounced"),
    over("the domain takes no mail", "rcpt", say("556 5.1.10 null MX"), "bounced"),
    over("mailbox disabled", "rcpt", say("550 5.2.1 disabled"), "bounced"),
    over("a bare 550", "rcpt", say("550 no"), "bounced"),
    over("a bare 551", "rcpt", say("551 moved"), "bounced"),
    over("a bare 553", "rcpt", say("553 no mailbox"), "bounced"),
    over("against its policy", "rcpt", say("550 5.7.1 policy"), "refused"),
    over("a bare 554", "rcpt", say("554 no"), "refused"),
    over("takes no such address", "rcpt", say("553 5.6.7 no UTF-8"), "address_unsupported"),
    again("reset", "rcpt", DROP),
    again("silence", "rcpt", HANG, "timed_out"),
    again("not SMTP", "rcpt", say("who?"), "protocol_error"),
    again("leaves", "data", say("421 4.3.2 going down", close=True)),
    again("its processing fails", "data", say("451 4.3.0 try later")),
    over("out of sequence", "data", say("503 5.5.1 need RCPT"), "refused"),
    over("no valid recipients", "data", say("554 5.5.1 no valid recipients"), "refused"),
    again("reset", "data", DROP),
    again("silence", "data", HANG, "timed_out"),
    again("not SMTP", "data", say("go on"), "protocol_error"),
    again("done before it began", "data", say("250 done"), "protocol_error"),
    # Whether the rest of it was handed over when the connection went is for the two machines to know.
    Row("reset", "body", DROP, ("ambiguous", "accepted"), or_else=("deferred", "accepted")),
    Row("closed", "body", CLOSE, ("ambiguous", "accepted"), or_else=("deferred", "accepted")),
    over("too big, said in the middle of it", "body", say("552 5.3.4 too big"), "refused"),
    again("leaves", "dot", say("421 4.3.2 going down", close=True)),
    again("its processing fails", "dot", say("451 4.3.0 try later")),
    again("no room", "dot", say("452 4.3.1 no room")),
    over("no such user after all", "dot", say("550 5.1.1 no such user"), "bounced"),
    over("a bare 550", "dot", say("550 no"), "refused"),
    over("too big", "dot", say("552 5.3.4 too big"), "refused"),
    over("spam", "dot", say("554 5.7.1 spam"), "refused"),
    again("reset before it took it", "dot", DROP, "ambiguous"),
    again("reset after it took it", "dot", dataclasses.replace(DROP, keep=True), "ambiguous", 2),
    again("silence before it took it", "dot", HANG, "ambiguous"),
    again("silence after it took it", "dot", dataclasses.replace(HANG, keep=True), "ambiguous", 2),
    again("not SMTP, after it took it", "dot", say("thank you", keep=True), "ambiguous", 2),
    fine("many lines", "dot", say("250-2.0.0 it", "250 2.0.0 is queued", keep=True)),
    fine("a slow reply", "dot", Act(b"250 2.0.0 queued at last\r\n", drip=8, keep=True)),
    fine("taken, then closed", "dot", say("250 2.0.0 queued", close=True, keep=True)),
]


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with MailServer() as made:
        yield made


def to(*emails: str) -> dict[str, Any]:
    return {"id": "relecloud", "name": "Relecloud", "contacts": [{"email": email} for email in emails]}


async def mails(world: Inside, transfer: str) -> list[Any]:
    """A transfer's deliveries by e-mail, with their attempts."""
    found = await world.api.all(f"/v1/transfers/{transfer}/deliveries?channel=email")
    return [await world.api.ask("GET", f"/v1/deliveries/{one['id']}") for one in found]


def outcomes(delivery: Any) -> tuple[str, ...]:
    return tuple(attempt["outcome"] for attempt in delivery["attempts"])


def fresh(world: Inside, server: MailServer, *, timeout_s: float) -> None:
    """A server nobody complained of, and connections nobody used."""
    server.hang_up()
    assert world.services.mailer is not None
    for transport in world.services.mailer.transports:
        transport.standing = WELL
        manner = transport.server._manner
        transport.server._manner = dataclasses.replace(
            manner, command_timeout_s=timeout_s, data_timeout_s=timeout_s
        )


async def settled(world: Inside, transfer: str) -> list[Any]:
    """The deliveries, once time has brought all of them to an end."""
    for _ in range(12):
        found = await mails(world, transfer)
        if found and all(one["status"] != "pending" for one in found):
            return found
        world.pass_time(90_000)
        await world.sweep()
    raise AssertionError(found)


async def through(world: Inside, server: MailServer, row: Row, transfer: str) -> dict[str, Any]:
    """What one row comes to."""
    address = f"{transfer}@reader.example"
    fresh(world, server, timeout_s=SOON_S if row.act.hang else 30)
    server.will(row.at, row.act)
    await world.api.post(step(transfer, "created", 1, customer=to(address)))
    await world.sweep()
    (first,) = await mails(world, transfer)
    fresh(world, server, timeout_s=30)
    (last,) = await settled(world, transfer)
    copies = [kept for kept in server.kept if kept.to == address]
    assert len({kept.message_id for kept in copies}) <= 1 and len({kept.raw for kept in copies}) <= 1, row.name
    assert not server.script[row.at], f"{row.name}: it never came to that"
    return {
        "row": row.name,
        "first": (first["status"], outcomes(first)),
        "outcomes": outcomes(last),
        "ends": last["status"],
        "copies": len(copies),
    }


def expected(row: Row, came: dict[str, Any]) -> dict[str, Any]:
    whole = row.outcomes or ("accepted",)
    if row.or_else is not None and came["outcomes"] != whole:
        whole = row.or_else
    at_once = len(row.outcomes) == 1
    return {
        "row": row.name,
        "first": (row.ends, whole) if at_once else ("pending", whole[:-1]),
        "outcomes": whole,
        "ends": row.ends,
        "copies": row.copies,
    }


async def test_every_fault_of_a_mail_server(valkey_url: str, server: MailServer) -> None:
    # Neither the server nor a mail is tried again while a row is looked at.
    settings = {"RELAY_MAIL__PROBE_SECONDS": "60", "RELAY_RETRY__WAITS_SECONDS": "[0, 300, 3600]"}
    async with inside(valkey_url, RELAY_MAIL__URL=server.url, **settings) as world:
        came = [await through(world, server, row, f"row-{n}") for n, row in enumerate(ROWS)]
    wrong = [(one, wanted) for row, one in zip(ROWS, came, strict=True) if one != (wanted := expected(row, one))]
    assert not wrong
    assert {row.at for row in ROWS} == set(STEPS) - {"starttls"}


async def test_a_server_that_is_not_there_costs_no_attempt(valkey_url: str, server: MailServer) -> None:
    async with inside(valkey_url, RELAY_MAIL__URL=server.url) as world:
        await server.deafen()
        await world.api.post(step("tr-1", "created", 1, customer=to("one@reader.example")))
        for _ in range(20):  # more often than a delivery has attempts
            await world.sweep()
            world.pass_time(400)
        (waiting,) = await mails(world, "tr-1")
        assert (waiting["status"], outcomes(waiting)) == ("pending", ())
        await server.listen()
        (sent,) = await settled(world, "tr-1")
        assert (sent["status"], outcomes(sent), len(server.kept)) == ("delivered", ("accepted",), 1)


async def test_one_refused_recipient_is_nobody_elses_fault(valkey_url: str, server: MailServer) -> None:
    people = ["one@reader.example", "two@reader.example", "three@reader.example"]
    async with inside(valkey_url, RELAY_MAIL__URL=server.url) as world:
        server.will("rcpt", say("550 5.1.1 no such user"))
        await world.api.post(step("tr-1", "created", 1, customer=to(*people)))
        await world.sweep()
        found = await settled(world, "tr-1")
        assert sorted(one["status"] for one in found) == ["delivered", "delivered", "exhausted"]
        refused = next(one["email"] for one in found if one["status"] == "exhausted")
        assert sorted(kept.to for kept in server.kept) == sorted(set(people) - {refused})


def speaking(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


TLS_FAULTS = {
    "taken away on the way": (True, None, "the mail server does not offer STARTTLS"),
    "not just now": (False, say("454 4.7.0 no TLS just now"), "the mail server answered STARTTLS with 454"),
    "promised and not begun": (False, Act(b"220 2.0.0 go on\r\n", close=True), "lost at STARTTLS"),
    "words put in before it": (
        False, Act(b"220 2.0.0 go on\r\n250 fake.example\r\n", close=True), "lost at STARTTLS",
    ),
    "reset": (False, DROP, "lost at STARTTLS"),
}  # fmt: skip


@pytest.mark.parametrize("fault", TLS_FAULTS)
async def test_without_the_tls_that_is_required_nothing_is_said(
    valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(Server, "local", False)  # what is asked of a server on another machine
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stripped, act, why = TLS_FAULTS[fault]
    settings = {"RELAY_MAIL__START_TLS": "required", "RELAY_MAIL__CA_FILE": str(tmp_path / "ca.pem")}
    async with MailServer(tls=speaking(authority, "127.0.0.1"), offers_tls=not stripped) as server:
        if act is not None:
            server.will("starttls", act)
        async with inside(valkey_url, RELAY_MAIL__URL=server.url, **settings) as world:
            await world.api.post(step("tr-1", "created", 1, customer=to("one@reader.example")))
            await world.sweep()
            (waiting,) = await mails(world, "tr-1")
            assert (waiting["status"], outcomes(waiting)) == ("pending", ())
            assert not server.seen["mail"], "neither sender nor reader was named"
            assert world.services.mailer is not None
            assert why in world.services.mailer.transports[0].standing.detail
            server.offers_tls = True
            (sent,) = await settled(world, "tr-1")
            assert (sent["status"], outcomes(sent), len(server.kept)) == ("delivered", ("accepted",), 1)


@pytest.mark.parametrize("fault", ["of an unknown authority", "for another name"])
async def test_a_certificate_that_is_not_good_is_told_no_name(
    valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(Server, "local", False)
    trusted, other = trustme.CA(), trustme.CA()
    trusted.cert_pem.write_to_path(tmp_path / "ca.pem")
    shown = speaking(other, "127.0.0.1") if fault == "of an unknown authority" else speaking(trusted, "mail.example")
    settings = {"RELAY_MAIL__START_TLS": "required", "RELAY_MAIL__CA_FILE": str(tmp_path / "ca.pem")}
    async with (
        MailServer(tls=shown) as server,
        inside(valkey_url, RELAY_MAIL__URL=server.url, **settings) as world,
    ):
        await world.api.post(step("tr-1", "created", 1, customer=to("one@reader.example")))
        await world.sweep()
        (waiting,) = await mails(world, "tr-1")
        assert (waiting["status"], outcomes(waiting), server.seen["mail"]) == ("pending", (), 0)
        assert world.services.mailer is not None
        assert "certificate is not accepted" in world.services.mailer.transports[0].standing.detail
        server.tls = speaking(trusted, "127.0.0.1")
        (sent,) = await settled(world, "tr-1")
        assert (sent["status"], len(server.kept)) == ("delivered", 1)
