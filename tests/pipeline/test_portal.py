"""What does a person of a partner see in the portal?"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from aiohttp import ClientSession, CookieJar

from tests.pipeline.events import step
from tests.pipeline.rig import Rig


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def words(page: str) -> str:
    reader = _Words()
    reader.feed(page)
    return re.sub(r"\s+", " ", reader.text)


async def test_a_link_shows_a_person_their_partners_page_and_no_other(rig: Rig) -> None:
    ours = await rig.api.register("contoso", rig.hooks)
    theirs = await rig.api.register("fabrikam", rig.hooks)
    other = await rig.api.register("stranger", rig.hooks)
    await rig.api.post(step("tr-ours", "created", 1))
    await rig.api.post(step("tr-others", "created", 1, source="stranger"))
    await rig.api.settled("tr-ours")
    await rig.api.settled("tr-others")
    link = await rig.api.ask("POST", "/v1/partners/contoso/portal-links", {}, expect=201)
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser:
        async with browser.get(f"{rig.api.base}/portal") as page:
            assert page.status == 401
        async with browser.get(link["url"]) as page:
            assert (page.status, page.url.path) == (200, "/portal")
            html = await page.text()
            assert page.headers["Cache-Control"] == "no-store"
            assert "script" not in page.headers["Content-Security-Policy"]
        shown = words(html)
        (delivery,) = (await ours.caller.ask("GET", f"{ours.at}/deliveries"))["data"]
        for wanted in (rig.hooks.url(ours.path), ours.endpoint, "tr-ours", "tr-ours-1", "transfer.created"):
            assert wanted in shown, wanted
        assert delivery["status"] in shown
        assert shown.count("tr-ours") >= 2, "in the deliveries and in the activity"
        for foreign in ("tr-others", "stranger", theirs.endpoint, other.endpoint, theirs.path, other.path):
            assert foreign not in html, foreign
        assert ours.secret not in html
        async with browser.get(f"{rig.api.base}/portal") as page:
            assert page.status == 200
        async with browser.post(f"{rig.api.base}/portal/sign-out") as page:
            assert page.status == 200
        async with browser.get(f"{rig.api.base}/portal") as page:
            assert page.status == 401
    async with ClientSession() as somebody, somebody.get(link["url"]) as page:
        assert page.status == 403, "a link works once"
    await rig.api.of(ours.caller.token).ask("POST", "/v1/partners/contoso/portal-links", {}, expect=403)
