"""How does the relay connect to what a tenant named, and only to that?

One aiohttp session for every outbound call that a tenant can influence. It asks `relay.egress` about each
address twice: when a name is resolved, and when the socket for the exact address is made. The second also
sees IP literals, which never reach a resolver, and leaves no gap between check and use. TLS still verifies
the host name. Nothing comes from the environment: a proxy named there would resolve names unguarded.

An operator who keeps egress in a forward proxy names it (`[egress] proxy`). Then the session connects to
that proxy and to nothing else, each URL is judged here before the proxy is asked, and what a name leads to
is for the proxy to judge.

Trust is in the session: code that is handed it may call anything a tenant wrote.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

from aiohttp import (
    AddrInfoType,
    ClientConnectorDNSError,
    ClientHandlerType,
    ClientProxyConnectionError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from relay.egress import Policy, Verdict, check_url, classify

DNS_CACHE_S = 10
DNS_CACHE_NAMES = 10_000
LOOKUP_TIMEOUT_S = 5.0
LOOKUP_THREADS = 16

Lookup = Callable[..., Sequence[tuple[Any, ...]]]
"""`socket.getaddrinfo`, or what stands in for it: (host, port, family, type) to its answers. Blocking."""


class BlockedAddress(OSError):
    """An address that `relay.egress` refuses. Says which kind, never which address: tenants read errors."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"the address may not be dialled ({verdict})")
        self.verdict = verdict


class Dialled:
    """Whether a request opened a connection of its own, or was given one that was kept alive.

    Put a fresh one in `DIALLED` before a request. A request and the tasks that connect for it share it,
    because a task copies its maker's context; requests made in other tasks do not.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


DIALLED: ContextVar[Dialled | None] = ContextVar("relay_dialled", default=None)


def open_session(
    policy: Policy,
    *,
    connect_timeout_s: float,
    total_timeout_s: float,
    keepalive_s: float,
    limit: int,
    tls: ssl.SSLContext | None = None,
    lookup: Lookup = socket.getaddrinfo,
    proxy: str = "",
) -> ClientSession:
    """The guarded session; call it inside the running loop and close it. Times are seconds.

    `limit` is how many connections may be open at once (waiting for one counts into the total). `tls`
    defaults to `tls_context()`. A refused address ends the request with an error that has BlockedAddress
    in its chain. `proxy` is `http://user:pass@host:port` or `https://…`, or "" for none.
    """
    gate = _Gate(policy, URL(proxy) if proxy else None)
    connector = GuardedConnector(
        guard=GuardResolver(gate, lookup),
        gate=gate,
        tls=tls if tls is not None else tls_context(),
        ttl_dns_cache=DNS_CACHE_S,
        dns_cache_max_size=DNS_CACHE_NAMES,
        keepalive_timeout=keepalive_s,
        limit=limit,
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        timeout=ClientTimeout(total=total_timeout_s, sock_connect=connect_timeout_s),
        proxy=proxy or None,
        middlewares=(_judging(policy),) if proxy else (),
    )


def tls_context(certificate: str = "", key: str = "") -> ssl.SSLContext:
    """The system's certificate authorities, TLS 1.2 at least. With `certificate` (a PEM file of it and its
    chain) the relay proves itself to receivers that ask; `key` is its key's file, "" when it is in the same
    one. OSError and ssl.SSLError when they cannot be used."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate:
        # A key with a passphrase would be asked for at the terminal, where nobody is.
        context.load_cert_chain(certificate, key or None, password=lambda: "")
    return context


def _judging(policy: Policy) -> Callable[[ClientRequest, ClientHandlerType], Awaitable[ClientResponse]]:
    """A proxy is asked for literal addresses too, which then reach neither resolver nor socket here."""

    async def judge(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        literal = classify(request.url.raw_host or "", policy)
        if literal is not Verdict.NOT_AN_ADDRESS and not literal.is_allowed:
            raise BlockedAddress(literal)
        if check_url(str(request.url), policy):
            raise BlockedAddress(Verdict.NOT_AN_ADDRESS)
        try:
            return await handler(request)
        except ClientConnectorDNSError as error:
            # The only name that is looked up here is the proxy's, which is no partner's doing.
            raise ClientProxyConnectionError(error._conn_key, error.os_error) from error

    return judge


class _Gate:
    """Which socket address may be connected to: one that the policy passes, or, where there is a proxy,
    the proxy's and no other."""

    def __init__(self, policy: Policy, proxy: URL | None) -> None:
        self._policy = policy
        self._proxy = None if proxy is None else (proxy.raw_host or "", proxy.port)
        self._proxy_at: set[tuple[str, int]] = set()
        if proxy is not None:
            self._proxy_at.add((proxy.host or "", proxy.port or 0))

    @property
    def is_proxied(self) -> bool:
        """Whether there is a proxy."""
        return self._proxy is not None

    def resolved(self, host: str, port: int, sockaddr: tuple[Any, ...]) -> None:
        """Judges one address that a name was found to have; raises BlockedAddress."""
        if self._proxy == (host, port):
            self._proxy_at.add((str(sockaddr[0]), int(sockaddr[1])))
        self._check(sockaddr)

    def open_socket(self, addr_info: AddrInfoType) -> socket.socket:
        """A socket for this address, and for no other; raises BlockedAddress."""
        family, kind, proto, _, sockaddr = addr_info
        dialled = DIALLED.get()
        if dialled is not None:
            dialled.count += 1
        self._check(sockaddr)
        return socket.socket(family, kind, proto)

    def _check(self, sockaddr: tuple[Any, ...]) -> None:
        if self._proxy is not None:
            if (str(sockaddr[0]), int(sockaddr[1])) not in self._proxy_at:
                raise BlockedAddress(Verdict.DENIED)
            return
        # The fourth part of an IPv6 socket address is its zone, which the text may leave out.
        scoped = len(sockaddr) > 3 and sockaddr[3] != 0
        verdict = Verdict.SCOPED if scoped else classify(str(sockaddr[0]), self._policy)
        if not verdict.is_allowed:
            raise BlockedAddress(verdict)


class GuardResolver(AbstractResolver):
    """Looks names up in threads of its own, and refuses a name when any of its answers is refused.

    The threads are its own because lookups that hang would otherwise use up the loop's few.
    """

    def __init__(self, gate: _Gate, lookup: Lookup = socket.getaddrinfo) -> None:
        self._gate = gate
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every stream address of `host`. OSError when there is none, when it takes longer than
        LOOKUP_TIMEOUT_S, or (BlockedAddress) when one may not be dialled."""
        running = asyncio.get_running_loop().run_in_executor(
            self._threads, self._lookup, host, port, family, socket.SOCK_STREAM
        )
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                answers = await running
        except TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, "the lookup took too long") from None
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        for *_, sockaddr in answers:
            self._gate.resolved(host, port, sockaddr)
        return [
            ResolveResult(
                hostname=host, host=sockaddr[0], port=port, family=answer_family, proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for answer_family, _, proto, _, sockaddr in answers
        ]  # fmt: skip

    async def close(self) -> None:
        """Lets the threads go; lookups under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedConnector(TCPConnector):
    """The session's connections, and `dial` for one that speaks no HTTP, by the same guard. `tls` is what the
    session verifies servers with. Owns its resolver: aiohttp closes only one that it made itself."""

    def __init__(self, *, guard: GuardResolver, gate: _Gate, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(resolver=guard, socket_factory=gate.open_socket, ssl=tls, **options)
        self._guard = guard
        self._gate = gate
        self.tls = tls

    @property
    def is_proxied(self) -> bool:
        """Whether everything goes to a forward proxy: then nothing else can be dialled."""
        return self._gate.is_proxied

    async def addresses(self, host: str, port: int) -> list[AddrInfoType]:
        """Where `host`, a name or a literal address, is to be dialled. OSError (BlockedAddress among them)
        when it has no address or one that may not be."""
        if classify(host, Policy()) is not Verdict.NOT_AN_ADDRESS:
            return [(info[0], info[1], info[2], "", info[4]) for info in _numeric(host, port)]
        found = await self._guard.resolve(host, port)
        return [
            (one["family"], socket.SOCK_STREAM, one["proto"], "", info[4])
            for one in found
            for info in _numeric(one["host"], port)
        ]

    async def dial(self, address: AddrInfoType) -> socket.socket:
        """A connected socket, which is the caller's to close. OSError (BlockedAddress among them)."""
        opened = self._gate.open_socket(address)
        try:
            opened.setblocking(False)
            await asyncio.get_running_loop().sock_connect(opened, address[4])
        except BaseException:
            opened.close()
            raise
        return opened

    async def close(self, *, abort_ssl: bool = False) -> None:
        await super().close(abort_ssl=abort_ssl)
        await self._guard.close()


def _numeric(address: str, port: int) -> list[tuple[Any, ...]]:
    """A literal address as the kernel wants it; looks nothing up."""
    return list(socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
