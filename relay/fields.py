"""May a setting have this value?

The text forms that settings share; each returns what it was given, or says what to write instead.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationInfo
from pydantic_core import PydanticCustomError

from relay.places import BadAddress, parse_cluster, parse_group

_PORT = r"(:(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
_REDIS_URL = re.compile(
    r"rediss?://([^@/?#\s]*@)?(\[[0-9A-Fa-f:.]+\]|[^\s@:/?#\[\]]*)" + _PORT + r"(/[0-9]*)?(\?\S*)?|unix://\S+"
)
_UNIT_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
_SPAN = re.compile(r"[0-9]{1,6}[dhms]", re.ASCII)
_PROXY_URL = re.compile(r"https?://([^@/?#\s]*@)?(\[[0-9A-Fa-f:.]+\]|[^\s@:/?#\[\]]+)" + _PORT + r"/?")
_WEB_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


def network(text: str) -> str:
    """A network in CIDR form."""
    try:
        ip_network(text)
    except ValueError as problem:
        raise PydanticCustomError("network", str(problem)) from None
    return text


def database_url(text: str) -> str:
    """Where a Redis or Valkey is, the Sentinels that know, or a cluster."""
    try:
        if parse_cluster(text) is not None:
            return text
    except BadAddress as problem:
        raise PydanticCustomError("url", str(problem)) from None
    return server_url(text)


def server_url(text: str) -> str:
    """Where one Redis or Valkey is, or the Sentinels that know."""
    # What is wrong with it is not shown: there may be a password in it.
    try:
        if parse_group(text) is not None:
            return text
    except BadAddress as problem:
        raise PydanticCustomError("url", str(problem)) from None
    if not _REDIS_URL.fullmatch(text):
        raise PydanticCustomError("url", "give redis://user:password@host:port/0, rediss://…, unix://… or redis+sentinel://h1,h2,h3/name/0")
    return text


def wakes_url(text: str, info: ValidationInfo) -> str:
    """Where arq keeps its wake-ups: one server, or nothing for where the data is, unless that is a cluster."""
    if text:
        return server_url(text)
    if "+cluster:" in info.data.get("url", ""):
        raise PydanticCustomError("url", "name one small server for arq's wake-ups: it cannot use a cluster")
    return text


def web_url_or_none(text: str) -> str:
    """Where people reach a server, or nothing."""
    if text and not _WEB_URL.fullmatch(text):
        raise PydanticCustomError("url", "give http://host or https://host, with a port or a path if need be")
    return text


def time_zone(text: str) -> str:
    """An IANA time zone."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PydanticCustomError("zone", "give an IANA time zone, such as Asia/Tokyo") from None
    return text


def span(text: str) -> str:
    """A span of time, as it is written."""
    if not _SPAN.fullmatch(text) or span_ms(text) == 0:
        raise PydanticCustomError("span", "give a span of time, such as 7d, 36h or 90m")
    return text


def span_or_none(text: str) -> str:
    """A span of time, or nothing."""
    return span(text) if text else text


def span_ms(text: str) -> int:
    """A span such as `7d`, `36h`, `90m` or `30s`, in milliseconds."""
    return int(text[:-1]) * _UNIT_MS[text[-1]]


def proxy_or_none(text: str) -> str:
    """A forward proxy, or nothing."""
    # What is wrong with it is not shown: there may be a password in it.
    if text and not _PROXY_URL.fullmatch(text):
        raise PydanticCustomError("url", "give http://user:password@host:port, or https://…")
    return text
