"""How does one language say a state, a date, a product?

`words.toml` has the single words and the shapes of dates, which the catalogues say in their languages; the
names of days and months and how numbers are parted come from the CLDR.
Here too is what any text from outside must pass before it is shown: no control or direction marks, no
line breaks, no more than fits.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.numbers import get_group_symbol

from relay.errors import ConfigError
from relay.mail.catalogue import SOURCE, Language, load_languages
from relay.times import in_zone

_CONTROLS = "\x00-\x1f\x7f-\x9f"
_TURNING = "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_UNSEEN = re.compile(f"[{_CONTROLS}{_TURNING}]+")
NAME_LENGTH = 120
ERROR_LENGTH = 240


def clean(text: object, limit: int = NAME_LENGTH) -> str:
    """`text` from outside on one line of at most `limit` characters, without marks that hide or turn text."""
    line = " ".join(_UNSEEN.sub(" ", str(text)).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip("\u200d\ufe0f ") + "…"


@dataclass(frozen=True)
class Words:
    """One language. `english` is `words.toml`, `zone` the time zone that its readers are shown."""

    language: Language
    english: dict[str, dict[str, str | list[str]]]
    zone: ZoneInfo

    @cached_property
    def table(self) -> dict[str, dict[str, str | tuple[str, ...]]]:
        """`words.toml` in this language."""
        return self.language.table(self.english)

    @property
    def locale(self) -> str:
        """Its tag (BCP 47), such as `zh-Hans`."""
        return self.language.locale

    def in_zone(self, timezone: str) -> Words:
        """The same with times in this zone (IANA), where there is one."""
        zone = _zone_named(timezone)
        return self if zone is None else replace(self, zone=zone)

    @property
    def form(self) -> Callable[[int], int]:
        """Which form of a plural goes with a count."""
        return self.language.form

    def one(self, section: str, word: str) -> str:
        """A word of a section; where there is none, the word itself: an open set passes through."""
        found = self.table[section].get(word)
        return found if isinstance(found, str) else clean(word)

    def state(self, kind: str, status: str) -> str:
        """The state of a transfer in its reader's words."""
        own = self.table["state_sim"].get(status) if kind == "sim" else None
        return own if isinstance(own, str) else self.one("state", status)

    def label(self, name: str) -> str:
        """A label; KeyError for one that there is not."""
        return str(self.table["label"][name])

    def say(self, shape: str, **values: object) -> str:
        """A shape with its places filled."""
        return str(self.table["shape"][shape]).format(**values)

    def counted(self, shape: str, count: int) -> str:
        """A shape that has a plural, with its `count`."""
        forms = self.table["shape"][shape]
        return forms[self.form(count) if len(forms) > 1 else 0].format(count=self.number(count))

    def moment(self, moment: datetime) -> str:
        """A moment as the reader writes it, with its zone."""
        local = in_zone(moment, self.zone)
        return self.say(
            "moment", hour=local.hour, minute=local.minute, zone=self._zone(local), **_day(self, local)
        )

    def _zone(self, local: datetime) -> str:
        """The zone's short name where only one zone is called so; else the offset."""
        name = local.tzname() or ""
        if name in _CLEAR:
            return self.one("zone", name) if name in self.table["zone"] else name
        minutes = round((local.utcoffset() or timedelta()).total_seconds() / 60)
        hours, rest = divmod(abs(minutes), 60)
        return f"UTC{'-' if minutes < 0 else '+'}{hours}{f':{rest:02}' if rest else ''}"

    def day(self, day: date) -> str:
        """A calendar day as the reader writes it."""
        return self.say("date", **_day(self, day))

    def number(self, value: int) -> str:
        """A whole number with its thousands parted."""
        return f"{value:,}".replace(",", _thousands(self.locale))

    def listed(self, words: list[str]) -> str:
        """Several words as one phrase."""
        return str(self.table["shape"]["comma"]).join(words)


_CLEAR = frozenset({"UTC", "GMT", "JST", "KST", "CET", "CEST", "EET", "EEST", "WET", "WEST"})


def _day(words: Words, day: date) -> dict[str, object]:
    cldr = words.language.cldr
    return {
        "year": day.year,
        "month": cldr.months["format"]["wide"][day.month],
        "mon": day.month,
        "day": day.day,
        "weekday": cldr.days["format"]["wide"][day.weekday()],
        "wd": cldr.days["format"]["abbreviated"][day.weekday()],
    }


@cache
def _thousands(locale: str) -> str:
    return get_group_symbol(locale.replace("-", "_"))


def load_words(folder: Path, timezone: str, timezones: Mapping[str, str], default: str = SOURCE) -> dict[str, Words]:
    """Every language in `folder`, by its locale; ConfigError for a time zone that does not exist, and for a language
    that there is not.

    `timezones` has the languages whose readers are shown a zone of their own; the others see `timezone`.
    """
    english = tomllib.loads((folder / "words.toml").read_text("utf-8"))
    wrong = [f"mail.timezone: there is no time zone {timezone!r}"] if _zone_named(timezone) is None else []
    languages = load_languages(folder)
    spoken = {locale.lower() for locale in languages}
    there_are = f"there are {', '.join(sorted(languages))}"
    if spoken.isdisjoint(_tags(default)):
        wrong.append(f"mail.default_locale: there are no mails in {default!r}; {there_are}")
    for locale, name in timezones.items():
        if locale not in languages:
            wrong.append(f"mail.timezones.{locale}: there are no mails in this language; {there_are}")
        elif _zone_named(name) is None:
            wrong.append(f"mail.timezones.{locale}: there is no time zone {name!r}")
    found = {}
    for locale, language in languages.items():
        zone = _zone_named(timezones.get(locale, timezone))
        if zone is not None:
            found[locale] = Words(language, english, zone)
    if wrong:
        raise ConfigError(wrong)
    return found


def _zone_named(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def choose(wanted: str, known: Mapping[str, Words], default: str) -> Words:
    """The language for a reader who wants `wanted`: `ja-JP`, then `ja`, then `default`, then English.

    Chinese is written in two scripts: `zh`, `zh-CN` and `zh-SG` are `zh-Hans`, and what says otherwise is not.
    """
    tags = {tag.lower(): tag for tag in known}
    for tag in (*_tags(wanted), *_tags(default)):
        if tag in tags:
            return known[tags[tag]]
    return known[SOURCE]


def _tags(wanted: str) -> tuple[str, ...]:
    tag = wanted.replace("_", "-").lower()
    language, _, rest = tag.partition("-")
    if language == "zh":
        return ("zh-hans",) if rest.split("-")[0] in ("", "hans", "cn", "sg", "my") else ()
    return (tag, language)
