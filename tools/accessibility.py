"""Can everybody read every mail, in a real browser?

`python -m tools.accessibility`: each message in each language goes through Chromium, narrow and light, wide and dark.
axe-core must find nothing, nothing may be wider than the screen, and nothing may be fetched. Two rules of axe-core
are left out, those that ask for the landmarks of a whole page: a mail is an article within the mail reader's page.
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.resources import files

from relay.data import templates_dir
from relay.mail.compose import Composer
from relay.mail.samples import DATE_MS, samples
from relay.mail.settings import PlainMailSettings
from tools.browser import BrowserError, Page, browser

_LANDMARKS = ("region", "landmark-one-main")
_LOOKS = [(320, False), (1000, True)]
_AXE = """axe.run(document, {rules: %s, resultTypes: ['violations']}).then(found => found.violations.map(
  one => `${one.id}: ${one.help}: ${one.nodes.map(node => node.html).slice(0, 3).join(' ')}`))"""
_WIDE = "[document.documentElement.scrollWidth].filter(one => one > %d).map(one => `wider than the screen: ${one}`)"
_FETCHED = "performance.getEntriesByType('resource').map(one => `fetched: ${one.name}`)"


async def look_over(page: Page, name: str, html: str) -> list[str]:
    """What is wrong with one message, each finding with where it was seen."""
    rules = json.dumps({rule: {"enabled": False} for rule in _LANDMARKS})
    await page.show(html)
    await page.run(files("axe_core_python").joinpath("axe.min.js").read_text("utf-8"))
    found = []
    for width, dark in _LOOKS:
        await page.look(width=width, dark=dark)
        for script in (_AXE % rules, _WIDE % width, _FETCHED):
            where = f"{name} at {width}, {'dark' if dark else 'light'}"
            found += [f"{where}: {problem}" for problem in await page.run(script)]
    return found


async def every() -> tuple[int, list[str]]:
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
                )  # fmt: skip
                found += await look_over(page, f"{locale}/{sample.name}", message.html)
                count += 1
    return count, found


def main() -> int:
    try:
        count, found = asyncio.run(every())
    except BrowserError as problem:
        print(problem)
        return 1
    print("\n".join(found))
    print(f"{count} messages, each narrow and light, wide and dark: {len(found) or 'no'} findings")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
