"""What do the pipeline tests run on?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.servers import ClusterOf3
from tests.pipeline.inside import Inside, inside
from tests.pipeline.rig import Rig

_ON_BOTH = {"test_lives", "test_retries", "test_deadlines", "test_retention"}
"""Modules whose tests run on a single server and on a cluster."""


@dataclass(frozen=True)
class Store:
    """Where the relay keeps its data, and what it must be told beside that."""

    url: str
    settings: dict[str, str]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What runs on both is asked for by the module."""
    if "store" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in _ON_BOTH:
        metafunc.parametrize("store", ["single", "cluster"], indirect=True)


@pytest.fixture
def store(request: pytest.FixtureRequest, valkey_url: str) -> Store:
    """An empty database. Beside a cluster arq has a server of its own."""
    if getattr(request, "param", "single") == "single":
        return Store(valkey_url, {})
    nodes: ClusterOf3 = request.getfixturevalue("cluster")
    nodes.empty()
    return Store(nodes.url, {"RELAY_STORE__ARQ_URL": valkey_url})


@pytest.fixture
async def rig(store: Store, tmp_path: Path) -> AsyncIterator[Rig]:
    """The whole relay in processes, over an empty database."""
    async with Rig(store, tmp_path, **store.settings) as made:
        yield made


@pytest.fixture
async def world(store: Store) -> AsyncIterator[Inside]:
    """The relay inside this process, over an empty database, with a clock that moves when told to."""
    async with inside(store.url, **store.settings) as made:
        yield made
