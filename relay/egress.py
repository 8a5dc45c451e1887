"""May this URL be registered, and may this address be dialled?

Pure. `check_url` is asked when an endpoint is registered and again before each sending; `classify` is asked
of every address at the moment of connecting (`relay.dialer`), because a name may answer differently by then.
The tables are the relay's own: `ipaddress.is_global` calls multicast, NAT64 and others global, and changes
between Python patch releases. The authority is IANA's IPv4 and IPv6 special-purpose address registries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from yarl import URL

Network = IPv4Network | IPv6Network


class Verdict(StrEnum):
    """What an address is, as far as dialling it goes."""

    PUBLIC = "public"
    ALLOWED = "allowed"  # by the operator's allow_networks
    LOOPBACK = "loopback"
    PRIVATE = "private"
    LINK_LOCAL = "link_local"  # the metadata services of most clouds among them
    SHARED = "shared"  # carrier-grade NAT
    METADATA = "metadata"  # a cloud's own services outside the link-local range
    MULTICAST = "multicast"
    DOCUMENTATION = "documentation"
    RESERVED = "reserved"  # special purpose, or not allocated for public use
    EMBEDS_IPV4 = "embeds_ipv4"  # an IPv6 address that leads to an IPv4 one
    SCOPED = "scoped"  # carries a zone: never a public address
    DENIED = "denied"  # by the operator's deny_networks
    OWN = "own"  # an address of the relay's own machine
    NOT_AN_ADDRESS = "not_an_address"

    @property
    def is_allowed(self) -> bool:
        """Whether the relay may open a connection to it."""
        return self is Verdict.PUBLIC or self is Verdict.ALLOWED


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator lets the relay reach.

    `allow_networks` are dialled although the tables refuse them; a URL with such an address may use any
    port. `allow_http` permits plain http. `allowed_ports` are permitted besides the built-in rule.
    `deny_networks` are refused whatever else is said; `own`, this machine's addresses, unless allowed.
    """

    allow_networks: tuple[Network, ...] = ()
    allow_http: bool = False
    allowed_ports: tuple[int, ...] = ()
    deny_networks: tuple[Network, ...] = ()
    own: frozenset[IPv4Address | IPv6Address] = frozenset()

    @classmethod
    def of(
        cls,
        allow_networks: Iterable[str] = (),
        *,
        allow_http: bool = False,
        allowed_ports: Iterable[int] = (),
        deny_networks: Iterable[str] = (),
        own: Iterable[str] = (),
    ) -> Policy:
        """From text such as `10.0.0.0/8`; ValueError names the one that is not a network."""
        return cls(
            tuple(ip_network(text) for text in allow_networks),
            allow_http,
            tuple(allowed_ports),
            tuple(ip_network(text) for text in deny_networks),
            frozenset(ip_address(text) for text in own),
        )

    def allows(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether the operator named a network that has this address."""
        return any(address in network for network in self.allow_networks)

    def denies(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether the operator refuses a network that has this address."""
        return any(address in network for network in self.deny_networks)

    @property
    def allows_loopback(self) -> bool:
        """Whether `localhost` may be a host."""
        return self.allows(_LOOPBACK_V4) or self.allows(_LOOPBACK_V6)

    @property
    def allows_private_names(self) -> bool:
        """Whether names of a private network (`.internal`, …) may be hosts: some network of it is allowed."""
        return any(not network.is_loopback for network in self.allow_networks)


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a URL is refused: a sentence for a person, with what to do about it."""

    detail: str


# --- addresses --------------------------------------------------------------------------------------

_LOOPBACK_V4, _LOOPBACK_V6 = IPv4Address("127.0.0.1"), IPv6Address("::1")

# First match decides, so the narrow rows stand before the wide ones.
_DENY_V4: tuple[tuple[IPv4Network, Verdict], ...] = tuple(
    (IPv4Network(text), verdict)
    for text, verdict in (
        ("168.63.129.16/32", Verdict.METADATA),  # Azure's wire server
        ("100.100.100.200/32", Verdict.METADATA),  # Alibaba
        ("192.0.0.192/32", Verdict.METADATA),  # Oracle
        ("0.0.0.0/8", Verdict.RESERVED),  # "this host": Linux dials itself
        ("10.0.0.0/8", Verdict.PRIVATE),
        ("100.64.0.0/10", Verdict.SHARED),
        ("127.0.0.0/8", Verdict.LOOPBACK),
        ("169.254.0.0/16", Verdict.LINK_LOCAL),
        ("172.16.0.0/12", Verdict.PRIVATE),
        ("192.0.0.0/24", Verdict.RESERVED),  # IETF protocol assignments
        ("192.0.2.0/24", Verdict.DOCUMENTATION),
        ("192.31.196.0/24", Verdict.RESERVED),  # AS112-v4
        ("192.52.193.0/24", Verdict.RESERVED),  # AMT
        ("192.88.99.0/24", Verdict.RESERVED),  # 6to4 relay anycast
        ("192.168.0.0/16", Verdict.PRIVATE),
        ("192.175.48.0/24", Verdict.RESERVED),  # direct delegation AS112
        ("198.18.0.0/15", Verdict.RESERVED),  # benchmarking
        ("198.51.100.0/24", Verdict.DOCUMENTATION),
        ("203.0.113.0/24", Verdict.DOCUMENTATION),
        ("224.0.0.0/4", Verdict.MULTICAST),
        ("240.0.0.0/4", Verdict.RESERVED),  # and limited broadcast
    )
)
_DENY_V6: tuple[tuple[IPv6Network, Verdict], ...] = tuple(
    (IPv6Network(text), verdict)
    for text, verdict in (
        ("::1/128", Verdict.LOOPBACK),
        ("::/128", Verdict.RESERVED),
        ("::ffff:0:0/96", Verdict.EMBEDS_IPV4),  # IPv4-mapped
        ("::ffff:0:0:0/96", Verdict.EMBEDS_IPV4),  # IPv4-translated
        ("::/96", Verdict.EMBEDS_IPV4),  # IPv4-compatible
        ("64:ff9b::/96", Verdict.EMBEDS_IPV4),  # NAT64
        ("64:ff9b:1::/48", Verdict.EMBEDS_IPV4),  # local-use NAT64
        ("2001::/32", Verdict.EMBEDS_IPV4),  # Teredo
        ("2002::/16", Verdict.EMBEDS_IPV4),  # 6to4
        ("2001::/23", Verdict.RESERVED),  # IETF assignments: benchmarking, ORCHID, …
        ("2001:db8::/32", Verdict.DOCUMENTATION),
        ("3fff::/20", Verdict.DOCUMENTATION),
        ("2620:4f:8000::/48", Verdict.RESERVED),  # direct delegation AS112
        ("3ffe::/16", Verdict.RESERVED),  # the returned 6bone
        ("fd00:ec2::254/128", Verdict.METADATA),  # AWS
        ("fd20:ce::254/128", Verdict.METADATA),  # Google
        ("fc00::/7", Verdict.PRIVATE),
        ("fe80::/10", Verdict.LINK_LOCAL),
        ("fec0::/10", Verdict.PRIVATE),  # site-local, deprecated but routed by some
        ("ff00::/8", Verdict.MULTICAST),
    )
)
_NAT64, _MAPPED = IPv6Network("64:ff9b::/96"), IPv6Network("::ffff:0:0/96")
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


def classify(address: str, policy: Policy) -> Verdict:
    """What the textual IP `address` is, and so whether it may be dialled. Never raises.

    An address with a zone (`fe80::1%eth0`) is refused whatever the policy says. IPv6 is public only inside
    2000::/3: what IANA has not given out is not dialled.
    """
    if "%" in address:
        return Verdict.SCOPED
    try:
        ip = ip_address(address)
    except ValueError:
        return Verdict.NOT_AN_ADDRESS
    if policy.denies(ip):
        return Verdict.DENIED
    if policy.allows(ip):
        inner = _embedded(ip)
        return Verdict.ALLOWED if inner is None or classify(inner, policy).is_allowed else Verdict.EMBEDS_IPV4
    if ip in policy.own:
        return Verdict.OWN
    if isinstance(ip, IPv4Address):
        return next((verdict for network, verdict in _DENY_V4 if ip in network), Verdict.PUBLIC)
    return _classify_v6(ip)


def _embedded(ip: IPv4Address | IPv6Address) -> str | None:
    """The IPv4 address that an IPv6 one leads to. A machine that reaches IPv4 by NAT64 alone must allow its
    prefix, which then opens what is public behind it and not 127.0.0.1."""
    if isinstance(ip, IPv4Address):
        return None
    if ip in _NAT64 or ip in _MAPPED:
        return str(IPv4Address(int(ip) & 0xFFFFFFFF))
    return str(ip.sixtofour) if ip.sixtofour is not None else None


def _classify_v6(ip: IPv6Address) -> Verdict:
    denied = next((verdict for network, verdict in _DENY_V6 if ip in network), None)
    if denied is not None:
        return denied
    if (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP:
        return Verdict.EMBEDS_IPV4
    return Verdict.PUBLIC if ip in _GLOBAL_UNICAST_V6 else Verdict.RESERVED


# --- URLs -------------------------------------------------------------------------------------------

MAX_URL_CHARS = 2048
_WEB_PORTS = frozenset({443, 8443, 8080})
# Services that do harm when they read a POST as commands, or that nobody means to expose.
_KNOWN_SERVICES = frozenset(
    {1080, 1433, 1521, 1723, 2049, 2181, 2375, 2376, 2379, 2380, 3128, 3260, 3306, 3389, 4369, 5038,
     5060, 5061,
     5432, 5433, 5672, 5900, 5901, 5984, 5985, 5986, 6000, 6379, 6380, 6443, 6667, 7000, 7001, 8086,
     8125, 8500,
     9000, 9042, 9092, 9200, 9300, 10250, 10255, 11211, 15672, 16379, 26379, 27017, 27018, 50070}
)  # fmt: skip
_PRIVATE_SUFFIXES = (".local", ".internal", ".localdomain", ".home.arpa", ".test")
_NEVER_SUFFIXES = (".onion", ".example", ".invalid")
_METADATA_NAMES = frozenset(
    {"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"}
)

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\\]")
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_NUMERIC_LABEL = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII)


def check_url(url: str, policy: Policy) -> list[Problem]:
    """Everything that speaks against sending to `url`; empty when nothing does. Looks nothing up."""
    return _examine(url, policy)[1]


def normalise(url: str, policy: Policy) -> URL:
    """The URL as it is dialled: host in lower-case ASCII, one trailing dot and the default port dropped.

    Send it as it is (`encoded=True` when read back from its text). ValueError has every problem's sentence.
    """
    parsed, problems = _examine(url, policy)
    if parsed is None or problems:
        raise ValueError(" ".join(problem.detail for problem in problems))
    return parsed


def _examine(url: str, policy: Policy) -> tuple[URL | None, list[Problem]]:
    if len(url) > MAX_URL_CHARS:
        return None, [Problem(f"The URL has more than {MAX_URL_CHARS} characters; give a shorter one.")]
    if _UNPRINTABLE.search(url):
        return None, [
            Problem("The URL has a space, a backslash or a control character; percent-encode or remove it.")
        ]
    try:
        parsed = URL(url)
        # Judged is what would be sent, read back by the parser that sends it: not what was typed.
        parsed = URL(str(_without_trailing_dot(parsed)), encoded=True)
        host, port = parsed.raw_host, parsed.port
    except (ValueError, IndexError):  # yarl takes a URL such as https://[]@ for one and then trips over it
        return None, [Problem("This is not a URL; give one such as https://hooks.example.com/transfers.")]
    if parsed.scheme not in ("http", "https") or not host:
        return None, [Problem("Give an absolute URL that begins with https:// and has a host.")]
    found: list[str | None] = []
    if parsed.scheme == "http" and not policy.allow_http:
        found.append("Plain http is not allowed here, anybody on the way could read it; use https.")
    if parsed.raw_user is not None or parsed.raw_password is not None:
        found.append(
            "The URL has a user name or password; remove them, and set an Authorization header instead."
        )
    if parsed.raw_fragment or "#" in url:
        found.append("The URL has a fragment, which is never sent; remove the # and what follows it.")
    literal = classify(host, policy)
    found.append(_host_problem(host, literal, policy))
    any_port = literal is Verdict.ALLOWED or (_is_localhost(host) and policy.allows_loopback)
    found.append(_port_problem(port, parsed.scheme, any_port, policy))
    # yarl says "/" of an absent path, yet writes none.
    if parsed.raw_path == "/" and not parsed.raw_query_string:
        parsed = parsed.with_path("/")
    return parsed, [Problem(text) for text in found if text is not None]


def _without_trailing_dot(url: URL) -> URL:
    host = url.raw_host
    return url.with_host(host[:-1]) if host and host.endswith(".") and len(host) > 1 else url


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def _host_problem(host: str, literal: Verdict, policy: Policy) -> str | None:
    if literal is not Verdict.NOT_AN_ADDRESS:
        if literal.is_allowed:
            return None
        return "The host is an address that is not on the public internet; give one that is, or a host name."
    if ":" in host or not _HOST_NAME.fullmatch(host):
        return "The host is not a valid name; use letters, digits, hyphens and dots, 253 characters at most."
    last = host.rpartition(".")[2]
    if _NUMERIC_LABEL.fullmatch(last):
        return (
            "The host is a number but not a complete IPv4 address; write all four decimal parts, or a name."
        )
    if _is_localhost(host):
        return (
            None if policy.allows_loopback else "The host means this machine itself; give a public host name."
        )
    if host in _METADATA_NAMES or f".{host}".endswith(_NEVER_SUFFIXES):
        return "The host name is reserved and leads to no partner; give a public host name."
    if last == host:
        return None if policy.allow_networks else "The host is a single word; give its full public name."
    if f".{host}".endswith(_PRIVATE_SUFFIXES) and not policy.allows_private_names:
        return "The host name belongs to a private network; give a public host name."
    return None


def _port_problem(port: int | None, scheme: str, any_port: bool, policy: Policy) -> str | None:
    if not port:
        return "Port 0 does not exist; leave the port out, or give 443."
    if any_port or port in _WEB_PORTS or port in policy.allowed_ports or (port == 80 and scheme == "http"):
        return None
    if port < 1024 or port in _KNOWN_SERVICES:
        return (
            f"Port {port} belongs to another kind of service; use 443, 8443, 8080 or a free port above 1023."
        )
    return None
