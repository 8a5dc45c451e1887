"""Is who asks too often told to wait, and nobody else?"""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request

from relay.api.limiting import address_of
from relay.app import create_app
from relay.services import Services
from tests.calling import OPERATOR

Open = Callable[..., Awaitable[TestClient[web.Request, web.Application]]]


@pytest.fixture
async def opened(services: Services, aiohttp_client: Any) -> AsyncIterator[Open]:
    async def go(**limits: float) -> TestClient[web.Request, web.Application]:
        config = services.config
        changed = config.model_copy(
            update={
                "limits": config.limits.model_copy(update=limits),
                "server": config.server.model_copy(update={"trusted_proxies": ("127.0.0.0/8",)}),
            }
        )
        client: TestClient[web.Request, web.Application] = await aiohttp_client(
            create_app(dataclasses.replace(services, config=changed))
        )
        return client

    yield go


async def statuses(client: Any, times: int, path: str = "/v1/partners", *, method: str = "GET", **headers: str) -> list[int]:
    found = []
    for _ in range(times):
        async with client.request(method, path, headers=headers) as answer:
            found.append(answer.status)
            if answer.status == 429:
                assert int(answer.headers["Retry-After"]) >= 1
                assert (await answer.json(content_type="application/problem+json"))["status"] == 429
    return found


async def test_a_token_that_asks_too_often_waits_and_another_does_not(opened: Open) -> None:
    client = await opened(requests_per_second=0.01)
    mine = {"Authorization": f"Bearer {OPERATOR}"}
    assert await statuses(client, 3, **mine) == [200, 429, 429]
    assert await statuses(client, 2, Authorization="Bearer another") == [401, 429]
    assert await statuses(client, 5, "/healthz", **mine) == [200] * 5
    # Before anything is read: it is not even asked whether there is such a thing.
    assert await statuses(client, 1, "/v1/nowhere", **mine) == [429]


async def test_an_address_that_asks_too_often_waits_and_another_does_not(opened: Open) -> None:
    client = await opened(address_requests_per_second=0.01)
    first, second = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2, 127.0.0.2"}
    assert await statuses(client, 2, **first) == [401, 429]
    assert await statuses(client, 2, **second) == [401, 429]


async def test_a_token_is_the_same_however_its_header_is_written(opened: Open) -> None:
    client = await opened(requests_per_second=0.001)
    assert await statuses(client, 2, Authorization=f"Bearer {OPERATOR}") == [200, 429]
    for text in (f"bEARER {OPERATOR}", f"Bearer  {OPERATOR}", f"Bearer   \t{OPERATOR}", f"Bearer {OPERATOR} \xa0"):
        assert await statuses(client, 1, Authorization=text) == [429], text


async def test_a_subscriber_of_ipv6_is_one_address(opened: Open) -> None:
    client = await opened(failures_per_minute=2)
    said = []
    for host in range(3):
        said += await statuses(client, 1, Authorization="Bearer guessed", **{"X-Forwarded-For": f"2001:db8::{host}:1"})
    assert said == [401, 401, 429]
    assert await statuses(client, 1, Authorization="Bearer guessed", **{"X-Forwarded-For": "2001:db8:0:1::1"}) == [401]


async def test_who_fails_too_often_waits_and_who_does_not_fail_does_not(opened: Open) -> None:
    client = await opened(failures_per_minute=2)
    assert await statuses(client, 3, Authorization="Bearer guessed") == [401, 401, 429]
    assert await statuses(client, 2, Authorization=f"Bearer {OPERATOR}") == [200, 200]
    signed = {"webhook-signature": "v1,AAAA", "webhook-id": "m", "webhook-timestamp": "1"}
    assert await statuses(client, 1, "/v1/events", method="POST", **signed) == [429]
    assert await statuses(client, 1, **{"X-Forwarded-For": "192.0.2.9"}) == [401]


async def test_a_producer_above_its_rate_is_told_so_before_its_body_is_read(opened: Open) -> None:
    client = await opened(events_per_second=0.01)
    mine = {"Authorization": f"Bearer {OPERATOR}"}
    # What is not sound counts as well: it was read.
    assert await statuses(client, 1, "/v1/events", method="POST", **mine) == [422]

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with asyncio.timeout(30), client.post("/v1/events", data=slow(), headers=mine) as answer:
        assert answer.status == 429 and int(answer.headers["Retry-After"]) >= 1


SIGNED = {"webhook-signature": "v1,AAAA", "webhook-id": "m", "webhook-timestamp": "1"}


async def test_a_large_body_that_proves_nobody_costs_more(opened: Open) -> None:
    client = await opened(failures_per_minute=60)
    async with client.post("/v1/events", data=io.BytesIO(bytes(4 << 20)), headers=SIGNED) as answer:
        assert answer.status == 401
    assert await statuses(client, 1, "/v1/events", method="POST", **SIGNED) == [429]


async def test_what_is_kept_before_it_is_proven_is_bounded(opened: Open) -> None:
    client = await opened()
    stalled = []
    for _ in range(16):  # each announces 4 MiB, and sends next to nothing
        _, writer = await asyncio.open_connection(client.host, client.port)
        lines = [f"{name}: {value}" for name, value in {**SIGNED, "Host": "x", "Content-Length": str(4 << 20)}.items()]
        writer.write(("POST /v1/events HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n{").encode())
        stalled.append(writer)
    async with asyncio.timeout(30):
        while await statuses(client, 1, "/v1/events", method="POST", **SIGNED) != [429]:
            pass
    other = {**SIGNED, "X-Forwarded-For": "192.0.2.7"}
    assert await statuses(client, 1, "/v1/events", method="POST", **other) == [401]
    assert await statuses(client, 1, Authorization=f"Bearer {OPERATOR}") == [200]
    for writer in stalled:
        writer.close()
    async with asyncio.timeout(30):
        while await statuses(client, 1, "/v1/events", method="POST", **SIGNED) != [401]:
            pass


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.7, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.7", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["spoofed"], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["2001:db8:a:b:c:d:e:f"], "2001:db8:a:b::/64"),
        ("fe80::1%eth0", ["198.51.100.1"], "fe80::/64"),
    ],
)
def test_only_a_trusted_proxy_says_who_asks(peer: str, forwarded: list[str], expected: str) -> None:
    from multidict import CIMultiDict

    headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded])
    request = make_mocked_request("GET", "/", headers=headers).clone(remote=peer)
    assert address_of(request, [ip_network("10.0.0.0/8")]) == expected
