"""What does a real browser make of a page?

Chromium without a window, spoken to over its DevTools protocol on loopback: sizes, colour schemes, pictures and
JavaScript. Nothing it shows may load anything from elsewhere: only files, data and this machine are reached.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_START_S = 60
_LOADED = """new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', () => done()))"""


class BrowserError(Exception):
    """The browser is missing, did not start or refused a command."""


class Page:
    """One tab. Commands go one after the other."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """A DevTools command and its result."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            answer = await self._socket.receive_json(timeout=60)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    async def look(self, *, width: int, dark: bool, scale: float = 1) -> None:
        """The width in CSS pixels and the colour scheme from now on."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=640, deviceScaleFactor=scale, mobile=width < 480
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    async def show(self, html: str) -> None:
        """Put a page into the tab."""
        tree = await self.send("Page.getFrameTree")
        await self.send("Page.setDocumentContent", frameId=tree["frameTree"]["frame"]["id"], html=html)

    async def open(self, url: str) -> None:
        """Go to a page of a server on this machine and wait for all of it; BrowserError when there is none."""
        gone = await self.send("Page.navigate", url=url)
        if "errorText" in gone:
            raise BrowserError(f"{url}: {gone['errorText']}")
        await self.loaded()

    async def loaded(self) -> None:
        """Wait until the page has all that belongs to it."""
        await self.run(_LOADED)

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        done = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise BrowserError(json.dumps(done["exceptionDetails"])[:500])
        return done["result"].get("value")

    async def picture(self, quality: int = 80) -> bytes:
        """The whole page as WebP."""
        size = (await self.send("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = await self.send(
            "Page.captureScreenshot", format="webp", quality=quality, clip=clip, captureBeyondViewport=True
        )
        return b64decode(shot["data"])


@asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """A page of a fresh Chromium, which is ended afterwards; BrowserError when there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise BrowserError("there is no Chromium; on Debian: apt-get install chromium fonts-noto-cjk")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        process = await asyncio.create_subprocess_exec(
            program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
            "--disable-dev-shm-usage", "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--remote-debugging-port=0", f"--user-data-dir={home}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = await _port(Path(home) / "DevToolsActivePort", process)
            async with ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as listed:
                    tabs = await listed.json()
                url = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
                async with session.ws_connect(url, max_msg_size=0) as socket:
                    yield Page(socket)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _port(path: Path, process: asyncio.subprocess.Process) -> int:
    for _ in range(_START_S * 10):
        if path.exists() and (lines := path.read_text().split()):
            return int(lines[0])
        if process.returncode is not None:
            break
        await asyncio.sleep(0.1)
    raise BrowserError("Chromium did not start")
