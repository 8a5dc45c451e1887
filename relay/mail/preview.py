"""What does every message look like, in every language?

Writes each as a mail reader gets it, light and dark, as text and as it is sent, with one page to look through them:
what `relay preview` does.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from relay.mail.compose import Composed, Composer
from relay.mail.samples import CHOOSE_AT, DATE_MS, Sample, samples

_SCHEME = "(prefers-color-scheme: dark)"


def seen_as(html: str, *, dark: bool) -> str:
    """The page of a message as a reader in dark or in light mode sees it, whatever the browser's own mode."""
    return html.replace(_SCHEME, "all" if dark else "not all")


def write_preview(directory: Path, composer: Composer, templates_dir: Path) -> list[Path]:
    """Writes every message and `index.html`; returns what was written.

    `<locale>/<message>` has `.html`, `.light.html` and `.dark.html`, `.txt`, `.eml` and, for a browser, `.eml.txt`.
    """
    written: list[Path] = []
    rows = []
    for locale in composer.locales:
        folder = directory / locale
        folder.mkdir(parents=True, exist_ok=True)
        for sample in samples():
            message = _composed(composer, sample, locale)
            rows.append({"locale": locale, "name": sample.name, "subject": message.subject})
            for suffix, data in _files(message).items():
                path = folder / f"{sample.name}.{suffix}"
                path.write_bytes(data)
                written.append(path)
    loader = FileSystemLoader(templates_dir / "email" / "_preview")
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    index = directory / "index.html"
    index.write_text(pages.get_template("index.html").render(locales=composer.locales, rows=rows), "utf-8")
    return [*written, index]


def _composed(composer: Composer, sample: Sample, locale: str) -> Composed:
    return composer.compose(
        body=sample.body,
        recipient=sample.recipient,
        delivery_id=f"preview-{locale}-{sample.name}",
        event_id="preview",
        transfer_key="preview",
        date_ms=DATE_MS,
        acceptance_url=sample.url,
        locale=locale,
        preferences_url=CHOOSE_AT,
    )


def _files(message: Composed) -> dict[str, bytes]:
    return {
        "html": message.html.encode(),
        "light.html": seen_as(message.html, dark=False).encode(),
        "dark.html": seen_as(message.html, dark=True).encode(),
        "txt": b"\xef\xbb\xbf" + message.text.encode(),  # a browser shows a file without a type as UTF-8
        "eml": message.raw,
        "eml.txt": message.raw,
    }
