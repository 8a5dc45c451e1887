"""What do all tests share?

A database of their own, a real one, and an environment that sets nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from redis import Redis

from relay import dialer, services
from relay.config_mail import Mail
from relay.embedded import EmbeddedValkey
from relay.mail import send
from relay.mail.compose import Composer
from relay.mail.trust import trust_of
from tests.fakes.servers import ClusterOf3


@pytest.fixture(autouse=True, scope="session")
def _nothing_is_set() -> Iterator[None]:
    """What the person at the keyboard has set for their own relay is not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RELAY_")]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True, scope="session")
def _made_once() -> Iterator[None]:
    """Templates are compiled, and the system's authorities read, once a test process and not for each relay that is
    opened in it: both are the same each time, and changed by nobody."""
    composers: dict[tuple[str, Path], Composer] = {}

    def composer(config_mail: Mail, folder: Path) -> Composer:
        key = (config_mail.model_dump_json(exclude={"url", "transports"}), folder)  # which servers take them is not its business
        if key not in composers:
            composers[key] = Composer(config_mail, folder)
        return composers[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "Composer", composer)
        tls_context = cache(dialer.tls_context)
        patch.setattr(services, "tls_context", tls_context)
        patch.setattr(dialer, "tls_context", tls_context)
        patch.setattr(send, "trust_of", cache(trust_of))
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


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterOf3]:
    """Three servers that share the keys; one such cluster a test process."""
    with ClusterOf3(tmp_path_factory.mktemp("cluster")) as made:
        made.up()
        yield made
