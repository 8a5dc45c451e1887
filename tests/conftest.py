"""What do all tests share?

A database of their own, a real one, and an environment that sets nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from redis import Redis

from relay.embedded import EmbeddedValkey


@pytest.fixture(autouse=True, scope="session")
def _nothing_is_set() -> Iterator[None]:
    """What the person at the keyboard has set for their own relay is not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RELAY_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A server, as durable as in production; one a test process."""
    with EmbeddedValkey.start(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey_url(valkey: EmbeddedValkey) -> str:
    """The URL of that server, emptied: for a test whose processes must have it for themselves."""
    with Redis.from_url(valkey.url) as redis:
        redis.flushall()
    return valkey.url
