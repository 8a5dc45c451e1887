"""What is lost when a primary dies and a replica takes its place? With `wait_replicas`, nothing."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.servers import Group
from tests.pipeline.caller import eventually
from tests.pipeline.events import life, step
from tests.pipeline.rig import Rig

_TRANSFERS = 60


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    with Group(tmp_path) as made:
        await made.up()
        yield made


@pytest.fixture
async def watched(group: Group, tmp_path: Path) -> AsyncIterator[Rig]:
    """A whole relay over a group, which answers 202 when one replica has the event too."""
    settings = {
        "RELAY_STORE__WAIT_REPLICAS": "1",
        "RELAY_STORE__TIMEOUT_SECONDS": "3",
        "RELAY_WORKER__LEASE_SECONDS": "2",
    }
    async with Rig(group, tmp_path, **settings) as made:
        yield made


async def test_no_acknowledged_event_is_lost_when_the_primary_dies_under_load(watched: Rig, group: Group) -> None:
    members = [await watched.api.register(name, watched.hooks) for name in ("contoso", "fabrikam")]
    acknowledged: set[str] = set()

    async def produce(transfer: int) -> None:
        for event in life(f"tr-{transfer}"):
            await watched.api.post_until_acknowledged(event)
            acknowledged.add(event["id"])

    async def strike() -> None:
        await watched.hooks.wait_for(_TRANSFERS)
        primary = await group.primary()
        primary.signal(signal.SIGKILL)

        async def another() -> bool | None:
            return True if await group.primary() is not primary else None

        await eventually(another, "a replica is promoted")

    before = {name: process.pid for name, process in watched.processes.items()}
    await asyncio.gather(strike(), *(produce(n) for n in range(_TRANSFERS)))
    assert len(acknowledged) == 3 * _TRANSFERS

    async def all_there() -> bool | None:
        return all(
            acknowledged <= {r.message_id for r in watched.hooks.requests if r.path == m.path} for m in members
        ) or None

    await eventually(all_there, "all that was acknowledged is delivered")
    for transfer in range(_TRANSFERS):
        seen = await watched.api.ask("GET", f"/v1/transfers/tr-{transfer}")
        assert [entry["sequence"] for entry in seen["timeline"]] == [1, 2, 3]
    assert {name: process.pid for name, process in watched.processes.items()} == before


async def test_without_enough_replicas_nothing_is_acknowledged_and_the_repeat_is_once_they_are_back(
    watched: Rig, group: Group
) -> None:
    primary = await group.primary()
    replicas = [server for server in group.data if server is not primary]
    event = step("tr-1", "created", 1)
    for replica in replicas:
        replica.signal(signal.SIGSTOP)
    for _ in range(2):  # the event, and its repeat while they are away
        status, text = await watched.api.raw("POST", "/v1/events", event)
        assert status == 503, text
    for replica in replicas:
        replica.signal(signal.SIGCONT)
    await group.following(await group.primary(), 2)

    async def answered() -> str | None:
        status, text = await watched.api.raw("POST", "/v1/events", event)
        return text if status == 200 else None

    assert '"duplicate"' in await eventually(answered, "the repeat is acknowledged")
    numbers = itertools.count(2)

    async def accepted() -> str | None:
        status, text = await watched.api.raw("POST", "/v1/events", step(f"tr-{next(numbers)}", "created", 1))
        assert status in (202, 503), text
        return text if status == 202 else None

    assert '"accepted"' in await eventually(accepted, "another is acknowledged")
