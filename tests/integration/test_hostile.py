"""No connection leaves for where it should not: every hostile URL and address against the real session, with
a port that counts who comes and a watch over every socket of this process."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest
import trustme
from aiohttp import ClientError, ClientSession

from relay.dialer import BlockedAddress, open_session, tls_context
from relay.egress import Policy, Verdict, classify
from relay.model import Attempt, Outcome
from relay.own import own_addresses
from relay.signing import HmacKey, new_secret
from relay.webhook import WebhookSender
from tests.fakes.outside import Counting, Dns, connections
from tests.fakes.partner import Answer, Partner

HTTP = Policy(allow_http=True)  # so that only the address and the name decide
KEY = HmacKey.parse(new_secret())

# {port} is the counting port's: whoever gets through, arrives there.
LITERALS = """
http://127.0.0.1:{port}/
http://127.0.0.2:{port}/
http://127.255.255.254:{port}/
http://0.0.0.0:{port}/
http://[::1]:{port}/
http://[::]:{port}/
http://[::ffff:127.0.0.1]:{port}/
http://[::ffff:7f00:1]:{port}/
http://[0:0:0:0:0:ffff:127.0.0.1]:{port}/
http://[::127.0.0.1]:{port}/
http://[::ffff:0:127.0.0.1]:{port}/
http://[64:ff9b::7f00:1]:{port}/
http://[64:ff9b::169.254.169.254]:{port}/
http://[64:ff9b:1::7f00:1]:{port}/
http://[2002:7f00:1::]:{port}/
http://[2002:a9fe:a9fe::1]:{port}/
http://[2001:0:7f00:1::]:{port}/
http://[2606:4700::5efe:7f00:1]:{port}/
http://[2606:4700::200:5efe:7f00:1]:{port}/
http://[fe80::1%25lo]:{port}/
http://[fe80::1]:{port}/
http://[::1%25lo]:{port}/
http://[2606:4700::1%251]:{port}/
http://[fc00::1]:{port}/
http://[fd12:3456::1]:{port}/
http://[fd00:ec2::254]:{port}/
http://[fd20:ce::254]:{port}/
http://[fec0::1]:{port}/
http://[ff02::1]:{port}/
http://[100::1]:{port}/
http://[100:0:0:1::1]:{port}/
http://[2001:db8::1]:{port}/
http://[2001:2::1]:{port}/
http://[2001:20::1]:{port}/
http://[3fff::1]:{port}/
http://[3ffe::1]:{port}/
http://[4000::1]:{port}/
http://[5f00::1]:{port}/
http://[2620:4f:8000::1]:{port}/
http://10.0.0.1:{port}/
http://10.255.255.255:{port}/
http://100.64.0.1:{port}/
http://100.100.100.200:{port}/
http://168.63.129.16:{port}/
http://169.254.169.254:{port}/latest/meta-data/
http://169.254.170.2:{port}/
http://172.16.0.1:{port}/
http://172.31.255.255:{port}/
http://192.0.0.1:{port}/
http://192.0.0.192:{port}/
http://192.0.2.1:{port}/
http://192.31.196.1:{port}/
http://192.52.193.1:{port}/
http://192.88.99.1:{port}/
http://192.168.1.1:{port}/
http://192.175.48.1:{port}/
http://198.18.0.1:{port}/
http://198.51.100.1:{port}/
http://203.0.113.1:{port}/
http://224.0.0.1:{port}/
http://239.255.255.250:{port}/
http://240.0.0.1:{port}/
http://255.255.255.255:{port}/
http://①②⑦.⓪.⓪.①:{port}/
http://１２７.0.0.1:{port}/
http://127。0。0。1:{port}/
""".split()

SPELLINGS = """
http://127.0.0.1.:{port}/
http://2130706433:{port}/
http://017700000001:{port}/
http://0x7f000001:{port}/
http://0x7f.1:{port}/
http://0x7f.0x0.0x0.0x1:{port}/
http://127.1:{port}/
http://127.0.1:{port}/
http://0177.0.0.1:{port}/
http://127.0.0.01:{port}/
http://0:{port}/
http://1.2.3.4.5:{port}/
http://hooks.contoso.com.1:{port}/
http://localhost:{port}/
http://LOCALHOST:{port}/
http://localhost.:{port}/
http://a.localhost:{port}/
http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/
http://localhost.localdomain:{port}/
http://printer.local:{port}/
http://db.internal:{port}/
http://router.home.arpa:{port}/
http://hidden.onion:{port}/
http://a.test:{port}/
http://a.example:{port}/
http://a.invalid:{port}/
http://intranet:{port}/
http://metadata:{port}/
http://metadata.google.internal:{port}/computeMetadata/v1/
http://instance-data:{port}/
http://u:p@hooks.contoso.com:{port}/
http://u@hooks.contoso.com:{port}/
http://hooks.contoso.com:{port}/#part
http://hooks.contoso.com:{port}\\@127.0.0.1/
http://127.0.0.1:{port}\\@hooks.contoso.com/
http://hooks.contoso.com%00.fabrikam.com:{port}/
http://hooks%2econtoso.com:{port}/
http://[::1:{port}/
http:///hook
http://:{port}/
//127.0.0.1:{port}/
127.0.0.1:{port}
https://hooks.contoso.com:0/
https://hooks.contoso.com:22/
https://hooks.contoso.com:25/
https://hooks.contoso.com:6379/
https://hooks.contoso.com:9200/
https://hooks.contoso.com:11211/
https://hooks.contoso.com:99999/
ftp://hooks.contoso.com:{port}/
file:///etc/passwd
gopher://127.0.0.1:{port}/_x
unix:///run/valkey.sock
data:text/plain,x
javascript:alert(1)
""".split()
SPELLINGS += [
    "http://hooks.contoso.com:{port}/a b",
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/\r\nX-A: b",
    "http://hooks.contoso\t.com:{port}/",
    "http://a b:{port}/",
    "http://hooks.contoso.com\u2028:{port}/",
    "http://" + "a." * 127 + "com:{port}/",
    "http://hooks.contoso.com:{port}/" + "a" * 2100,
]


def _everything_is_here(host: str, port: int, family: int, kind: int) -> list[Any]:
    """The worst resolver: every name is the counting port's address."""
    return [(socket.AF_INET, kind, 0, "", ("127.0.0.1", port))]


class Relay:
    """The session and the sender as a process has them."""

    def __init__(self, policy: Policy, **options: Any) -> None:
        options = {"lookup": _everything_is_here, **options}
        self.session: ClientSession = open_session(
            policy, connect_timeout_s=30, total_timeout_s=60, keepalive_s=30, limit=50, **options
        )
        self.sender = WebhookSender(self.session, policy=policy, timeout_s=60, user_agent="transfer-relay/1")

    async def post(self, url: str) -> Attempt:
        return await self.sender.attempt(
            number=1, url=url, message_id="evt-1", body=b"{}", keys=[KEY], headers={},
            now_ms=time.time_ns() // 1_000_000,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()


@pytest.fixture
async def counting() -> AsyncIterator[Counting]:
    async with Counting() as port:
        yield port


@pytest.mark.parametrize("template", LITERALS + SPELLINGS)
async def test_a_hostile_url_opens_no_connection(counting: Counting, template: str) -> None:
    url = template.replace("{port}", str(counting.port))
    async with Relay(HTTP) as relay:
        with connections() as opened:
            attempt = await relay.post(url)
    assert attempt.outcome is Outcome.BLOCKED
    assert (attempt.request_headers, attempt.answer, attempt.duration_ms) == ({}, "", 0)
    assert (opened, counting.connections) == ([], 0)


@pytest.mark.parametrize("template", LITERALS)
async def test_the_session_itself_opens_none_although_nobody_looked_at_the_url(
    counting: Counting, template: str
) -> None:
    async with Relay(HTTP) as relay:
        with connections() as opened, pytest.raises((ClientError, OSError)) as refused:
            await relay.session.post(template.replace("{port}", str(counting.port)), data=b"")
    assert (opened, counting.connections) == ([], 0)
    found: BaseException | None = refused.value
    while found is not None and not isinstance(found, BlockedAddress):
        found = found.__cause__ or found.__context__ or getattr(found, "os_error", None)
    assert isinstance(found, BlockedAddress)


HOSTS = sorted({URL[7:].rsplit(":", 1)[0].strip("[]").replace("%25", "%") for URL in LITERALS if URL.isascii()})


@pytest.mark.parametrize("address", HOSTS)
async def test_a_name_that_leads_to_a_hostile_address_opens_none(counting: Counting, address: str) -> None:
    def lookup(host: str, port: int, family: int, kind: int) -> list[Any]:
        text, _, zone = address.partition("%")
        if ":" in text:
            return [(socket.AF_INET6, kind, 0, "", (text, port, 0, 1 if zone else 0))]
        return [(socket.AF_INET, kind, 0, "", (text, port))]

    async with Relay(HTTP, lookup=lookup) as relay:
        with connections() as opened:
            attempt = await relay.post(f"http://hooks.contoso.com:{counting.port}/")
    assert attempt.outcome is Outcome.BLOCKED
    assert (opened, counting.connections) == ([], 0)


def test_the_table_is_long_enough() -> None:
    assert len(set(LITERALS)) >= 60
    assert len(set(SPELLINGS)) >= 60


GOOD = [
    "http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}",
    "http://localhost:{port}/hook",
    "http://LocalHost.:{port}/hook",
    "http://hooks.contoso.com:{port}/a?b=c%20d&e=%2F",
    "http://HOOKS.Contoso.COM:{port}/",
    "http://hooks.contoso.com.:{port}/",
    "http://under_score.contoso.com:{port}/",
    "http://bücher.contoso.com:{port}/",
    "http://xn--bcher-kva.contoso.com:{port}/譲渡",
    "http://1and1.contoso.com:{port}/",
    "http://127.0.0.1.contoso.com:{port}/",
]


@pytest.mark.parametrize("template", GOOD)
async def test_a_good_url_passes(counting: Counting, template: str) -> None:
    policy = Policy.of(["127.0.0.0/8"], allow_http=True)
    async with Relay(policy) as relay:
        with connections() as opened:
            attempt = await relay.post(template.replace("{port}", str(counting.port)))
    assert attempt.outcome is Outcome.ACCEPTED
    assert (opened, counting.connections) == ([("127.0.0.1", counting.port)], 1)


# --- names that change ------------------------------------------------------------------------------


async def test_a_name_that_is_public_first_and_private_second_is_not_followed_there() -> None:
    # 127.0.0.2 stands for the public internet: the operator allows it and nothing else.
    policy = Policy.of(["127.0.0.2/32"], allow_http=True)
    async with (
        Counting("127.0.0.2") as public,
        Counting("127.0.0.1", public.port) as private,
        Dns(["127.0.0.2"], ["127.0.0.1"]) as dns,
        Relay(policy, lookup=dns.lookup) as relay,
    ):
        url = f"http://rebind.contoso.com:{public.port}/"
        assert (await relay.post(url)).outcome is Outcome.ACCEPTED
        relay.session.connector.clear_dns_cache()  # type: ignore[union-attr]
        with connections() as opened:
            second = await relay.post(url)
        assert dns.asked == ["rebind.contoso.com"] * 2
    assert second.outcome is Outcome.BLOCKED
    assert (opened, public.connections, private.connections) == ([], 1, 0)


@pytest.mark.parametrize("found", [["127.0.0.2", "127.0.0.1"], ["127.0.0.2", "::1"], ["::ffff:127.0.0.2"]])
async def test_a_name_with_one_private_address_among_public_ones_is_not_called(found: list[str]) -> None:
    policy = Policy.of(["127.0.0.2/32"], allow_http=True)
    async with Counting("127.0.0.2") as public, Dns(found) as dns, Relay(policy, lookup=dns.lookup) as relay:
        with connections() as opened:
            attempt = await relay.post(f"http://rebind.contoso.com:{public.port}/")
    assert attempt.outcome is Outcome.BLOCKED
    assert (opened, public.connections) == ([], 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:{port}/", "/own"])
async def test_a_redirect_leads_nowhere(counting: Counting, status: int, to: str) -> None:
    async with Partner() as partner, Relay(Policy.of(["127.0.0.0/8"], allow_http=True)) as relay:
        partner.always(Answer(status, headers={"Location": to.replace("{port}", str(counting.port))}))
        with connections() as opened:
            attempt = await relay.post(partner.url())
        assert attempt.outcome is Outcome.REDIRECTED
        assert (opened, len(partner.requests), counting.connections) == (
            [("127.0.0.1", partner.port)], 1, 0,
        )  # fmt: skip


# --- what an operator adds --------------------------------------------------------------------------


async def test_what_the_operator_denies_is_denied_although_it_is_allowed(counting: Counting) -> None:
    policy = Policy.of(["127.0.0.0/8"], allow_http=True, deny_networks=["127.0.0.1/32"])
    async with Relay(policy) as relay:
        assert (await relay.post(f"http://127.0.0.1:{counting.port}/")).outcome is Outcome.BLOCKED
        assert (await relay.post(f"http://a.contoso.com:{counting.port}/")).outcome is Outcome.BLOCKED
    assert counting.connections == 0


def test_this_machines_own_addresses_are_known_and_refused() -> None:
    assert "127.0.0.1" in own_addresses()
    public = Policy.of(own=["8.8.8.8", "2606:4700::1"])
    assert classify("8.8.8.8", public) is Verdict.OWN
    assert classify("2606:4700::1", public) is Verdict.OWN
    assert classify("8.8.4.4", public) is Verdict.PUBLIC
    assert classify("8.8.8.8", Policy.of(["8.8.8.0/24"], own=["8.8.8.8"])) is Verdict.ALLOWED


# --- what the environment says ----------------------------------------------------------------------


async def test_nothing_of_the_environment_is_used(
    counting: Counting, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login planted password planted\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{counting.port}")
    async with Partner() as partner, Relay(Policy.of(["127.0.0.0/8"], allow_http=True)) as relay:
        partner.always(Answer(200, headers={"Set-Cookie": "a=b; Path=/"}))
        for _ in range(2):
            assert (await relay.post(partner.url())).outcome is Outcome.ACCEPTED
        for request in partner.requests:
            assert not {"Authorization", "Cookie", "Proxy-Authorization"} & set(request.headers)
    assert counting.connections == 0


# --- the relay's own certificate --------------------------------------------------------------------


async def test_the_relay_shows_its_certificate_to_who_asks_for_one(tmp_path: Any) -> None:
    authority = trustme.CA()
    own = authority.issue_cert("relay.contoso.com")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    for part in own.cert_chain_pems:
        part.write_to_path(tmp_path / "chain.pem", append=True)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.contoso.com").configure_cert(serving)
    authority.configure_trust(serving)
    serving.verify_mode = ssl.CERT_REQUIRED
    policy = Policy.of(["127.0.0.0/8"])
    shows = tls_context(str(tmp_path / "chain.pem"), str(tmp_path / "key.pem"))
    # In TLS 1.3 a receiver may say that it misses a certificate after the handshake, and hang up.
    refused = {Outcome.TLS_FAILED, Outcome.CONNECTION_LOST}
    for context, outcome in ((shows, {Outcome.ACCEPTED}), (tls_context(), refused)):
        authority.configure_trust(context)
        async with Partner(tls=serving) as partner, Relay(policy, tls=context) as relay:
            attempt = await relay.post(partner.url(host="hooks.contoso.com"))
            assert attempt.outcome in outcome, attempt
            assert len(partner.requests) == (attempt.outcome is Outcome.ACCEPTED)
