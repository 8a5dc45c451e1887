"""What does every message look like, in every language?

Writes each as a mail reader gets it, with one page to walk through them: what `relay preview` does.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from relay.mail.compose import Composer
from relay.mail.samples import DATE_MS, samples

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Every e-mail</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.6 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ border-bottom: 1px solid #8884; padding: .4rem .6rem; text-align: left; vertical-align: top }}
</style>
</head>
<body>
<h1>Every e-mail, in every language</h1>
<table>
<thead><tr><th>Message</th><th>Language</th><th>Subject</th><th>As</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def write_preview(directory: Path, composer: Composer) -> list[Path]:
    """Writes `<locale>/<message>.html`, `.txt` and `.eml` and `index.html`; returns what was written."""
    written: list[Path] = []
    rows: list[str] = []
    for locale in composer.locales:
        folder = directory / locale
        folder.mkdir(parents=True, exist_ok=True)
        for sample in samples():
            message = composer.compose(
                body=sample.body,
                recipient=sample.recipient,
                delivery_id=f"preview-{locale}-{sample.name}",
                event_id="preview",
                transfer_key="preview",
                date_ms=DATE_MS,
                acceptance_url=sample.url,
                locale=locale,
            )
            links = []
            for suffix, data in (
                ("html", message.html.encode()),
                ("txt", message.text.encode()),
                ("eml", message.raw),
            ):
                path = folder / f"{sample.name}.{suffix}"
                path.write_bytes(data)
                written.append(path)
                links.append(f'<a href="{locale}/{path.name}">{suffix}</a>')
            rows.append(
                f'<tr><td>{escape(sample.name)}</td><td>{locale}</td><td lang="{locale}">'
                f"{escape(message.subject)}</td><td>{' '.join(links)}</td></tr>"
            )
    index = directory / "index.html"
    index.write_text(_PAGE.format(rows="\n".join(rows)), "utf-8")
    return [*written, index]
