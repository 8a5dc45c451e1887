"""How is one log line of many processes shown to a person?

`HH:MM:SS web     event.accepted  evt-1 transfer.created transfer=…`: when, who, what, then its fields.
What is no JSON object is shown as it came. Nothing in a line can steer the terminal. What is written for a log
that is kept elsewhere is not shown.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

_HIDDEN: Final = frozenset({"event", "level", "timestamp", "logger", "exception", "settled"})
_BARE: Final = ("event_id", "type", "channel", "outcome", "status", "url", "detail")
"""Fields that need no name, in this order; the others follow, the long ids last."""

_LAST: Final = ("transfer", "delivery")

_FOR_KEEPING: Final = frozenset({"activity.chained"})
"""Says nothing to who reads along; whoever keeps the log has it as evidence (docs/security.md)."""

_COLOUR_OF: Final = {
    "web": "36",
    "worker": "35",
    "mailbox": "34",
    "partner": "32",
    "demo": "33",
    "data": "34",
}
_COLOUR_OF_LEVEL: Final = {"warning": "33", "error": "31", "critical": "31"}


def shown(source: str, line: str, now: datetime, *, colour: bool) -> str:
    """The line for a terminal; more than one when it carries a stack trace, none ("") when nobody needs to see it."""
    fields = _fields(line)
    if fields is None:
        return _head(source, now, colour) + _plain(line)
    event = str(fields.get("event", ""))
    if event in _FOR_KEEPING:
        return ""
    words = [str(fields[name]) for name in _BARE if fields.get(name)]
    words += [
        f"{name}={_value(value)}"
        for name, value in sorted(fields.items(), key=lambda field: field[0] in _LAST)
        if name not in _HIDDEN and name not in _BARE and value is not None and value != ""
    ]
    level_colour = _COLOUR_OF_LEVEL.get(str(fields.get("level")))
    text = _head(source, now, colour) + _coloured(f"{_plain(event):<18}", level_colour or "1", colour)
    text += " " + _plain(" ".join(words))
    for more in str(fields.get("exception", "")).splitlines():
        text += "\n    " + _plain(more)
    return text.rstrip()


def _head(source: str, now: datetime, colour: bool) -> str:
    clock = _coloured(f"{now:%H:%M:%S}", "2", colour)
    return f"{clock} {_coloured(f'{source:<7}', _COLOUR_OF.get(source, '0'), colour)} "


def _fields(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "·" for letter in text)


def _coloured(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
