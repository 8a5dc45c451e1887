"""Where egress is kept in a forward proxy, everything goes there and to nowhere else."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from relay.dialer import open_session
from relay.egress import Policy
from relay.model import Attempt, Outcome
from relay.signing import HmacKey, new_secret
from relay.webhook import WebhookSender
from tests.fakes.outside import Counting, Proxy, connections
from tests.fakes.partner import Partner

SECRET = new_secret()


def only_the_proxy(host: str, port: int, family: int, kind: int) -> list[Any]:
    """A resolver inside a network that knows nothing of the outside."""
    if host != "proxy.contoso.com":
        raise AssertionError(f"{host} was looked up")
    return [(socket.AF_INET, kind, 0, "", ("127.0.0.1", port))]


async def post(
    url: str,
    proxy: str,
    *,
    tls: ssl.SSLContext | None = None,
    lookup: Callable[..., list[Any]] = only_the_proxy,
    policy: Policy = Policy(allow_http=True),
) -> Attempt:
    async with open_session(
        policy, connect_timeout_s=30, total_timeout_s=60, keepalive_s=30, limit=9, tls=tls, lookup=lookup, proxy=proxy
    ) as session:
        sender = WebhookSender(session, policy=policy, timeout_s=60, user_agent="transfer-relay/1")
        return await sender.attempt(
            number=1, url=url, message_id="evt-1", body=b"{}", keys=[HmacKey.parse(SECRET)], headers={},
            now_ms=time.time_ns() // 1_000_000,
        )  # fmt: skip


async def test_a_secure_endpoint_is_reached_by_name_and_its_certificate_verified() -> None:
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.fabrikam.com").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with Partner(secret=SECRET, tls=serving) as partner, Proxy(partner.port) as proxy:
        url = "https://hooks.fabrikam.com/in"
        assert (await post(url, proxy.url, tls=trusting)).outcome is Outcome.ACCEPTED
        assert proxy.asked == ["CONNECT hooks.fabrikam.com:443"]
        assert b"Proxy-Authorization: Basic cmVsYXk6cGFzcw==" in proxy.heads[0]
        assert "Proxy-Authorization" not in partner.requests[0].headers
        other = await post("https://other.fabrikam.com/in", proxy.url, tls=trusting)
        assert other.outcome is Outcome.TLS_FAILED


async def test_a_plain_endpoint_is_asked_for_by_its_whole_url() -> None:
    async with Partner() as partner, Proxy(partner.port) as proxy:
        attempt = await post("http://hooks.fabrikam.com/in", proxy.url)
        assert attempt.outcome is Outcome.ACCEPTED
        assert proxy.asked == ["POST http://hooks.fabrikam.com/in"]


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/", "http://127.0.0.1/", "http://[::1]/", "http://2130706433/", "http://u:p@a.com/",
     "http://localhost/", "http://proxy.internal/"],
)  # fmt: skip
async def test_the_urls_rules_and_literal_addresses_are_still_judged_here(url: str) -> None:
    async with Counting() as listener, Proxy(listener.port) as proxy:
        with connections() as opened:
            assert (await post(url, proxy.url)).outcome is Outcome.BLOCKED
        assert (opened, proxy.asked) == ([], [])


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://10.0.0.1/", "http://[::1]/", "http://localhost/"])
async def test_the_session_asks_no_proxy_for_them_although_nobody_looked_at_the_url(url: str) -> None:
    async with Counting() as listener, Proxy(listener.port) as proxy:
        async with open_session(
            Policy(allow_http=True), connect_timeout_s=30, total_timeout_s=60, keepalive_s=30, limit=9,
            lookup=only_the_proxy, proxy=proxy.url,
        ) as session:  # fmt: skip
            with connections() as opened, pytest.raises(OSError):
                await session.post(url, data=b"")
        assert (opened, proxy.asked) == ([], [])


async def test_nothing_is_dialled_beside_the_proxy() -> None:
    async with Counting() as listener, Proxy(listener.port) as proxy:
        async with open_session(
            Policy.of(["127.0.0.0/8"], allow_http=True), connect_timeout_s=30, total_timeout_s=60, keepalive_s=30,
            limit=9, proxy=f"http://127.0.0.1:{proxy.port}",
        ) as session:  # fmt: skip
            # The session's own proxy is set aside: its connector still goes nowhere else.
            session._default_proxy = None
            with connections() as opened, pytest.raises(OSError):
                await session.post(f"http://127.0.0.1:{listener.port}/", data=b"")
        assert (opened, listener.connections) == ([], 0)


REFUSALS = {
    "403 Forbidden": (b"", Outcome.BLOCKED),
    "407 Request rejected by proxy": (b"X-Smokescreen-Error: denied\r\n", Outcome.BLOCKED),
    "407 Proxy Authentication Required": (b"", Outcome.TRANSPORT_DOWN),
    "502 Bad Gateway": (b"", Outcome.CONNECTION_REFUSED),
    "504 Gateway Timeout": (b"", Outcome.CONNECTION_REFUSED),
}


@pytest.mark.parametrize(("line", "said"), REFUSALS.items(), ids=REFUSALS)
async def test_what_a_proxy_that_will_not_connect_means(line: str, said: tuple[bytes, Outcome]) -> None:
    headers, outcome = said
    refusal = f"HTTP/1.1 {line}\r\n".encode() + headers + b"Content-Length: 0\r\n\r\n"
    async with Proxy(0, refusal) as proxy:
        assert (await post("https://hooks.fabrikam.com/", proxy.url)).outcome is outcome


async def test_a_proxy_that_is_down_costs_a_partner_no_attempt() -> None:
    async with Counting() as gone:
        pass
    attempt = await post("https://hooks.fabrikam.com/", f"http://127.0.0.1:{gone.port}")
    assert attempt.outcome is Outcome.TRANSPORT_DOWN

    def lookup(*_: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "")

    unknown = await post("https://hooks.fabrikam.com/", "http://proxy.contoso.com:3128", lookup=lookup)
    assert unknown.outcome is Outcome.TRANSPORT_DOWN
