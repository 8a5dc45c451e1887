"""Is an e-mail that was handed over in the mailbox, whole, and shown to the operator only?"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any

import aiosmtplib
import pytest
from aiohttp import ClientResponse

from relay.app import create_app
from relay.catcher import Catcher
from relay.services import Services
from relay.store import mailbox as module
from relay.store.client import Client
from relay.store.mailbox import Mailbox
from tests.calling import OPERATOR, Api

ROOT = "root@northwind.example"


@pytest.fixture
def mailbox(client: Client) -> Mailbox:
    return Mailbox(client)


@pytest.fixture
async def catcher(mailbox: Mailbox) -> AsyncIterator[Catcher]:
    async with Catcher(mailbox) as running:
        yield running


@pytest.fixture
def http(services: Services, aiohttp_client: Any) -> Any:
    enabled = services.config.model_copy(
        update={"mailbox": services.config.mailbox.model_copy(update={"enabled": True})}
    )
    return asyncio.ensure_future(aiohttp_client(create_app(dataclasses.replace(services, config=enabled))))


def letter(subject: str = "譲渡が完了しました", html: str = "<p>完了</p>") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Relay <transfers@relay.example>"
    message["To"] = "everybody@example.com"
    message["Subject"] = subject
    message.set_content("完了\n.\n..one dot more\n")
    message.add_alternative(html, subtype="html")
    return message


async def hand_over(catcher: Catcher, raw: bytes, *recipients: str) -> None:
    port = int(catcher.url.rpartition(":")[2])
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as smtp:
        await smtp.sendmail("transfers@relay.example", list(recipients), raw)


async def test_a_message_arrives_byte_for_byte(catcher: Catcher, mailbox: Mailbox) -> None:
    raw = letter().as_bytes(policy=letter().policy.clone(linesep="\r\n"))
    await hand_over(catcher, raw, ROOT)
    (found,) = (await mailbox.list()).data
    assert found.raw.encode() == raw
    assert (found.to, found.subject) == (ROOT, "譲渡が完了しました")


async def test_each_recipient_has_a_message_of_their_own(catcher: Catcher, mailbox: Mailbox) -> None:
    await hand_over(catcher, letter().as_bytes(), "one@x.example", "two@x.example")
    assert {found.to for found in (await mailbox.list()).data} == {"one@x.example", "two@x.example"}


async def test_bytes_that_are_no_utf_8_do_not_hinder(catcher: Catcher, mailbox: Mailbox) -> None:
    await hand_over(catcher, b"Subject: \xff\xfe\r\n\r\n\xff\r\n", ROOT)
    (found,) = (await mailbox.list()).data
    assert "�" in found.raw
    found.raw.encode()


async def test_the_newest_come_first_page_by_page(mailbox: Mailbox) -> None:
    for number in range(5):
        await mailbox.add(ROOT, str(number), b"", 0)
    first = await mailbox.list(limit=3)
    rest = await mailbox.list(first.next, limit=3)
    assert [one.subject for one in first.data + rest.data] == ["4", "3", "2", "1", "0"]
    assert rest.next is None


async def test_the_oldest_go(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    ids = [await mailbox.add(ROOT, str(number), b"", 0) for number in range(5)]
    assert [one.subject for one in (await mailbox.list()).data] == ["4", "3", "2"]
    assert await mailbox.get(ids[0]) is None


async def test_a_program_reads_it_with_the_operators_token(http: Any, mailbox: Mailbox) -> None:
    for number in range(2):
        await mailbox.add(ROOT, f"Nr. {number}", b"Subject: x\r\n\r\n", 0)
    operator = Api(await http, OPERATOR)
    page = await operator.ask("GET", "/mailbox/messages?limit=1")
    assert page["data"] == [{"id": "2", "to": ROOT, "subject": "Nr. 1", "raw": "Subject: x\r\n\r\n"}]
    rest = await operator.ask("GET", f"/mailbox/messages?limit=1&after={page['next']}")
    assert ([one["id"] for one in rest["data"]], rest["next"]) == (["1"], None)
    partner = await operator.partner("contoso")
    await partner.ask("GET", "/mailbox/messages", expect=403)
    await partner.of("nobody").ask("GET", "/mailbox/messages", expect=401)


async def test_where_it_is_off_there_is_nothing(services: Services, aiohttp_client: Any) -> None:
    api = Api(await aiohttp_client(create_app(services)), OPERATOR)
    await api.ask("GET", "/mailbox/messages", expect=404)
    await api.ask("GET", "/mailbox", expect=404)


async def test_a_person_signs_in_with_the_token_and_reads(http: Any, mailbox: Mailbox) -> None:
    await mailbox.add(ROOT, "<b>&", letter(html="<script>alert(1)</script>").as_bytes(), 0)
    browser = await http
    refused = await browser.get("/mailbox")
    assert refused.status == 401
    assert ROOT not in await refused.text()
    wrong = await browser.post("/mailbox/sign-in", data={"token": "wrong"})
    assert wrong.status == 403
    signed_in = await browser.post("/mailbox/sign-in", data={"token": OPERATOR}, allow_redirects=False)
    cookie = signed_in.headers["Set-Cookie"]
    assert signed_in.status == 303
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert OPERATOR not in cookie
    page = await (await browser.get("/mailbox")).text()
    assert "&lt;b&gt;&amp;" in page
    assert "<script" not in page
    framed: ClientResponse = await browser.get("/mailbox/messages/1/html")
    assert framed.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert "<script>" in await framed.text()
    assert (await browser.get("/mailbox/messages/99/html")).status == 404


async def test_a_message_is_shown_at_a_width_and_in_light_or_dark(http: Any, mailbox: Mailbox) -> None:
    html = "<style>@media (prefers-color-scheme: dark) { p { color: #fff } }</style><p>完了</p>"
    await mailbox.add(ROOT, "譲渡", letter(html=html).as_bytes(), 0)
    browser = await http
    await browser.post("/mailbox/sign-in", data={"token": OPERATOR})
    page = await (await browser.get("/mailbox?message=1&width=320&scheme=dark")).text()
    assert 'class="letter w320"' in page and "/mailbox/messages/1/html?scheme=dark" in page
    for scheme, rule in (
        ("dark", "@media all {"),
        ("light", "@media not all {"),
        ("", "(prefers-color-scheme: dark)"),
        ("<b>", "(prefers-color-scheme: dark)"),
    ):
        framed = await browser.get("/mailbox/messages/1/html", params={"scheme": scheme})
        assert rule in await framed.text()
    odd = await (await browser.get("/mailbox?message=1&width=9<b>&scheme=<b>")).text()
    assert 'class="letter"' in odd and "scheme=own" in odd and "<b>" not in odd


async def test_a_link_signs_in_once(http: Any, services: Services) -> None:
    from relay.api.operator_pages import SIGNED_IN

    link = await services.store.registry.sessions.new_link(SIGNED_IN, seconds=60)
    browser = await http
    first = await browser.get(f"/mailbox?key={link}", allow_redirects=False)
    assert first.status == 303
    browser.session.cookie_jar.clear()
    assert (await browser.get(f"/mailbox?key={link}")).status == 403


async def test_a_partners_link_opens_no_mailbox(http: Any, services: Services) -> None:
    link = await services.store.registry.sessions.new_link("contoso", seconds=60)
    assert (await (await http).get(f"/mailbox?key={link}")).status == 403
