"""What do the pages of a running relay look like, with something on each?

Starts `relay up` in a folder of its own, has a transfer told to people of every language, an endpoint that never
answers and admin agents who get no mail, plays a life, and opens one page after the other in a browser.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import BasicAuth, ClientSession

from relay.banner import sample_event
from relay.embedded import free_port
from tools.browser import BrowserError, Page

_PAUSE_S, _TRIES = 0.2, 450
_LIFE = "subscription-completed"
_GONE, _STOPPED = "gone@contoso.example", "stopped@contoso.example"
_UNFOLD = "document.querySelectorAll('details').forEach(one => { one.open = true })"
_TEXT = "document.body.textContent"
_TO = re.compile(r">\s*to ([\w-]+)@contoso\.example")


@dataclass(frozen=True, slots=True)
class Running:
    """A relay: where it is, the operator's token, a link that signs the operator in, once, and the password
    of the mail provider's webhook."""

    url: str
    token: str
    link: str
    password: str

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of an answer to the operator. Raises aiohttp.ClientResponseError."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            ClientSession(headers=headers, raise_for_status=True) as http,
            http.request(method, self.url + path, json=body) as answer,
        ):
            return await answer.json()

    async def bounced(self, email: str) -> None:
        """As Postmark tells that a mailbox is gone."""
        told = {"RecordType": "Bounce", "ID": 1, "Type": "HardBounce", "Details": "smtp;550 5.1.1 no such user",
                "Email": email, "BouncedAt": "2026-11-21T05:05:00Z"}  # fmt: skip
        async with (
            ClientSession(auth=BasicAuth("relay", self.password), raise_for_status=True) as http,
            http.post(f"{self.url}/v1/bounces/postmark", json=told) as answer,
        ):
            await answer.read()


async def opened(page: Page, relay: Running, locales: Sequence[str]) -> AsyncIterator[str]:
    """Each page in turn, open in the browser; its name."""
    for name, path in (("sign-in", "/sandbox"), ("link that is not complete", "/preferences/x")):
        await page.open(relay.url + path)
        yield name
    await page.open(relay.link)
    await _told(relay, locales)
    links = await _choices(page, relay, len(locales))
    yield "mailbox"
    for locale, link in links.items():
        await page.open(link)
        yield f"preferences in {locale}"
    await page.run("document.querySelector('form button').click()")
    await _until(page, "document.querySelector('[role=status]') !== null")
    yield "preferences, saved"
    made = await relay.ask("POST", "/v1/partners/contoso/portal-links", {})
    await page.open(made["url"])
    yield "portal"
    await page.open(f"{relay.url}/docs")
    await page.run(_UNFOLD)
    yield "docs"
    await page.open(f"{relay.url}/sandbox")
    yield "sandbox"
    await page.run(f"document.querySelector('button[value={_LIFE}]').click()")
    await _until(page, "location.search.startsWith('?play=') && document.querySelector('.script li') !== null")
    # While it reloads itself nothing can be looked at in peace.
    await page.open(await page.run("location.href") + "&still=1")
    if not await page.run("document.querySelector('.badge.playing') !== null"):
        raise BrowserError("the life was over before its page was seen")
    yield "sandbox, playing"
    await page.open(f"{relay.url}/sandbox")
    await _until(page, "document.querySelector('.badge.played') !== null")
    yield "sandbox, played"


async def _told(relay: Running, locales: Sequence[str]) -> None:
    """A transfer, told to people of every language; an endpoint that is held, a mailbox that is gone."""
    people = [{"email": f"{one.lower()}@contoso.example", "name": f"Kim {one}", "locale": one} for one in locales]
    agents = [*people, {"email": _GONE, "name": "Robin Gone"}, {"email": _STOPPED, "name": "Sasha Stopped"}]
    await relay.ask("PUT", "/v1/partners/contoso", {"name": "Contoso", "locale": "en", "admin_agents": agents})
    endpoint = {"url": f"http://127.0.0.1:{free_port()}/hooks/transfers", "description": "Ticket system"}
    await relay.ask("POST", "/v1/partners/contoso/endpoints", endpoint)
    await relay.ask("POST", "/v1/suppressions", {"email": _STOPPED, "note": "asked for it"})
    await relay.bounced(_GONE)
    await relay.ask("POST", "/v1/events", sample_event())
    for _ in range(_TRIES):
        (held,) = (await relay.ask("GET", "/v1/partners/contoso/endpoints"))["data"]
        if held["breaker"]["state"] == "open":
            return
        await asyncio.sleep(_PAUSE_S)
    raise BrowserError("the endpoint that never answers is not held back")


async def _choices(page: Page, relay: Running, wanted: int) -> dict[str, str]:
    """The link to the choices of each reader by locale, from the mails; the page of the last mail is left open."""
    links: dict[str, str] = {}
    for _ in range(_TRIES):
        await page.open(f"{relay.url}/mailbox")
        for one in await page.run("[...document.querySelectorAll('.messages a')].map(one => one.href)"):
            await page.open(one)
            text = await page.run(_TEXT)
            to, link = _TO.search(text), re.search(r"http\S+/preferences/[\w-]+", text)
            if to and link:
                links[to[1]] = link[0]
        if len(links) >= wanted:
            await page.run(_UNFOLD)
            return links
        await asyncio.sleep(_PAUSE_S)
    raise BrowserError(f"of {wanted} readers only {len(links)} got a mail with a link to their choices")


async def _until(page: Page, condition: str) -> None:
    """Waits until it holds, also while the page gives way to another."""
    for _ in range(_TRIES):
        # A document that is gone in the middle cannot say; the next one is asked.
        with suppress(BrowserError):
            if await page.run(condition):
                await page.loaded()
                return
        await asyncio.sleep(_PAUSE_S)
    raise BrowserError(f"never true: {condition}")


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    """`relay up` in a folder of its own, which is gone afterwards. One failure holds an endpoint."""
    port, password = free_port(), secrets.token_hex(16)
    url = f"http://127.0.0.1:{port}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")} | {
        "RELAY_SERVER__PUBLIC_URL": url,
        "RELAY_BREAKER__FAILURES_TO_OPEN": "1",
        "RELAY_BOUNCES__POSTMARK_PASSWORD": password,
        "RELAY_BREAKER__PROBE_SECONDS": "600",
    }
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        said = Path(folder) / "said"
        with said.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "relay", "up", "--port", str(port), "--data", f"{folder}/data",
                env=environ, stdout=out, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
        try:
            yield await _introduced(process, said, url, password)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            await process.wait()


async def _introduced(process: asyncio.subprocess.Process, said: Path, url: str, password: str) -> Running:
    for _ in range(_TRIES):
        text = said.read_text("utf-8", "replace")
        token, link = re.search(r"Operator token +(\S+)", text), re.search(r"http\S+/sandbox\?key=\S+", text)
        if token and link:
            return Running(url, token[1], link[0], password)
        if process.returncode is not None:
            break
        await asyncio.sleep(_PAUSE_S)
    raise BrowserError(f"the relay did not start: {said.read_text('utf-8', 'replace')[-2000:]}")
