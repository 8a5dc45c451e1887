"""Who asks too often?

What one token or one address may ask in a second, before anything is read or looked up, and how often one
address may fail to prove who it is. Each web process counts for itself.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from aiohttp import hdrs, web

from relay.config import Config
from relay.errors import RelayError
from relay.limits import Gcra

_FREE = frozenset({"/healthz", "/readyz"})
"""What a load balancer asks, however often."""
DIGESTED = web.RequestKey("digested", int)
"""How many bytes of this request were looked at and proved nobody."""
_DIGESTED = 64 << 10
"""So many bytes that proved nobody count as one more failure."""
_MOST_UNPROVEN = 64 << 20
"""Bytes of one address that are kept in memory at a time before it is known who sent them."""
_FAILED = "too many requests from this address did not prove who sent them"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TooMany(RelayError):
    """Answer 429; `retry_after_s` is for how many seconds to wait."""

    def __init__(self, why: str, retry_after_s: int) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class Failures:
    """How often an address fails to prove who it is, and how much of what it sends is kept before it has."""

    def __init__(self, per_minute: float, proxies: Sequence[str]) -> None:
        self._unproven: dict[str, int] = {}
        self._limit = Gcra(per_minute / 60, per_minute) if per_minute else None
        self._proxies = [ip_network(proxy) for proxy in proxies]

    def check(self, request: web.Request) -> None:
        """Raises TooMany when this address has failed too often: before work that a failure would waste."""
        if self._limit is not None:
            wait_first(self._limit.wait(address_of(request, self._proxies), _now()), _FAILED)

    def note(self, request: web.Request) -> None:
        """It failed once more; the bytes that were looked at in vain count too. Raises TooMany when it has too
        often."""
        if self._limit is not None:
            cost = 1 + request.get(DIGESTED, 0) / _DIGESTED
            wait_first(self._limit.take(address_of(request, self._proxies), _now(), cost), _FAILED)

    @contextmanager
    def room(self, request: web.Request, size: int) -> Iterator[None]:
        """Within it, `size` bytes of this address are kept that may prove to be nobody's. Raises TooMany when
        they would be too many."""
        address = address_of(request, self._proxies)
        kept = self._unproven.get(address, 0)
        if kept and kept + size > _MOST_UNPROVEN:
            raise TooMany("too much from this address waits to be proven; wait before the next", 1)
        self._unproven[address] = kept + size
        try:
            yield
        finally:
            left = self._unproven[address] - size
            if left:
                self._unproven[address] = left
            else:
                del self._unproven[address]


FAILURES: web.AppKey[Failures] = web.AppKey("failures", Failures)


def add_limits(app: web.Application, config: Config) -> None:
    """Put the limits that are set into `app`: those that are not cost nothing."""
    limits, proxies = config.limits, config.server.trusted_proxies
    app[FAILURES] = Failures(limits.failures_per_minute, proxies)
    if limits.requests_per_second or limits.address_requests_per_second:
        app.middlewares.append(_limited(limits.requests_per_second, limits.address_requests_per_second, proxies))


def _limited(token_rate: float, address_rate: float, proxies: Sequence[str]) -> Any:
    tokens = Gcra(token_rate, 2 * token_rate) if token_rate else None
    addresses = Gcra(address_rate, 2 * address_rate) if address_rate else None
    networks = [ip_network(proxy) for proxy in proxies]

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in _FREE:
            now = _now()
            if addresses is not None:
                wait_first(addresses.take(address_of(request, networks), now), "this address asks too often")
            token = request.headers.get(hdrs.AUTHORIZATION)
            if tokens is not None and token is not None:
                # Not the token itself: it would be kept for as long as it is known. Nor the header, which may be
                # written in many ways that all prove the same.
                text = token.strip().partition(" ")[2].strip()
                key = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
                wait_first(tokens.take(key, now), "this token asks too often")
        return await handler(request)

    return limited


def address_of(request: web.Request, proxies: Sequence[IPv4Network | IPv6Network]) -> str:
    """Who is at the other end: the peer, or, where that is a trusted proxy, the last address before the
    trusted ones that `X-Forwarded-For` names. Of IPv6 the network of 64 bits, which is what one subscriber has."""
    found = _plain(request.remote or "")
    named = [part.strip() for value in request.headers.getall("X-Forwarded-For", ()) for part in value.split(",")]
    while named and _is_in(found, proxies):
        before = _plain(named.pop())
        if not _is_address(before):
            break
        found = before
    return found if ":" not in found else _network_of(found)


def asker_of(proxies: Sequence[str]) -> Callable[[web.Request], str]:
    """`address_of` for these proxies, in CIDR form."""
    networks = [ip_network(proxy) for proxy in proxies]
    return lambda request: address_of(request, networks)


@lru_cache(maxsize=4096)
def _plain(address: str) -> str:
    """An IPv4 address as such, also where a socket for both writes it as IPv6; no scope."""
    if ":" not in address or not _is_address(address):
        return address
    v6 = IPv6Address(address.partition("%")[0])
    return str(v6.ipv4_mapped or v6)


@lru_cache(maxsize=4096)
def _network_of(address: str) -> str:
    return str(IPv6Network((address, 64), strict=False)) if _is_address(address) else address


def _is_in(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return bool(networks) and _is_address(address) and any(ip_address(address) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def wait_first(seconds: float, why: str) -> None:
    """Returns when there is nothing to wait for; TooMany (429) with the whole seconds when there is."""
    if seconds > 0:
        raise TooMany(f"{why}; wait before the next", max(1, -int(-seconds // 1)))


def _now() -> float:
    return asyncio.get_running_loop().time()
