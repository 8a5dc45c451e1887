"""One attempt against servers that misbehave in every way known: always an Attempt, never an exception."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme
from aiohttp import ClientError, ClientSession

from relay import webhook
from relay.dialer import BlockedAddress, open_session
from relay.egress import Policy, Verdict
from relay.model import Attempt, Outcome
from relay.outcomes import MAX_RETRY_AFTER_S, parse_retry_after
from relay.signing import Ed25519Key, HmacKey, Key, new_secret, new_signing_key
from relay.store.stored import dump
from relay.webhook import WebhookSender, allowed_header
from tests.fakes.partner import Answer, Partner
from tests.leftover import frames_left

LOOPBACK = Policy.of(["127.0.0.0/8", "::1/128"], allow_http=True)
BODY = '{"type":"transfer.created","data":{"name":"譲渡"}}'.encode()
SECRET = new_secret()
KEYS: list[Key] = [HmacKey.parse(SECRET)]
SHORT_S = 2.0  # the whole attempt, where the partner never ends it

Lookup = Callable[..., list[Any]]


def _real_ms() -> int:
    return time.time_ns() // 1_000_000


class Relay:
    """A sender with its session, as the worker has them."""

    def __init__(self, session: ClientSession, sender: WebhookSender) -> None:
        self.session = session
        self.sender = sender

    async def post(self, url: str, *, now_ms: int | None = None, **changed: Any) -> Attempt:
        options: dict[str, Any] = {
            "number": 1,
            "message_id": "evt-1",
            "body": BODY,
            "keys": KEYS,
            "headers": {},
        }
        return await self.sender.attempt(
            url=url, now_ms=_real_ms() if now_ms is None else now_ms, **(options | changed)
        )


Open = Callable[..., Relay]


@pytest.fixture
async def relay_with() -> AsyncIterator[Open]:
    opened: list[ClientSession] = []

    def make(
        policy: Policy = LOOPBACK,
        *,
        timeout_s: float = 10,
        connect_timeout_s: float = 5,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup = socket.getaddrinfo,
        limit: int = 50,
    ) -> Relay:
        session = open_session(
            policy,
            connect_timeout_s=connect_timeout_s,
            total_timeout_s=10,
            keepalive_s=30,
            limit=limit,
            tls=tls,
            lookup=lookup,
        )
        opened.append(session)
        return Relay(
            session,
            WebhookSender(session, policy=policy, timeout_s=timeout_s, user_agent="transfer-relay/1.2.3"),
        )

    yield make
    for session in opened:
        await session.close()


@pytest.fixture
async def partner() -> AsyncIterator[Partner]:
    async with Partner(secret=SECRET) as running:
        yield running


@pytest.fixture
async def relay(relay_with: Open) -> Relay:
    return relay_with()


def answers(*addresses: str) -> Lookup:
    """A lookup that gives these addresses for any name."""

    def lookup(host: str, port: int, family: int, kind: int) -> list[Any]:
        return [
            (socket.AF_INET6, kind, 0, "", (a, port, 0, 0))
            if ":" in a
            else (socket.AF_INET, kind, 0, "", (a, port))
            for a in addresses
        ]

    return lookup


# --- what is sent -------------------------------------------------------------------------------------


async def test_the_request_is_the_contracts(relay: Relay, partner: Partner) -> None:
    attempt = await relay.post(
        partner.url("/a?b=c%20d"), number=3, message_id="evt-2f6c1", now_ms=(now := _real_ms())
    )
    request = await partner.next_request()
    assert (request.method, request.path, request.body) == ("POST", "/a", BODY)
    sent = {name.lower(): value for name, value in request.headers.items()}
    signature = sent.pop("webhook-signature")
    assert signature.startswith("v1,")
    assert sent == {
        "host": f"127.0.0.1:{partner.port}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "user-agent": "transfer-relay/1.2.3",
        "webhook-id": "evt-2f6c1",
        "webhook-timestamp": str(now // 1000),
    }
    assert attempt == Attempt(
        number=3,
        at_ms=now,
        duration_ms=attempt.duration_ms,
        outcome=Outcome.ACCEPTED,
        status=200,
        detail="The endpoint answered 200: it accepted the message.",
        request_headers={
            "content-type": "application/json",
            "user-agent": "transfer-relay/1.2.3",
            "accept-encoding": "identity",
            "webhook-id": "evt-2f6c1",
            "webhook-timestamp": str(now // 1000),
            "webhook-signature": signature,
        },
        answer_headers=attempt.answer_headers,
    )
    assert "Content-Length" in attempt.answer_headers


async def test_all_keys_sign_and_each_secret_verifies(relay: Relay) -> None:
    previous, (private, _) = new_secret(), new_signing_key()
    async with Partner() as partner:
        partner.expect(SECRET, "/new")
        partner.expect(previous, "/old")
        keys = [*KEYS, HmacKey.parse(previous), Ed25519Key.parse(private)]
        for path in ("/new", "/old"):
            assert (await relay.post(partner.url(path), keys=keys)).outcome is Outcome.ACCEPTED
        versions = [
            item.split(",")[0] for item in partner.requests[0].headers["webhook-signature"].split(" ")
        ]
        assert versions == ["v1", "v1", "v1a"]


async def test_a_wrong_secret_is_noticed_by_the_partner(relay: Relay) -> None:
    async with Partner(secret=new_secret()) as partner:
        assert (await relay.post(partner.url())).outcome is Outcome.REJECTED
        assert partner.problems
        partner.problems.clear()


async def test_own_headers_are_sent_and_never_shown(relay: Relay, partner: Partner) -> None:
    attempt = await relay.post(partner.url(), headers={"Authorization": "Bearer hunter2", "X-Team": "blue"})
    request = await partner.next_request()
    assert request.headers["Authorization"] == "Bearer hunter2"
    assert request.headers["X-Team"] == "blue"
    assert attempt.request_headers["Authorization"] == "•••"
    assert "hunter2" not in dump(attempt).decode()


async def test_two_attempts_share_one_connection(relay: Relay, partner: Partner) -> None:
    for number in (1, 2, 3):
        assert not (await relay.post(partner.url(), number=number)).second_try
    assert len({request.connection for request in partner.requests}) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"message_id": "a.b"},
        {"message_id": "a\r\nX: y"},
        {"keys": []},
        {"headers": {"Host": "x"}},
        {"headers": {"X": "a\r\nb"}},
    ],
    ids=["dotted id", "id with a line break", "no keys", "host header", "line break in a header"],
)
async def test_what_cannot_be_sent_ends_as_unsendable(
    relay: Relay, partner: Partner, changed: dict[str, Any]
) -> None:
    attempt = await relay.post(partner.url(), **changed)
    assert attempt.outcome is Outcome.UNSENDABLE
    assert attempt.detail.endswith(".")
    assert partner.requests == []


# --- what the status says ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.ACCEPTED), (201, Outcome.ACCEPTED), (202, Outcome.ACCEPTED), (204,
        Outcome.ACCEPTED), (299, Outcome.ACCEPTED),
        (300, Outcome.REDIRECTED), (304, Outcome.REDIRECTED),
        (400, Outcome.REJECTED), (401, Outcome.REJECTED), (404, Outcome.REJECTED), (408,
        Outcome.REJECTED), (409, Outcome.REJECTED),
        (410, Outcome.GONE), (429, Outcome.THROTTLED), (503, Outcome.UNAVAILABLE),
        (500, Outcome.SERVER_ERROR), (502, Outcome.SERVER_ERROR), (504, Outcome.SERVER_ERROR), (599,
        Outcome.SERVER_ERROR),
        (600, Outcome.PROTOCOL_ERROR), (999, Outcome.PROTOCOL_ERROR),
    ],
)  # fmt: skip
async def test_each_status_has_its_outcome(
    relay: Relay, partner: Partner, status: int, outcome: Outcome
) -> None:
    partner.answers(Answer(status))
    attempt = await relay.post(partner.url())
    assert (attempt.status, attempt.outcome) == (status, outcome)
    assert str(status) in attempt.detail


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(relay: Relay, partner: Partner, status: int) -> None:
    partner.answers(Answer(status, headers={"Location": partner.url("/elsewhere")}))
    attempt = await relay.post(partner.url())
    assert (attempt.status, attempt.outcome) == (status, Outcome.REDIRECTED)
    assert attempt.answer_headers["Location"] == partner.url("/elsewhere")
    assert [request.path for request in partner.requests] == ["/hook"]


@pytest.mark.parametrize("status", [200, 429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120), (" 0 ", 0), ("9" * 30, MAX_RETRY_AFTER_S), ("-5", None), ("1.5", None), ("soon",
        None), ("", None),
        ("9" * 300, None), ("٣", None),
        ("Sat, 21 Nov 2026 05:00:30 GMT", 30), ("Saturday, 21-Nov-26 05:01:00 GMT", 60),
        ("Sat, 21 Nov 2026 04:59:59 GMT", None), ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_S),
        ("Sat, 99 Nov 2026", None),
    ],
)  # fmt: skip
async def test_retry_after_in_both_forms(
    relay_with: Open, status: int, value: str, seconds: int | None
) -> None:
    async with Partner(secret=SECRET, real_time=False) as partner:
        answer = f"HTTP/1.1 {status} X\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
        partner.answers(Answer(raw=answer.encode()))
        attempt = await relay_with().post(partner.url(), now_ms=1_795_237_200_000)
        assert (attempt.status, attempt.retry_after_s) == (status, seconds)


def test_a_wait_until_a_date_is_rounded_up() -> None:
    assert parse_retry_after("Sat, 21 Nov 2026 05:00:30 GMT", 1_795_237_200_001) == 30
    assert parse_retry_after("Sat, 21 Nov 2026 05:00:30 GMT", 1_795_237_199_999) == 31


# --- what comes back -----------------------------------------------------------------------------------


async def test_the_answer_is_kept_as_text(relay: Relay, partner: Partner) -> None:
    partner.answers(Answer(400, body="署名が違います\x00".encode() + b"\xff", headers={"X-Why": "signature"}))
    attempt = await relay.post(partner.url())
    assert attempt.answer == "署名が違います\ufffd"
    assert attempt.answer_headers["X-Why"] == "signature"


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, 4097, 3_000_000])
async def test_at_most_4_kib_of_the_answer_are_read(relay: Relay, partner: Partner, length: int) -> None:
    partner.answers(Answer(500, body=b"x" * length))
    attempt = await relay.post(partner.url())
    assert attempt.answer == "x" * min(length, 4096)
    assert (await relay.post(partner.url())).outcome is Outcome.ACCEPTED


async def test_an_endless_answer_is_cut_and_the_status_counts(relay: Relay, partner: Partner) -> None:
    partner.answers(Answer(200, endless=True), Answer(500, endless=True))
    first, second = await relay.post(partner.url()), await relay.post(partner.url())
    assert (first.outcome, len(first.answer)) == (Outcome.ACCEPTED, 4096)
    assert (second.outcome, len(second.answer)) == (Outcome.SERVER_ERROR, 4096)


async def test_a_dripping_answer_ends_at_the_deadline_and_the_status_counts(
    relay_with: Open, partner: Partner
) -> None:
    partner.answers(Answer(200, body=b"thank", drip=True))
    attempt = await relay_with(timeout_s=SHORT_S).post(partner.url())
    assert attempt.outcome is Outcome.ACCEPTED
    assert attempt.answer.startswith("t")


async def test_a_body_cut_short_after_the_status_changes_nothing(relay: Relay, partner: Partner) -> None:
    partner.answers(Answer(200, body=b"half", broken_body=True))
    attempt = await relay.post(partner.url())
    assert (attempt.outcome, attempt.answer, attempt.second_try) == (Outcome.ACCEPTED, "half", False)


async def test_a_gzip_bomb_is_not_unpacked(relay: Relay, partner: Partner) -> None:
    partner.answers(Answer.gzip_bomb())
    attempt = await relay.post(partner.url())
    assert attempt.outcome is Outcome.ACCEPTED
    assert attempt.answer.startswith("\x1f\ufffd\x08")  # gzip's own first bytes, as they came


async def test_answer_headers_are_capped_in_number_and_length(relay: Relay, partner: Partner) -> None:
    partner.answers(Answer(200, headers={f"X-{n}": "v" * 2000 for n in range(60)}))
    kept = (await relay.post(partner.url())).answer_headers
    assert len(kept) == 32
    assert max(map(len, kept.values())) == 512


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, Outcome.ACCEPTED), (413, Outcome.REJECTED), (503, Outcome.UNAVAILABLE)]
)
@pytest.mark.parametrize("size", [100, 200_000])
async def test_an_early_answer_counts_although_the_request_was_not_read(
    relay: Relay, status: int, outcome: Outcome, size: int
) -> None:
    """The server answers as soon as it has the request line, reads no more, and closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.write_eof()
        await reader.read()  # until the other side closes: a reset would take the answer back
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        attempt = await relay.post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", body=b"x" * size)
    assert (attempt.outcome, attempt.status, attempt.second_try) == (outcome, status, False)


async def test_cookies_do_not_come_back(relay: Relay, partner: Partner) -> None:
    partner.answers(Answer(200, headers={"Set-Cookie": "a=b"}))
    await relay.post(partner.url())
    await relay.post(partner.url())
    assert "Cookie" not in partner.requests[1].headers


# --- what does not come back ---------------------------------------------------------------------------


async def test_headers_that_never_come_time_out(relay_with: Open, partner: Partner) -> None:
    partner.answers(Answer(hang=True))
    attempt = await relay_with(timeout_s=SHORT_S).post(partner.url())
    assert (attempt.outcome, attempt.status) == (Outcome.TIMED_OUT, None)
    assert attempt.duration_ms >= SHORT_S * 1000 - 1
    assert attempt.request_headers["webhook-id"] == "evt-1"


async def test_a_flood_of_interim_answers_is_no_answer(relay: Relay, partner: Partner) -> None:
    partner.answers(Answer(flood=b"HTTP/1.1 102 Processing\r\n\r\n"))
    attempt = await relay.post(partner.url())
    assert (attempt.outcome, attempt.status) == (Outcome.PROTOCOL_ERROR, None)


@pytest.mark.parametrize(
    "after", [b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"]
)
async def test_a_body_that_is_not_http_changes_nothing_after_the_status(
    relay: Relay, partner: Partner, after: bytes
) -> None:
    partner.answers(Answer(raw=b"HTTP/1.1 200 OK\r\n" + after))
    attempt = await relay.post(partner.url())
    assert attempt.outcome in (Outcome.ACCEPTED, Outcome.PROTOCOL_ERROR)


async def test_no_bytes_make_an_attempt_raise(relay_with: Open, partner: Partner) -> None:
    """Garbage that begins like an answer, several hundred kinds; the seed is the promise's own."""
    relay, chance = relay_with(timeout_s=2), random.Random(20261121)
    alphabet = [
        b"\r\n",
        b"HTTP/1.1 ",
        b"200",
        b" OK",
        b": ",
        b"Content-Length",
        b"Transfer-Encoding",
        b"chunked",
        b"0",
        b"5",
    ]
    alphabet += [
        b"\x00",
        b"\xff",
        b"Set-Cookie",
        b"=;",
        b"Connection",
        b"close",
        b"upgrade",
        b"Retry-After",
        b"-1",
        b"101",
    ]
    for _ in range(300):
        raw = b"HTTP/1.1 200 OK\r\n" * chance.randint(0, 1) + b"".join(
            chance.choices(alphabet, k=chance.randint(0, 25))
        )
        partner.answers(Answer(raw=raw))
        assert isinstance(await relay.post(partner.url()), Attempt), raw


async def test_headers_that_drip_time_out(relay_with: Open, partner: Partner) -> None:
    partner.answers(Answer(flood=b"H"))
    attempt = await relay_with(timeout_s=SHORT_S).post(partner.url())
    assert attempt.outcome in (Outcome.TIMED_OUT, Outcome.PROTOCOL_ERROR)
    assert attempt.status is None


@pytest.mark.parametrize(
    "raw",
    [b"220 mail.contoso.example ESMTP\r\n", b"\x15\x03\x01\x00\x02\x02\x16", b"HTTP/1.1 abc OK\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
     b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n"],
    ids=["smtp", "tls alert", "status in letters", "negative length", "header without end"],
)  # fmt: skip
async def test_what_is_not_http_is_a_protocol_error(relay: Relay, partner: Partner, raw: bytes) -> None:
    partner.answers(Answer(raw=raw))
    attempt = await relay.post(partner.url())
    assert (attempt.outcome, attempt.status) == (Outcome.PROTOCOL_ERROR, None)


@pytest.mark.parametrize(
    "fault", [Answer(drop=True), Answer(raw=b""), Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Le")]
)
async def test_a_connection_closed_before_the_status_is_lost(
    relay: Relay, partner: Partner, fault: Answer
) -> None:
    partner.answers(fault)
    attempt = await relay.post(partner.url())
    assert (attempt.outcome, attempt.status, attempt.second_try) == (Outcome.CONNECTION_LOST, None, False)
    assert len(partner.requests) == 1


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine too a connection that was dead is found so at once."""
    monkeypatch.setattr(webhook, "SECOND_TRY_WITHIN_S", 30.0)


@pytest.mark.usefixtures("at_once")
async def test_a_dead_kept_alive_connection_is_replaced_once_with_the_same_bytes(
    relay: Relay, partner: Partner
) -> None:
    await relay.post(partner.url())
    partner.answers(Answer(drop=True))
    attempt = await relay.post(partner.url(), message_id="evt-2")
    assert (attempt.outcome, attempt.second_try) == (Outcome.ACCEPTED, True)
    _, dropped, answered = partner.requests
    assert dropped.connection != answered.connection
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        assert dropped.headers[name] == answered.headers[name]
    assert dropped.body == answered.body


@pytest.mark.usefixtures("at_once")
async def test_the_second_try_is_the_last(relay: Relay, partner: Partner) -> None:
    await relay.post(partner.url())
    partner.always(Answer(drop=True))
    attempt = await relay.post(partner.url())
    assert (attempt.outcome, attempt.second_try) == (Outcome.CONNECTION_LOST, True)
    assert len(partner.requests) == 3


async def test_no_second_try_when_the_partner_took_its_time(relay: Relay, partner: Partner) -> None:
    await relay.post(partner.url())
    partner.answers(Answer(drop=True, delay_s=1.1))
    attempt = await relay.post(partner.url())
    assert (attempt.outcome, attempt.second_try) == (Outcome.CONNECTION_LOST, False)
    assert len(partner.requests) == 2


async def test_concurrent_attempts_do_not_mistake_each_others_connections(
    relay: Relay, partner: Partner
) -> None:
    partner.always(Answer(drop=True))
    attempts = await asyncio.gather(*(relay.post(partner.url(), message_id=f"evt-{n}") for n in range(20)))
    assert {(attempt.outcome, attempt.second_try) for attempt in attempts} == {
        (Outcome.CONNECTION_LOST, False)
    }
    assert len(partner.requests) == 20


def _closed_port() -> socket.socket:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else gets it
    return taken


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_closed_port_is_refused(relay: Relay, host: str) -> None:
    with _closed_port() as taken:
        attempt = await relay.post(f"http://{host}:{taken.getsockname()[1]}/hook")
    assert attempt.outcome is Outcome.CONNECTION_REFUSED
    assert "127.0.0.1" not in attempt.detail


async def test_a_host_that_never_accepts_times_out_connecting(relay_with: Open) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with socket.socket() as first, socket.socket() as second:
            for filler in (
                first,
                second,
            ):  # fills the queue of connections to accept; the next SYN is dropped
                filler.setblocking(False)
                filler.connect_ex(address)
            attempt = await relay_with(connect_timeout_s=SHORT_S).post(f"http://127.0.0.1:{address[1]}/hook")
    assert attempt.outcome is Outcome.TIMED_OUT


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_NONAME, "x"), socket.gaierror(socket.EAI_AGAIN, "x"), None]
)
async def test_a_name_that_is_not_found_is_dns(relay_with: Open, error: OSError | None) -> None:
    def lookup(*_: object) -> list[Any]:
        if error is not None:
            raise error
        return []

    attempt = await relay_with(lookup=lookup).post("http://hooks.contoso.com/")
    assert (attempt.outcome, attempt.status) == (Outcome.DNS_FAILED, None)


async def test_a_lookup_that_hangs_is_ended_by_the_deadline(relay_with: Open) -> None:
    released = threading.Event()

    def lookup(*_: object) -> list[Any]:
        released.wait(30)
        return []

    try:
        attempt = await relay_with(lookup=lookup, timeout_s=SHORT_S).post("http://hooks.contoso.com/")
    finally:
        released.set()
    assert attempt.outcome is Outcome.TIMED_OUT


async def test_an_attempt_that_is_cancelled_is_cancelled(relay: Relay, partner: Partner) -> None:
    partner.answers(Answer(hang=True))
    task = asyncio.create_task(relay.post(partner.url()))
    await partner.next_request()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_closed_session_is_our_own_fault(relay: Relay, partner: Partner) -> None:
    await relay.session.close()
    with pytest.raises(RuntimeError):
        await relay.post(partner.url())


# --- what may not be dialled ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9999/", "https://localhost/", "https://169.254.169.254/", "https://[::1]/",
     "https://10.0.0.1/",
     "https://u:p@contoso.com/", "not a url"],
)  # fmt: skip
async def test_a_url_that_egress_refuses_is_blocked_before_anything_is_looked_up(
    relay_with: Open, url: str
) -> None:
    def lookup(*_: object) -> list[Any]:
        raise AssertionError("looked up")

    attempt = await relay_with(Policy(), lookup=lookup).post(url)
    assert (attempt.outcome, attempt.status, attempt.request_headers) == (Outcome.BLOCKED, None, {})
    assert attempt.detail.endswith(".")


@pytest.mark.parametrize(
    "found",
    [["127.0.0.1"], ["169.254.169.254", "10.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"]],
)
async def test_a_name_is_blocked_when_any_of_its_addresses_is(
    relay_with: Open, partner: Partner, found: list[str]
) -> None:
    relay = relay_with(Policy(allow_http=True), lookup=answers(*found))
    attempt = await relay.post(f"http://hooks.contoso.com:{partner.port}/hook")
    assert (attempt.outcome, attempt.answer, attempt.request_headers) == (Outcome.BLOCKED, "", {})
    assert not any(address in attempt.detail for address in found)
    assert partner.requests == []


async def test_one_bad_address_refuses_a_name_that_also_has_a_good_one(
    relay_with: Open, partner: Partner
) -> None:
    relay = relay_with(lookup=answers("127.0.0.1", "10.0.0.1"))
    attempt = await relay.post(f"http://hooks.contoso.com:{partner.port}/hook")
    assert attempt.outcome is Outcome.BLOCKED
    assert partner.requests == []


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_the_socket_itself_is_guarded(relay_with: Open, partner: Partner, address: str) -> None:
    # No URL check in the way and literals reach no resolver: only the socket factory is left.
    session = relay_with(Policy(allow_http=True)).session
    with pytest.raises(ClientError) as refused:
        await session.post(f"http://{address}:{partner.port}/hook", data=b"")
    found: BaseException | None = refused.value
    while found is not None and not isinstance(found, BlockedAddress):
        found = found.__cause__ or found.__context__
    assert isinstance(found, BlockedAddress)
    assert found.verdict in (Verdict.LOOPBACK, Verdict.EMBEDS_IPV4)
    assert "127.0.0.1" not in str(found)
    assert partner.requests == []


async def test_a_name_whose_answer_changes_is_judged_by_the_answer_dialled(
    relay_with: Open, partner: Partner
) -> None:
    policy = Policy.of(["127.0.0.1/32"], allow_http=True)
    current = ["127.0.0.1"]

    def lookup(host: str, port: int, family: int, kind: int) -> list[Any]:
        return answers(*current)(host, port, family, kind)

    relay = relay_with(policy, lookup=lookup)
    assert (await relay.post(f"http://hooks.contoso.com:{partner.port}/hook")).outcome is Outcome.ACCEPTED
    current[:] = ["127.0.0.2"]
    assert (await relay.post(f"http://other.contoso.com:{partner.port}/hook")).outcome is Outcome.BLOCKED


async def test_the_environments_proxy_is_not_used(
    relay: Relay, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert (await relay.post(partner.url())).outcome is Outcome.ACCEPTED


# --- TLS -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_valid_certificate_is_accepted(relay_with: Open, authority: trustme.CA) -> None:
    relay = relay_with(tls=_trusting(authority), lookup=answers("127.0.0.1"))
    async with Partner(secret=SECRET, tls=_serving(authority.issue_cert("hooks.contoso.com"))) as partner:
        assert (await relay.post(partner.url(host="hooks.contoso.com"))).outcome is Outcome.ACCEPTED


def _expired(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("hooks.contoso.com", not_after=datetime(2020, 1, 1, tzinfo=UTC))


BAD_CERTIFICATES: dict[str, tuple[Callable[[trustme.CA], trustme.LeafCert], str]] = {
    "expired": (_expired, "expired"),
    "wrong name": (lambda authority: authority.issue_cert("www.fabrikam.com"), "another host name"),
    "unknown authority": (lambda _: trustme.CA().issue_cert("hooks.contoso.com"), "issuer"),
}


@pytest.mark.parametrize(("issue", "says"), BAD_CERTIFICATES.values(), ids=BAD_CERTIFICATES)
async def test_a_bad_certificate_is_told_in_words(
    relay_with: Open, authority: trustme.CA, issue: Callable[[trustme.CA], trustme.LeafCert], says: str
) -> None:
    relay = relay_with(tls=_trusting(authority), lookup=answers("127.0.0.1"))
    async with Partner(secret=SECRET, tls=_serving(issue(authority))) as partner:
        attempt = await relay.post(partner.url(host="hooks.contoso.com"))
        assert attempt.outcome is Outcome.TLS_FAILED
        assert says in attempt.detail
        assert partner.requests == []


async def test_a_self_signed_certificate_fails_tls(relay_with: Open, authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = trustme.CA()
    with own.private_key_pem.tempfile() as key, own.cert_pem.tempfile() as certificate:
        context.load_cert_chain(certificate, key)
    relay = relay_with(tls=_trusting(authority), lookup=answers("127.0.0.1"))
    async with Partner(secret=SECRET, tls=context) as partner:
        attempt = await relay.post(partner.url(host="hooks.contoso.com"))
        assert attempt.outcome is Outcome.TLS_FAILED
        assert "self-signed" in attempt.detail


async def test_plain_http_behind_an_https_url_fails_tls(relay: Relay, partner: Partner) -> None:
    attempt = await relay.post(partner.url().replace("http://", "https://"))
    assert attempt.outcome is Outcome.TLS_FAILED


async def test_a_handshake_that_is_cut_is_a_lost_connection(relay: Relay) -> None:
    def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server:
        attempt = await relay.post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert attempt.outcome in (Outcome.CONNECTION_LOST, Outcome.TLS_FAILED)


# --- a tenant's own headers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["Host", "content-type", "Content-Length", "Transfer-Encoding", "Connection", "TE", "Trailer",
     "Upgrade", "Expect",
     "Proxy-Authorization", "Cookie", "User-Agent", "webhook-id", "WEBHOOK-SIGNATURE", "traceparent",
     "Accept-Encoding",
     "", "a b", "a:b", "a\r\nb", "é", "x" * 129],
)  # fmt: skip
def test_these_headers_are_not_a_tenants(name: str) -> None:
    assert allowed_header(name, "v") is not None


@pytest.mark.parametrize("value", ["", " a", "a ", "a\r\nb", "a\x00", "\x7f", "秘密", "v" * 4097])
def test_these_values_are_refused_and_not_repeated(value: str) -> None:
    problem = allowed_header("X-Token", value)
    assert problem is not None
    assert len(value) < 3 or value not in problem


@pytest.mark.parametrize(
    ("name", "value"), [("Authorization", "Bearer a.b-c"), ("X-Api-Key", "k"), ("x_team", "a b\tc")]
)
def test_other_headers_are_a_tenants(name: str, value: str) -> None:
    assert allowed_header(name, value) is None


async def test_what_failed_leaves_nothing_to_the_collector_of_cycles(relay: Relay) -> None:
    with frames_left() as left, _closed_port() as taken:
        await relay.post(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert "WebhookSender.attempt" not in left
