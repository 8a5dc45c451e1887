"""The pre-flight against real servers: every way in which an endpoint is not ready, in words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from relay.dialer import open_session
from relay.egress import Policy
from relay.model import Endpoint, Secret
from relay.preflight import Report, preflight
from relay.services import Services
from relay.signing import new_secret
from relay.webhook import WebhookSender
from tests.fakes.outside import Counting, Proxy, connections
from tests.fakes.partner import Answer, Partner

HOST = "hooks.contoso.com"
SECRET = new_secret()
LOOPBACK = Policy.of(["127.0.0.0/8"], allow_http=True)


def here(host: str, port: int, family: int, kind: int) -> list[Any]:
    return [(socket.AF_INET, kind, 0, "", ("127.0.0.1", port))]


@asynccontextmanager
async def relay(
    services: Services, authority: trustme.CA | None = None, *, policy: Policy = LOOPBACK, timeout_s: float = 30,
    lookup: Any = here, proxy: str = "",
) -> AsyncIterator[Services]:  # fmt: skip
    tls = ssl.create_default_context()
    if authority is not None:
        authority.configure_trust(tls)
    async with open_session(
        policy, connect_timeout_s=timeout_s, total_timeout_s=60, keepalive_s=30, limit=9, tls=tls, lookup=lookup,
        proxy=proxy,
    ) as session:  # fmt: skip
        sender = WebhookSender(session, policy=policy, timeout_s=timeout_s, user_agent="transfer-relay/1")
        yield replace(services, sender=sender)


async def look(services: Services, url: str, *, for_operator: bool = False, forgery: bool = False) -> Report:
    sealed = services.vault.seal(SECRET.encode(), context="endpoint:ep_1:secret")
    secret = Secret(sealed=sealed, created_at_ms=0)
    endpoint = Endpoint(id="ep_1", partner="contoso", url=url, secrets=(secret,), created_at_ms=0, updated_at_ms=0)
    return await preflight(services, endpoint, services.clock(), for_operator=for_operator, forgery=forgery)


def told(report: Report) -> list[tuple[str, str]]:
    return [(one.check.value, one.level.value) for one in report.findings]


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


FINE = [("dns", "ok"), ("connect", "ok"), ("tls", "ok"), ("certificate", "ok"), ("ping", "ok"), ("latency", "ok")]


async def test_of_an_endpoint_that_is_ready_all_is_said_to_be_well(services: Services) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST, not_after=datetime.now(UTC) + timedelta(days=90, hours=1))
    async with Partner(secret=SECRET, tls=serving(certificate)) as partner, relay(services, authority) as ours:
        report = await look(ours, partner.url(host=HOST))
        assert told(report) == FINE
        assert (report.problems, report.unreached) == ([], False)
        assert "TLS 1.3" in report.findings[2].detail
        assert "90 days" in report.findings[3].detail
        assert len(partner.requests) == 1
        assert b"relay.ping" in partner.requests[0].body


async def test_a_certificate_that_ends_soon_is_told_in_days(services: Services) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST, not_after=datetime.now(UTC) + timedelta(days=9, hours=1))
    async with Partner(secret=SECRET, tls=serving(certificate)) as partner, relay(services, authority) as ours:
        report = await look(ours, partner.url(host=HOST))
        assert told(report)[3] == ("certificate", "warning")
        assert "expires in 9 days" in report.findings[3].detail
        assert report.problems == []


async def test_an_intermediate_that_ends_soon_is_told(services: Services) -> None:
    root = trustme.CA()
    child = root.create_child_ca()
    certificate = child.issue_cert(HOST)
    async with Partner(secret=SECRET, tls=serving(certificate)) as partner, relay(services, root) as ours:
        report = await look(ours, partner.url(host=HOST))
        assert report.problems == []
        assert told(report)[:3] == FINE[:3]


BAD = {
    "expired": (lambda ca: ca.issue_cert(HOST, not_after=datetime(2020, 1, 1, tzinfo=UTC)), "expired on 2020-01-01"),
    "wrong name": (lambda ca: ca.issue_cert("www.fabrikam.com"), "is for www.fabrikam.com and not for hooks.contoso.com"),
    "unknown": (lambda _: trustme.CA().issue_cert(HOST), "no known issuer; send the intermediate certificates"),
}


@pytest.mark.parametrize(("issue", "says"), BAD.values(), ids=BAD)
async def test_a_bad_certificate_is_read_and_told_and_nothing_is_sent(
    services: Services, issue: Any, says: str
) -> None:
    authority = trustme.CA()
    async with Partner(tls=serving(issue(authority))) as partner, relay(services, authority) as ours:
        report = await look(ours, partner.url(host=HOST))
        (problem,) = report.problems
        assert problem.check.value == "certificate"
        assert says in problem.detail
        assert (report.ping, partner.requests) == (None, [])


async def test_plain_http_behind_https_fails_in_words(services: Services) -> None:
    async with Partner() as partner, relay(services) as ours:
        report = await look(ours, partner.url(host=HOST).replace("http:", "https:"))
        (problem,) = report.problems
        assert "secure connection" in problem.detail


async def test_nobody_there_is_one_finding_and_for_a_partner_the_outcome_alone(services: Services) -> None:
    async with Counting() as gone:
        pass

    def unknown(*_: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "planted")

    def private(host: str, port: int, family: int, kind: int) -> list[Any]:
        return [(socket.AF_INET, kind, 0, "", ("10.1.2.3", port))]

    for lookup, check, says in (
        (here, "connect", "No connection could be made"),
        (unknown, "dns", "has no address"),
        (private, "url", "leads to an address that it may not"),
    ):
        async with relay(services, lookup=lookup) as ours:
            with connections() as opened:
                report = await look(ours, f"http://{HOST}:{gone.port}/")
            assert told(report) == [(check, "problem")]
            assert says in report.findings[0].detail
            assert not any(character.isdigit() for character in report.findings[0].detail.replace("2xx", ""))
            assert report.unreached
            assert all(address[0].startswith("127.") for address in opened)


async def test_a_literal_address_that_may_not_be_called_is_not_looked_at(services: Services) -> None:
    async with relay(services, policy=Policy(allow_http=True)) as ours:
        with connections() as opened:
            report = await look(ours, "http://127.0.0.1:9999/")
        assert told(report) == [("url", "problem")]
        assert opened == []


async def test_who_accepts_and_says_nothing_is_ended_by_the_deadline(services: Services) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    try:
        async with relay(services, timeout_s=0.5) as ours:
            report = await look(ours, f"https://{HOST}:{silent.getsockname()[1]}/")
            assert told(report) == [("connect", "problem")]
            assert report.unreached
    finally:
        silent.close()


async def test_a_redirect_is_told_with_where_it_leads(services: Services) -> None:
    async with Partner(secret=SECRET) as partner, relay(services) as ours:
        partner.answers(Answer(301, headers={"Location": "https://contoso.com/in"}))
        report = await look(ours, partner.url(host=HOST))
        (problem,) = report.problems
        assert (problem.check.value, "https://contoso.com/in" in problem.detail) == ("redirect", True)


async def test_who_takes_a_forged_ping_is_told_to_verify(services: Services) -> None:
    async with Partner() as careless, relay(services) as ours:
        report = await look(ours, careless.url(host=HOST), forgery=True)
        assert told(report)[-1] == ("signature", "warning")
        assert len(careless.requests) == 2
    async with Partner(secret=SECRET) as careful, relay(services) as ours:
        report = await look(ours, careful.url(host=HOST), forgery=True)
        assert told(report)[-1] == ("signature", "ok")
        careful.problems.clear()


async def test_through_a_proxy_the_ping_is_what_there_is(services: Services) -> None:
    async with Partner(secret=SECRET) as partner, Proxy(partner.port) as proxy:
        async with relay(services, proxy=f"http://127.0.0.1:{proxy.port}") as ours:
            report = await look(ours, f"http://{HOST}/in")
        assert told(report) == [("connect", "ok"), ("ping", "ok"), ("latency", "ok")]
