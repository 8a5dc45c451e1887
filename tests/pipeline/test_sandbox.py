"""Does a transfer that is played in the sandbox reach both partners and the customer as it should?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.sandbox.subscriptions.world import SOURCE
from tests.pipeline.sandboxed import World, sandboxed

DAY = 86_400
E3, PREMIUM, AZURE = ("Microsoft 365 E3", "OnlineServicesNCE", 25), ("Premium", "OnlineServicesNCE", 3), (
    "Azure", "AzureSubscription", 1,
)  # fmt: skip


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture
async def world(valkey_url: str, keys: Path) -> AsyncIterator[World]:
    async with sandboxed(valkey_url, keys) as made:
        yield made


async def begin(world: World, *bought: tuple[str, str, int]) -> tuple[str, str, list[Any]]:
    """A pending transfer: the customer, its id and what may be submitted."""
    customer, subscriptions = await world.customer(*(bought or (E3, PREMIUM)))
    target = await world.person("fabrikam")
    said = await target.create(customer, SOURCE, "OnlineServicesNCE")
    assert said.status == 201, said
    await world.work()
    return customer, said.body["id"], subscriptions


async def test_a_transfer_is_played_end_to_end(world: World) -> None:
    customer, id_, items = await begin(world)
    source = await world.person("kaiyo-cloud")
    assert (await source.accept(customer, id_, *items)).status == 200
    await world.work()
    await world.later(15 * 60)
    assert world.types("source", id_) == world.types("target", id_) == ["created", "updated", "completed"]
