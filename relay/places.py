"""What does the URL of a database say?

One server by its URL, a group that Sentinels watch over, or a cluster:

    redis://user:password@host:6379/0                          rediss:// over TLS, unix:///path
    redis+sentinel://user:password@h1:26379,h2,h3/mymaster/0   rediss+sentinel:// over TLS
    redis+cluster://user:password@h1:6379,h2,h3                rediss+cluster:// over TLS

`user:password` is that of the database; one for the Sentinels is given as `?sentinel_username=…&
sentinel_password=…`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_GROUP = re.compile(
    r"rediss?\+sentinel://(?:(?P<login>[^@/?#\s]*)@)?(?P<hosts>[^@/?#\s]+)/(?P<service>[^@/?#\s]+)"
    r"(?:/(?P<database>[0-9]{0,3}))?(?:\?(?P<options>[^#\s]*))?"
)
_CLUSTER = re.compile(r"rediss?\+cluster://(?:(?P<login>[^@/?#\s]*)@)?(?P<hosts>[^@/?#\s]+)/?")
_SENTINEL_PORT, _PORT = 26379, 6379
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s@:/?#\[\],]+)(?::([0-9]{1,5}))?")
_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})
_MOST_PORT = 65_535


class BadAddress(ValueError):
    """The URL of a group or cluster is not one; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Login:
    """What to show a server, percent-encoded as in the URL; None where it asks for nothing."""

    username: str | None
    password: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """A primary with replicas: the (host, port)s of its Sentinels, the name they know it by, and how to
    speak to the server they name."""

    sentinels: tuple[tuple[str, int], ...]
    of_sentinels: Login
    service: str
    login: Login
    tls: bool
    database: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """The (host, port)s of some nodes, which know the others, and how to speak to all of them."""

    nodes: tuple[tuple[str, int], ...]
    login: Login
    tls: bool


def shown(url: str) -> str:
    """The URL without what is secret in it, for a person to recognise: no login, no options. Where it cannot be told
    what of it is secret, only what kind of URL it is."""
    scheme, _, rest = url.partition("://")
    place, _, more = rest.partition("?")
    host = re.sub(r"^[^/]*@", "", place)
    return f"{scheme}://…" if "@" in host + more else f"{scheme}://{host}"


def parse_group(url: str) -> Group | None:
    """The group of a `redis+sentinel://` URL; None for a URL of one server. BadAddress says what is wrong,
    without repeating the URL, which may have a password in it."""
    found = _GROUP.fullmatch(url)
    if found is None:
        if url.startswith(("redis+sentinel:", "rediss+sentinel:")):
            raise BadAddress("name the group after the hosts: redis+sentinel://h1:26379,h2,h3/mymaster/0")
        return None
    options = dict(pair.partition("=")[::2] for pair in (found["options"] or "").split("&") if pair)
    if options.keys() - _OPTIONS:
        raise BadAddress(f"the URL of a group takes only {', '.join(sorted(_OPTIONS))} after its ?")
    return Group(
        sentinels=tuple(_host(place, _SENTINEL_PORT) for place in found["hosts"].split(",")),
        of_sentinels=Login(options.get("sentinel_username"), options.get("sentinel_password")),
        service=found["service"],
        login=_login(found["login"]),
        tls=url.startswith("rediss"),
        database=int(found["database"] or "0"),
    )


def parse_cluster(url: str) -> Cluster | None:
    """The cluster of a `redis+cluster://` URL; None for another one. BadAddress says what is wrong."""
    found = _CLUSTER.fullmatch(url)
    if found is None:
        if url.startswith(("redis+cluster:", "rediss+cluster:")):
            raise BadAddress("give some nodes of the cluster: redis+cluster://h1:6379,h2,h3; it has no database number")
        return None
    nodes = tuple(_host(place, _PORT) for place in found["hosts"].split(","))
    return Cluster(nodes, _login(found["login"]), tls=url.startswith("rediss"))


def _login(text: str | None) -> Login:
    username, _, password = (text or "").partition(":")
    return Login(username or None, password or None)


def _host(text: str, port: int) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None or int(found[2] or 1) > _MOST_PORT:
        raise BadAddress("give the servers as host:port, with commas between them")
    return found[1].strip("[]"), int(found[2] or port)
