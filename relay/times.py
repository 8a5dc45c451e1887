"""What moment does a text name, and how is a moment written?

On the wire times are RFC 3339 text; inside they are aware UTC datetimes for people and integers for
machines: nanoseconds where events are ordered (producers send up to nine fractional digits), Unix
milliseconds where work is scheduled. Nothing here reads a clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_LAST_S = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


@lru_cache(maxsize=8192)
def to_ns(text: str) -> int:
    """Nanoseconds since the Unix epoch of an RFC 3339 `text`; ValueError says what is wrong with it."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("give an RFC 3339 time with a zone, such as 2026-11-21T01:02:03Z")
    year, month, day, hour, minute, second, fraction, zulu, sign, off_h, off_m = match.groups()
    moment = datetime(
        int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC
    )
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if not zulu:
        offset = int(off_h) * 3600 + int(off_m) * 60
        seconds += -offset if sign == "+" else offset
        if not _FIRST_S <= seconds <= _LAST_S:
            raise ValueError("give a time between the years 1 and 9999 of UTC")
    return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def to_datetime(text: str) -> datetime:
    """The same moment as an aware UTC datetime, to the microsecond."""
    return from_ns(to_ns(text))


def from_ns(ns: int) -> datetime:
    """An aware UTC datetime from nanoseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def from_ms(ms: int) -> datetime:
    """An aware UTC datetime from Unix milliseconds."""
    return _EPOCH + timedelta(milliseconds=ms)


def to_ms(moment: datetime) -> int:
    """Unix milliseconds of an aware datetime."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def format_ms(ms: int) -> str:
    """RFC 3339 UTC text with milliseconds, as the API writes the relay's own times."""
    return from_ms(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def in_zone(moment: datetime, zone: tzinfo) -> datetime:
    """The same moment by a zone's clock; by its own where that clock would be in a year before 1 or after 9999."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment
