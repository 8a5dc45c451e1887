"""Which database do these tests use?

A real Valkey, one a test process; each test has a key prefix of its own, so tests
share the server and see nothing of each other.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from relay.address_book import AddressBook
from relay.app import create_app
from relay.config import load
from relay.dialer import open_session
from relay.egress import Policy
from relay.embedded import EmbeddedValkey
from relay.preference_links import PreferenceLinks
from relay.services import Services, callback_key_of
from relay.store import Store
from relay.store.client import Client
from relay.store.registry import Registry
from relay.vault import Vault, generate_key
from relay.webhook import WebhookSender
from tests.calling import OPERATOR, Api, Receiver


@pytest.fixture(scope="session")
def database_url(valkey: EmbeddedValkey) -> str:
    """The URL of a running server."""
    return valkey.url


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[Client]:
    """A client of the server, with a prefix nobody else has."""
    made = Client.connect(database_url, prefix=f"t{secrets.token_hex(6)}", connections=8)
    yield made
    await made.close()


@pytest.fixture
def registry(client: Client) -> Registry:
    """An empty registry."""
    return Registry(client)


@pytest.fixture
async def services(client: Client) -> AsyncIterator[Services]:
    """Services over the test's own keys. E-mail is not sent here: nothing in these tests reaches it."""
    policy = Policy.of(["127.0.0.0/8"], allow_http=True)
    session = open_session(policy, connect_timeout_s=30.0, total_timeout_s=30.0, keepalive_s=5.0, limit=20)
    config = load(
        None,
        {
            "RELAY_OPERATOR_TOKEN": OPERATOR,
            "RELAY_SERVER__PUBLIC_URL": "http://relay.test",
            "RELAY_EGRESS__ALLOW_NETWORKS": '["127.0.0.0/8"]',
            "RELAY_EGRESS__ALLOW_HTTP": "true",
            "RELAY_LIMITS__ENDPOINTS_PER_PARTNER": "3",
        },
    )
    none: Any = None
    store, vault = Store.over(client), Vault([generate_key()])
    book = AddressBook(store.readers, vault)
    yield Services(
        config=config,
        store=store,
        vault=vault,
        sender=WebhookSender(session, policy=policy, timeout_s=30.0, user_agent="transfer-relay/test"),
        mailer=none,
        composer=none,
        callback_key=callback_key_of(config, store, vault),
        book=book,
        links=PreferenceLinks(book, "http://relay.test", 365),
        clock=lambda: time.time_ns() // 1_000_000,
        log=structlog.get_logger(),
    )
    await session.close()


@pytest.fixture
async def http(
    services: Services,
    aiohttp_client: Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]],
) -> TestClient[web.Request, web.Application]:
    """The application on a port of its own."""
    return await aiohttp_client(create_app(services))


@pytest.fixture
def operator(http: TestClient[web.Request, web.Application]) -> Api:
    """The API as the operator calls it."""
    return Api(http, OPERATOR)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A partner's endpoint."""
    made = Receiver()
    app = web.Application()
    app.router.add_post("/in", made.take)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/in"))
        yield made
