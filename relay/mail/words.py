"""How does one language say a state, a date, a product?

Each folder beside `_skin` is a language; its `_words.toml` has the single words and the shapes of dates.
Here too is what any text from outside must pass before it is shown: no control or direction marks, no
line breaks, no more than fits.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from relay.errors import ConfigError

_CONTROLS = "\x00-\x1f\x7f-\x9f"
_TURNING = "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_UNSEEN = re.compile(f"[{_CONTROLS}{_TURNING}]+")
NAME_LENGTH = 120
ERROR_LENGTH = 240


def clean(text: object, limit: int = NAME_LENGTH) -> str:
    """`text` from outside on one line of at most `limit` characters, without marks that hide or turn text."""
    line = " ".join(_UNSEEN.sub(" ", str(text)).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip("\u200d\ufe0f ") + "…"


@dataclass(frozen=True, slots=True)
class Words:
    """One language. `table` is its `_words.toml`, `zone` the time zone that its readers are shown."""

    locale: str
    table: dict[str, Any]
    zone: ZoneInfo

    def one(self, *path: str) -> str:
        """The word at `path`; where there is none, the last step itself: an open set passes through."""
        found: Any = self.table
        for step in path:
            found = found.get(step) if isinstance(found, dict) else None
        return found if isinstance(found, str) else clean(path[-1])

    def label(self, name: str) -> str:
        """A label; KeyError for one that this language lacks."""
        return str(self.table["label"][name])

    def say(self, shape: str, **values: object) -> str:
        """A phrase of `_words.toml` with its places filled."""
        return str(self.table[shape]).format(**values)

    def moment(self, moment: datetime) -> str:
        """A moment as the reader writes it, with its zone."""
        local = moment.astimezone(self.zone)
        zone = local.tzname() or "UTC"
        if zone[:1] in "+-":
            zone = f"UTC{zone}"
        return str(self.table["moment"]).format(
            hour=local.hour, minute=local.minute, zone=zone, **self._day(local.date())
        )

    def day(self, day: date) -> str:
        """A calendar day as the reader writes it."""
        return str(self.table["date"]).format(**self._day(day))

    def _day(self, day: date) -> dict[str, object]:
        return {
            "year": day.year,
            "month": self.table["months"][day.month - 1],
            "day": day.day,
            "weekday": self.table["weekdays"][day.weekday()],
        }

    def number(self, value: int) -> str:
        """A whole number with its thousands parted."""
        return f"{value:,}".replace(",", str(self.table["thousands"]))

    def listed(self, words: list[str]) -> str:
        """Several words as one phrase."""
        return str(self.table["comma"]).join(words)


def load_words(folder: Path, timezone: str) -> dict[str, Words]:
    """Every language in `folder`, by its locale; ConfigError for a time zone that does not exist.

    A language whose `_words.toml` names a time zone is shown that one; the others `timezone`.
    """
    found = {}
    for path in sorted(folder.glob("[!_]*/_words.toml")):
        table = tomllib.loads(path.read_text("utf-8"))
        zone = str(table.get("timezone", timezone))
        try:
            found[path.parent.name] = Words(path.parent.name, table, ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigError([f"mail.timezone: there is no time zone {zone!r}"]) from None
    if not found:
        raise ConfigError(["the e-mail templates are missing: no language was found"])
    return found


def choose(wanted: str, known: dict[str, Words], default: str) -> Words:
    """The language for a reader who wants `wanted`: `ja-JP`, then `ja`, then `default`, then English."""
    for tag in (wanted, wanted.replace("_", "-").split("-", 1)[0], default, default.split("-", 1)[0], "en"):
        if tag.lower() in known:
            return known[tag.lower()]
    return next(iter(known.values()))
