"""A composer over the real templates, and what a reader sees of a message."""

from __future__ import annotations

import dataclasses
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson

from relay.mail.catalogue import load_languages
from relay.mail.compose import Composed, Composer
from relay.mail.samples import CHOOSE_AT, DATE_MS, Sample, samples
from relay.mail.settings import PlainMailSettings

TEMPLATES = Path(__file__).parents[2] / "templates"
SAMPLES = {sample.name: sample for sample in samples()}
LOCALES = tuple(load_languages(TEMPLATES / "email"))
EVERY = [(name, locale) for name in SAMPLES for locale in LOCALES]


@cache
def composer() -> Composer:
    return Composer(PlainMailSettings(from_address="transfers@relay.example"), TEMPLATES)


def compose(sample: Sample, locale: str, **changes: Any) -> Composed:
    """A message; of a sample as it is, always the same one."""
    if not changes and SAMPLES.get(sample.name) is sample:
        return _as_it_is(sample.name, locale)
    return _composed(sample, locale, changes)


@cache
def _as_it_is(name: str, locale: str) -> Composed:
    return _composed(SAMPLES[name], locale, {})


def _composed(sample: Sample, locale: str, changes: dict[str, Any]) -> Composed:
    given: dict[str, Any] = {
        "body": sample.body,
        "recipient": sample.recipient,
        "delivery_id": "dlv_01jd8m2k",
        "event_id": "evt-2f6c3",
        "transfer_key": "43fb1d3a",
        "date_ms": DATE_MS,
        "acceptance_url": sample.url,
        "locale": locale,
        "preferences_url": CHOOSE_AT,
    }
    return composer().compose(**(given | changes))


class _Visible(HTMLParser):
    """The text of a page that a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("style", "title"):
            self._unseen += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "title"):
            self._unseen -= 1

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.words.append(data)


def seen(html: str) -> _Visible:
    page = _Visible()
    page.feed(html)
    return page


def squeezed(text: str) -> str:
    """Without any white space: lines break differently in the two parts."""
    return re.sub(r"\s+", "", text)


def both(message: Composed) -> tuple[str, str]:
    return squeezed(message.text), squeezed("".join(seen(message.html).words))


def parsed(message: Composed) -> EmailMessage:
    mail = message_from_bytes(message.raw, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def changed(name: str, **changes: Any) -> Sample:
    """The sample with other values in its transfer; None removes one."""
    sample = SAMPLES[name]
    view = orjson.loads(sample.body)
    view["data"]["transfer"] = {
        key: value for key, value in (view["data"]["transfer"] | changes).items() if value is not None
    }
    return dataclasses.replace(sample, body=orjson.dumps(view))
