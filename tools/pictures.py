"""What does every mail look like to a person?

`python -m tools.pictures DIR` takes pictures of what `relay preview DIR` wrote, each narrow and wide, light and dark,
and writes `pictures.html` to look through them. `--docs` takes the few that stand in `docs/pictures`.
"""

from __future__ import annotations

import asyncio
import sys
from html import escape
from pathlib import Path

from tools.browser import Page, browser

LOOKS = [(width, dark) for width in (320, 640) for dark in (False, True)]
DOCS = Path(__file__).parents[1] / "docs" / "pictures"
IN_DOCS = [
    f"{locale}/subscription-{what}-{audience}"
    for locale in ("ja", "en")
    for what in ("created", "completed")
    for audience in ("source", "target", "customer")
]
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pictures of every e-mail</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.6 system-ui, sans-serif; margin: 2rem; }}
section {{ border-top: 1px solid #8886; margin-top: 2rem; }}
.row {{ align-items: flex-start; display: flex; flex-wrap: wrap; gap: 1rem; }}
img {{ border: 1px solid #8886; max-width: 100%; }}
</style>
</head>
<body>
<h1>Pictures of every e-mail</h1>
<p>Taken by Chromium at 320 and 640 pixels, light and dark. The messages themselves: <a href="index.html">index</a>.</p>
{sections}
</body>
</html>
"""


def named(name: str, width: int, *, dark: bool) -> str:
    """The file of one picture."""
    return f"{name}-{width}-{'dark' if dark else 'light'}.webp"


async def take(page: Page, html: str, base: Path, name: str, quality: int) -> None:
    """All the pictures of one message."""
    await page.show(html)
    for width, dark in LOOKS:
        await page.look(width=width, dark=dark)
        path = base / named(name, width, dark=dark)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(await page.picture(quality))


async def every(folder: Path) -> int:
    """Pictures of all messages in a preview; how many were taken."""
    names = sorted(
        str(path.relative_to(folder).with_suffix(""))
        for path in folder.glob("*/*.html")
        if not path.name.endswith((".dark.html", ".light.html"))
    )
    if not names:
        sys.exit(f"there is no preview in {folder}: run `relay preview {folder}` first")
    async with browser() as page:
        for name in names:
            await take(page, (folder / f"{name}.html").read_text("utf-8"), folder, name, 55)
    sections = "\n".join(
        f'<section><h2 id="{escape(name)}"><a href="{escape(name)}.html">{escape(name)}</a></h2><div class="row">'
        + "".join(
            f'<img loading="lazy" width="{width}" src="{escape(named(name, width, dark=dark))}" '
            f'alt="{escape(name)}, {width} pixels wide, {"dark" if dark else "light"}">'
            for width, dark in LOOKS
        )
        + "</div></section>"
        for name in names
    )
    (folder / "pictures.html").write_text(_PAGE.format(sections=sections), "utf-8")
    return len(names) * len(LOOKS)


async def for_docs(folder: Path) -> int:
    """The pictures of the documentation, from a preview."""
    async with browser() as page:
        for name in IN_DOCS:
            await take(page, (folder / f"{name}.html").read_text("utf-8"), DOCS, name, 45)
    return len(IN_DOCS) * len(LOOKS)


def main() -> None:
    folder = Path(sys.argv[-1])
    taken = asyncio.run(for_docs(folder) if "--docs" in sys.argv else every(folder))
    print(f"{taken} pictures" + ("" if "--docs" in sys.argv else f"; open {folder / 'pictures.html'}"))


if __name__ == "__main__":
    main()
