"""What can somebody do with the link in a mail, and what can nobody do with it?"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.mail.catalogue import load_languages
from relay.model import Audience, Channel, Recipient
from relay.preference_links import PATH
from relay.preferences import DAILY
from tests.fakes.mails import TEMPLATES
from tests.pipeline.conftest import Store
from tests.pipeline.events import step
from tests.pipeline.inside import Inside, inside

BASE = "https://relay.example/mail"
LOCALES = tuple(load_languages(TEMPLATES / "email"))
AOI = "/v1/partners/contoso/admin-agents/aoi@contoso.example/preferences"


@pytest.fixture
async def world(store: Store) -> AsyncIterator[Inside]:
    """The relay inside this process, which people reach at an address of its own."""
    async with inside(store.url, RELAY_SERVER__PUBLIC_URL=BASE, **store.settings) as made:
        await made.api.register("fabrikam", admin_agents=[])
        agents = [{"email": "aoi@contoso.example", "name": "Aoi", "locale": "ja"}]
        await made.api.register("contoso", admin_agents=agents)
        yield made


def reader(locale: str = "en", *, partner: str | None = "contoso", root: bool = False) -> Recipient:
    audience = Audience.CUSTOMER if partner is None else Audience.TARGET if root else Audience.SOURCE
    return Recipient(
        id="mb_x", channel=Channel.EMAIL, audience=audience, partner=partner, email="aoi@contoso.example",
        locale=locale, is_root=root,
    )  # fmt: skip


async def ask(world: Inside, method: str, url: str, **more: Any) -> tuple[int, str, Any]:
    """Without any token or cookie, as a browser or a mail service does."""
    path = url.removeprefix(BASE)
    async with world.api.http.request(method, world.api.base + path, **more) as answer:
        return answer.status, await answer.text(), answer.headers


async def test_the_link_of_a_mail_opens_a_page_that_changes_nothing_and_its_form_does(world: Inside) -> None:
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    (message,) = world.mail.messages
    url = message.parsed["List-Unsubscribe"].strip("<>")
    assert url.startswith(BASE + PATH) and "aoi" not in url
    assert message.parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    before = await world.api.ask("GET", AOI)
    for method in ("GET", "HEAD", "GET"):
        status, text, headers = await ask(world, method, url)
        assert status == 200
        assert "script" not in text and "style=" not in text
        assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["Cache-Control"] == "no-store"
    assert 'lang="ja"' in text and "受け取るメールの選択" in text and "aoi@contoso.example" in text and "Contoso" in text
    assert set(re.findall(r'name="((?:transfer|endpoint|agent)\.\w+)"', text)) == {
        "transfer.created", "transfer.completed", "endpoint.recovered", "agent.bounced",
    }  # fmt: skip
    assert (await world.api.ask("GET", AOI)) == before
    form = {"transfer.created": "daily", "endpoint.recovered": "never", "daily_hour": "18", "timezone": "Asia/Tokyo",
            "transfer.failed": "sometimes", "endpoint.disabled": "never", "x": "never"}  # fmt: skip
    status, text, _ = await ask(world, "POST", url, data=form)
    assert status == 200 and "設定を保存しました。" in text
    assert re.search(r'name="transfer.created" value="daily"[^>]* checked', text)
    said = await world.api.ask("GET", AOI)
    assert {type_ for type_, at in said["types"].items() if at != "at_once"} == {"transfer.created", "endpoint.recovered"}
    assert (said["daily_hour"], said["timezone"]) == (18, "Asia/Tokyo")
    await ask(world, "POST", url, data=form | {"daily_hour": "24", "timezone": "Mars/Olympus"})
    assert (await world.api.ask("GET", AOI))["timezone"] == "Asia/Tokyo"


async def test_one_click_ends_the_kind_of_mail_it_came_with_however_often(world: Inside) -> None:
    links = world.services.links
    url = await links.url(reader(), "transfer.completed", world.clock())
    for kind in ({"data": {"List-Unsubscribe": "One-Click"}}, {"data": b"List-Unsubscribe=One-Click"}) * 2:
        more = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}} if isinstance(kind["data"], bytes) else {}
        assert (await ask(world, "POST", url, **kind, **more))[0] == 200
    said = await world.api.ask("GET", AOI)
    assert [type_ for type_, at in said["types"].items() if at == "never"] == ["transfer.completed"]
    changes = await world.api.all("/v1/partners/contoso/activity?type=preferences.changed")
    assert [line["note"] for line in changes] == ["E-mail to aoi@contoso.example: transfer.completed never."]
    # In a daily mail it ends all that is daily.
    await world.api.ask("PUT", AOI, {"types": {"transfer.created": "daily", "transfer.failed": "daily"}})
    url = await links.daily_url(reader(), DAILY, world.clock())
    assert (await ask(world, "POST", url, data={"List-Unsubscribe": "One-Click"}))[0] == 200
    said = await world.api.ask("GET", AOI)
    assert [type_ for type_, at in said["types"].items() if at == "never"] == ["transfer.created", "transfer.failed"]


async def test_a_link_that_was_not_made_here_or_is_old_does_nothing(world: Inside) -> None:
    links, made = world.services.links, world.clock()
    url = await links.url(reader("de"), "transfer.created", made)
    token = url.rpartition("/")[2]
    broken = [token[:-1], token + "A", "A" + token[1:], token[::-1], "x", "%00", "a" * 3000, token.replace(token[9], "-")]
    for one in broken:
        for method in ("GET", "POST"):
            if one != token:
                data = {"data": {"List-Unsubscribe": "One-Click"}} if method == "POST" else {}
                status, text, _ = await ask(world, method, BASE + PATH + one, **data)
                assert status == 404, one[:80]
    assert "This link is not complete" in text
    world.pass_time(366 * 86_400)
    for method in ("GET", "POST"):
        status, text, _ = await ask(world, method, url, data={"List-Unsubscribe": "One-Click"} if method == "POST" else None)
        assert status == 410 and "Dieser Link funktioniert nicht mehr" in text
    assert (await world.api.ask("GET", AOI))["updated_at"] is None


async def test_there_is_no_link_where_there_is_nothing_to_choose(world: Inside) -> None:
    links = world.services.links
    assert await links.url(reader(root=True), "transfer.created", 0) == ""
    assert await links.url(reader(), "endpoint.disabled", 0) == ""
    assert await links.url(reader(root=True), "transfer.completed", 0) != ""
    one, other = [await links.url(reader(), "transfer.created", at) for at in (1, 2)]
    assert one == other, "the same mail made twice has the same link"


@pytest.mark.parametrize("partner", ["contoso", None])
async def test_the_page_speaks_every_language(world: Inside, partner: str | None) -> None:
    async def page(locale: str) -> str:
        url = await world.services.links.url(reader(locale, partner=partner), "transfer.created", world.clock())
        status, text, _ = await ask(world, "GET", url)
        assert status == 200 and f'<html lang="{locale}">' in text
        return text

    texts = await asyncio.gather(*map(page, LOCALES))
    assert len({re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text)) for text in texts}) == len(LOCALES)
    english = texts[LOCALES.index("en")]
    for phrase in ("Message at once", "Daily summary", "No message"):
        assert sum(phrase in text for text in texts) == 1
    offers = set(re.findall(r'name="((?:transfer|endpoint)\.\w+)"', english))
    assert ("endpoint.recovered" in offers) is (partner is not None)
    assert ("An endpoint is disabled" in english) is (partner is not None)


async def test_who_accepts_by_mail_is_told_that_it_comes_in_any_case(world: Inside) -> None:
    url = await world.services.links.url(reader(root=True), "transfer.completed", world.clock())
    _, text, _ = await ask(world, "GET", url)
    assert "A SIM transfer waits to be accepted by you" in text and 'name="transfer.created"' not in text


FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
CLICK = b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n%s\r\nOne-Click\r\n--b--\r\n'
ODD: dict[str, tuple[str, bytes]] = {
    "charset": (f"{FORM}; charset=nonsense", b"daily_hour=7"),
    "no text": (FORM, b"daily_hour=\xff\xfe"),
    "no text in a part": (PARTS, CLICK % b"" + b"\xff"),
    "charset of a part": (PARTS, CLICK % b"Content-Type: text/plain; charset=nonsense\r\n"),
    "encoding of a part": (PARTS, CLICK % b"Content-Transfer-Encoding: nonsense\r\n"),
    "base64 of a part": (PARTS, CLICK % b"Content-Transfer-Encoding: base64\r\n"),
    "length of a part": (PARTS, CLICK % b"Content-Length: -3\r\n"),
    "no boundary": ("multipart/form-data", CLICK % b""),
    "cut short": (PARTS, (CLICK % b"")[:70]),
    "no name": (PARTS, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
    "nested": (PARTS, b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n"),
    "headers": (PARTS, b"--b\r\n" + b"x" * 9000 + b"\r\n\r\nx\r\n--b--\r\n"),
    "a number": (FORM, b"daily_hour=" + b"9" * 9000),
    "many fields": (FORM, b"&".join(b"%d=" % n for n in range(3000))),
    "up the tree": (FORM, b"timezone=../../../etc/passwd"),
    "a folder": (FORM, b"timezone=Asia"),
    "a long zone": (FORM, b"timezone=" + b"x" * 9000),
    "a zone with an end": (FORM, b"timezone=Asia/Tokyo%00"),
    "half a character": (FORM, b"timezone=%ED%A0%80"),
    "other media": ("application/json", b'{"daily_hour": 7}'),
}  # fmt: skip


async def test_whatever_is_posted_with_a_link_is_answered_and_soon_over(world: Inside) -> None:
    url = await world.services.links.url(reader("en"), "transfer.created", world.clock())
    for name, (media, body) in ODD.items():
        status, text, _ = await ask(world, "POST", url, data=body, headers={"Content-Type": media})
        assert status in (200, 413, 422), (name, status, text)
    big = b"daily_hour=7&x=" + b"x" * 40_000

    async def unsaid() -> AsyncIterator[bytes]:
        yield big

    for data in (big, unsaid(), CLICK % b"" + big):
        media = PARTS if isinstance(data, bytes) and data.startswith(b"--") else FORM
        assert (await ask(world, "POST", url, data=data, headers={"Content-Type": media}))[0] == 413
    packed = {"Content-Type": FORM, "Content-Encoding": "gzip"}
    assert (await ask(world, "POST", url, data=gzip.compress(b"daily_hour=7"), headers=packed))[0] == 415
    assert (await world.api.ask("GET", AOI))["daily_hour"] is None


async def test_who_is_an_agent_no_more_changes_nothing_with_the_link_that_is_left(world: Inside) -> None:
    url = await world.services.links.url(reader("en"), "transfer.created", world.clock())
    await world.api.ask("PUT", "/v1/partners/contoso/admin-agents", json={"admin_agents": [{"email": "ben@contoso.example", "name": "Ben"}]})
    for method in ("GET", "POST"):
        status, text, _ = await ask(world, method, url, data={"List-Unsubscribe": "One-Click"})
        assert status == 410 and "contoso" not in text.casefold()
    assert [one for one in await world.api.all("/v1/partners/contoso/activity") if one["type"] == "preferences.changed"] == []


async def test_a_link_in_wrong_hands_fills_no_activity_log(world: Inside) -> None:
    url = await world.services.links.url(reader("en"), "transfer.created", world.clock())
    other = await world.services.links.url(reader("en", partner=None), "transfer.created", world.clock())
    said = [
        await ask(world, "POST", url, data={"transfer.created": "never" if number % 2 else "at_once"}) for number in range(60)
    ]
    assert {status for status, *_ in said} == {200, 429}
    assert all(headers["Retry-After"].isdecimal() for status, _, headers in said if status == 429)
    found = await world.api.all("/v1/partners/contoso/activity")
    assert 20 <= len([one for one in found if one["type"] == "preferences.changed"]) <= 40
    assert (await ask(world, "POST", other, data={"List-Unsubscribe": "One-Click"}))[0] == 200, "another reader's works"
