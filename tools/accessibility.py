"""Can everybody read every mail and use every page, in a real browser?

`python -m tools.accessibility`: each message in each language, and each page of a running relay, goes through Chromium,
narrow and light, wide and dark. axe-core must find nothing, nothing may be wider than the screen, and nothing may be
fetched from elsewhere. For mails two rules of axe-core are left out, those that ask for the landmarks of a whole page:
a mail is an article within the mail reader's page.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from importlib.resources import files

from relay.data import templates_dir
from relay.mail.compose import Composer
from relay.mail.samples import CHOOSE_AT, DATE_MS, samples
from relay.mail.settings import PlainMailSettings
from tools.browser import BrowserError, Page, browser
from tools.pages import opened, running

_LANDMARKS = ("region", "landmark-one-main")
_LOOKS = [(320, False), (1000, True)]
_AXE = """axe.run(document, {rules: %s, resultTypes: ['violations'], iframes: false}).then(found =>
  found.violations.map(one => `${one.id}: ${one.help}: ${one.nodes.map(node => node.html).slice(0, 3).join(' ')}`))"""
_WIDE = "[document.documentElement.scrollWidth].filter(one => one > %d).map(one => `wider than the screen: ${one}`)"
_FETCHED = """performance.getEntriesByType('resource').map(one => one.name).filter(one => !%s || !one.startsWith(%s))
  .map(one => `fetched: ${one}`)"""


async def look_over(page: Page, name: str, *, without: Sequence[str] = (), home: str = "") -> list[str]:
    """What is wrong with what is open, each finding with where it was seen. `without` are rules of axe-core that are
    not asked, `home` the server that it may load from."""
    rules = json.dumps({rule: {"enabled": False} for rule in without})
    await page.run(files("axe_core_python").joinpath("axe.min.js").read_text("utf-8"))
    found = []
    for width, dark in _LOOKS:
        await page.look(width=width, dark=dark)
        for script in (_AXE % rules, _WIDE % width, _FETCHED % (json.dumps(home), json.dumps(home))):
            where = f"{name} at {width}, {'dark' if dark else 'light'}"
            found += [f"{where}: {problem}" for problem in await page.run(script)]
    return found


async def mails() -> tuple[int, list[str]]:
    """How many messages were looked at, and what is wrong with them."""
    composer = Composer(PlainMailSettings(), templates_dir())
    found: list[str] = []
    count = 0
    async with browser() as page:
        for locale in composer.locales:
            for sample in samples():
                message = composer.compose(
                    body=sample.body, recipient=sample.recipient, delivery_id="look", event_id="look",
                    transfer_key="look", date_ms=DATE_MS, acceptance_url=sample.url, locale=locale,
                    preferences_url=CHOOSE_AT,
                )  # fmt: skip
                await page.show(message.html)
                found += await look_over(page, f"{locale}/{sample.name}", without=_LANDMARKS)
                count += 1
    return count, found


async def pages() -> tuple[int, list[str]]:
    """The same of the pages of a relay."""
    locales = Composer(PlainMailSettings(), templates_dir()).locales
    found: list[str] = []
    count = 0
    async with running() as relay, browser() as page:
        async for name in opened(page, relay, locales):
            found += await look_over(page, name, home=relay.url)
            count += 1
    return count, found


async def both() -> bool:
    """Whether anything is wrong, after saying what."""
    wrong = False
    for what, look in (("messages", mails), ("pages", pages)):
        count, found = await look()
        print("\n".join([*found, f"{count} {what}, each narrow and light, wide and dark: {len(found) or 'no'} findings"]))
        wrong |= bool(found)
    return wrong


def main() -> int:
    try:
        return asyncio.run(both())
    except BrowserError as problem:
        print(problem)
        return 1


if __name__ == "__main__":
    sys.exit(main())
