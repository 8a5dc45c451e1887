"""Can the operator, and nobody else, play transfers in a browser?"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.api import sandbox_view
from relay.api.operator_pages import SIGNED_IN
from relay.app import create_app
from relay.logs import open_log
from relay.sandbox.serve import Sandbox, opened, serving
from relay.services import Services
from tests.calling import OPERATOR, Api
from tests.ports import free_port

OURS = {"Sec-Fetch-Site": "same-origin"}
BUTTONS = {
    "/sandbox/play": {"life": "sim-of-the-century"}, "/sandbox/clock": {"rate": "0"},
    "/sandbox/fault": {"fault": "soracom leave_out", "item": "2"}, "/sandbox/forgive": {}, "/sandbox/reset": {},
    "/sandbox/portal/OP0012345678": {},
}  # fmt: skip


@pytest.fixture
async def played(services: Services, database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Services, Sandbox]]:
    """Services with the page on, and a sandbox."""
    config = services.config
    sandbox = config.sandbox.model_copy(update={"page": True, "port": free_port(), "folder": str(tmp_path)})
    store = config.store.model_copy(update={"prefix": services.store.client.prefix, "url": database_url})
    config = config.model_copy(update={"sandbox": sandbox, "store": store})
    async with opened(config, open_log(config.log)) as running, serving(running, config):
        yield dataclasses.replace(services, config=config), running


@pytest.fixture
async def browser(played: tuple[Services, Sandbox], aiohttp_client: Any) -> Any:
    """A browser that is signed in."""
    made = await aiohttp_client(create_app(played[0]))
    assert (await made.get("/sandbox")).status == 401
    assert (await made.post("/sandbox/sign-in", data={"token": "wrong"}, headers=OURS)).status == 403
    signed = await made.post("/sandbox/sign-in", data={"token": OPERATOR}, headers=OURS, allow_redirects=False)
    assert (signed.status, signed.headers["Location"]) == (303, "/sandbox")
    assert "HttpOnly" in signed.headers["Set-Cookie"] and "SameSite=Strict" in signed.headers["Set-Cookie"]
    return made


async def test_the_page_shows_lives_clock_faults_and_transfers_without_a_script(
    browser: Any, played: tuple[Services, Sandbox]
) -> None:
    page = await browser.get("/sandbox")
    text = await page.text()
    assert page.status == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src" not in policy
    assert not re.search(r"<script|\son\w+=|\sstyle=|javascript:|<style", text)
    for word in ('value="subscription-completed"', 'value="sim-assisted"', "Pause", "30 days later", "soracom leave_out"):
        assert word in text
    assert 'href="/mailbox"' not in text, "it is off here"
    assert "http-equiv" not in text, "nothing is played: the page stays as it is"


async def test_every_button_is_the_operators_and_from_our_own_page(browser: Any, aiohttp_client: Any, played: Any) -> None:
    stranger = await aiohttp_client(create_app(played[0]))
    for path, form in BUTTONS.items():
        evil = await browser.post(path, data=form, headers={"Sec-Fetch-Site": "cross-site"}, allow_redirects=False)
        assert evil.status == 403, path
        assert (await stranger.post(path, data=form, headers=OURS, allow_redirects=False)).status == 401, path
        assert (await browser.get(path, allow_redirects=False)).status in (404, 405), path


async def test_a_form_that_cannot_be_read_is_its_senders_fault(browser: Any, aiohttp_client: Any, played: Any) -> None:
    stranger = await aiohttp_client(create_app(played[0]))
    for media, body, status in (
        ("application/x-www-form-urlencoded; charset=nonsense", b"token=x", 422),
        ("application/x-www-form-urlencoded", b"token=\xff", 422),
        ("multipart/form-data", b"--b--", 422),
        ("application/x-www-form-urlencoded", b"token=" + b"x" * 20_000, 413),
    ):
        headers = {**OURS, "Content-Type": media}
        assert (await stranger.post("/sandbox/sign-in", data=body, headers=headers)).status == status
        assert (await browser.post("/sandbox/play", data=body, headers=headers)).status == status


async def test_clock_and_faults_are_set_and_what_is_refused_is_said(browser: Any) -> None:
    async def press(path: str) -> str:
        answer = await browser.post(path, data=BUTTONS[path], headers=OURS)
        return str(await answer.text())

    assert "paused" in await press("/sandbox/clock")
    assert "leave out" in await press("/sandbox/fault")
    text = await (await browser.get("/sandbox")).text()
    assert '<span class="badge pending">waits</span>' in text
    assert '<span class="badge pending">waits</span>' not in await press("/sandbox/forgive")
    assert "there is no &#39;sim-of-the-century&#39;" in await press("/sandbox/play")
    before = re.search(r'class="time now">(\d{4}-\d\d-\d\d)', text)
    later = await browser.post("/sandbox/clock", data={"jump": "2592000"}, headers=OURS)
    after = re.search(r'class="time now">(\d{4}-\d\d-\d\d)', await later.text())
    assert before is not None and after is not None and before[1] < after[1]
    assert (await browser.post("/sandbox/portal/OP0012345678", headers=OURS, allow_redirects=False)).status == 404


async def test_one_sign_in_is_for_the_portals_too(browser: Any, played: tuple[Services, Sandbox], aiohttp_client: Any) -> None:
    operator = Api(browser, OPERATOR)
    await operator.partner("fabrikam")
    page = await browser.post("/sandbox/portal/fabrikam", headers=OURS)
    assert page.url.path == "/portal"
    assert "Fabrikam" in await page.text()
    link = await played[0].store.registry.sessions.new_link(SIGNED_IN, seconds=60)
    other = await aiohttp_client(create_app(played[0]))
    assert (await other.get(f"/sandbox?key={link}")).status == 200
    other.session.cookie_jar.clear()
    assert (await other.get(f"/sandbox?key={link}")).status == 403


async def test_without_a_sandbox_it_is_said_and_where_the_page_is_off_there_is_none(
    played: tuple[Services, Sandbox], services: Services, aiohttp_client: Any
) -> None:
    config = played[0].config
    gone = config.model_copy(update={"sandbox": config.sandbox.model_copy(update={"port": free_port()})})
    away = await aiohttp_client(create_app(dataclasses.replace(played[0], config=gone)))
    await away.post("/sandbox/sign-in", data={"token": OPERATOR}, headers=OURS, allow_redirects=False)
    page = await away.get("/sandbox")
    assert (page.status, "does not answer" in await page.text()) == (503, True)
    off = await aiohttp_client(create_app(services))
    assert (await off.get("/sandbox")).status == 404


@pytest.mark.parametrize(
    ("sims", "stops"),
    [
        ({"status": "offered"}, ["offered!", "accepted?"]),
        ({"status": "accepted", "moved": ["1", "2"]}, ["offered", "accepted!"]),
        ({"status": "accepted", "moved": ["1"]}, ["offered", "partially accepted!"]),
        ({"status": "canceled"}, ["offered", "canceled!"]),
        ({"status": "void", "void": {"1": "active", "2": "active"}}, ["offered", "void!"]),
    ],
)
def test_a_transfer_is_drawn_as_a_line_of_its_states(sims: dict[str, Any], stops: list[str]) -> None:
    one = {"id": "sim-1", "source": "a", "target": "b", "sims": ["1", "2"], "void": {}, "moved": [], "at": "2026", **sims}
    (drawn,) = sandbox_view.transfers({"soracom": {"operators": [], "transfers": [one]}}, 5)
    marks = {"past": "", "now": "!", "ahead": "?"}
    assert [stop.name + marks[stop.place] for stop in drawn.stops] == stops
