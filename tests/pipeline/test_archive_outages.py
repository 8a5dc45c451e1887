"""Is what left in the archive, when a server of the database dies while it leaves?

Everything is kept for a second only, so that all of it leaves under load: what was accepted and delivered must be
in the archive or still in the database, whatever the servers that come after remember of its leaving.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import ResponseError

from relay.embedded import EmbeddedValkey
from tests.fakes.servers import ClusterOf3, Group, Server
from tests.pipeline.caller import eventually
from tests.pipeline.events import life
from tests.pipeline.rig import Rig

_TRANSFERS = tuple(f"tr-{n}" for n in range(80))
_BEGIN_S = 8.0
_ALL_S = 90.0
_WRITTEN_S = 0.01
"""About as long as a batch takes to be on disk: what follows is its leaving."""
_JOB = "relay:{job:retention}"
_KINDS = ("BODIES", "FEED", "DELIVERED", "CANCELED", "TRANSFERS")


def settings(folder: Path) -> dict[str, str]:
    return {
        "RELAY_RETENTION__ARCHIVE": str(folder / "archive"),
        "RELAY_STORE__TIMEOUT_SECONDS": "3",
        "RELAY_WORKER__LEASE_SECONDS": "2",
        **{f"RELAY_RETENTION__{kind}__AGE": "1s" for kind in _KINDS},
    }


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    with Group(tmp_path) as made:
        await made.up()
        yield made


def archived(folder: Path) -> list[dict[str, Any]]:
    """Every line, as any program would read them."""
    files = sorted((folder / "archive").glob("*.jsonl.gz"))
    return [json.loads(line) for file in files for line in gzip.open(file, "rt")]


def whose(cluster: ClusterOf3, key: str) -> Server:
    """The server that has a key."""
    slot = key_slot(key.encode())
    for first, last, (_, port, *_), *_ in cluster.servers[0].ask("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return next(server for server in cluster.servers if server.port == port)
    raise AssertionError("nobody has it")


async def produce(rig: Rig, acknowledged: set[str], transfers: Sequence[str] = _TRANSFERS) -> None:
    """Lives of transfers, each begun at some moment of a few seconds."""
    chance = Random(2)

    async def one(transfer: str) -> None:
        await asyncio.sleep(chance.uniform(0, _BEGIN_S))
        for event in life(transfer):
            await rig.api.post_until_acknowledged(event)
            acknowledged.add(event["id"])

    await asyncio.gather(*(one(transfer) for transfer in transfers))


async def leaving(server: Server) -> None:
    """Waits until a batch has been begun and is not gone, so that what dies dies in the middle of it."""

    def look() -> None:
        deadline = time.monotonic() + _ALL_S
        with Redis(port=server.port, socket_timeout=5) as redis:
            while True:
                assert time.monotonic() < deadline, "nothing leaves"
                with suppress(ResponseError):  # a cluster of which a server is away
                    if b'"intent":{' in (redis.hget(_JOB, "state") or b""):
                        return

    await asyncio.to_thread(look)
    await asyncio.sleep(_WRITTEN_S)


async def all_of_it_left_by_the_archive(rig: Rig, folder: Path, acknowledged: set[str]) -> None:
    # Each by its name: what was accepted and is not planned yet is in no list.
    kept = set(_TRANSFERS)

    async def nothing_is_kept() -> bool | None:
        for transfer in sorted(kept):
            status, _ = await rig.api.raw("GET", f"/v1/transfers/{transfer}")
            if status != 404:
                return None
            kept.remove(transfer)
        found = await rig.api.raw("GET", "/v1/transfers?limit=1")
        return True if found[0] == 200 and not json.loads(found[1])["data"] else None

    await eventually(nothing_is_kept, "all of it leaves", _ALL_S)
    lines = archived(folder)
    events = {line["event"]["id"] for line in lines if line["kind"] == "event"}
    transfers = {line["transfer"] for line in lines if line["kind"] == "transfer"}
    delivered: dict[str, set[str]] = defaultdict(set)
    bodies: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        if line["kind"] == "delivery" and line["delivery"]["recipient"]["channel"] == "webhook":
            assert line["status"] == "delivered"
            delivered[line["delivery"]["event_id"]].add(line["delivery"]["id"])
        elif line["kind"] == "body" and line["body"] is not None:
            bodies[line["event"]].add(line["audience"])
    assert len(acknowledged) == 3 * len(_TRANSFERS)
    assert events == acknowledged
    assert transfers == set(_TRANSFERS)
    assert {event: len(ids) for event, ids in delivered.items()} == dict.fromkeys(acknowledged, 2)
    assert all({"source", "target"} <= bodies[event] for event in acknowledged)


async def test_what_leaves_while_a_primary_dies_is_in_the_archive(group: Group, tmp_path: Path) -> None:
    async with Rig(group, tmp_path, RELAY_STORE__WAIT_REPLICAS="1", **settings(tmp_path)) as rig:
        for name in ("contoso", "fabrikam"):
            await rig.api.register(name, rig.hooks)
        acknowledged: set[str] = set()
        posting = asyncio.ensure_future(produce(rig, acknowledged))
        primary = await group.primary()
        await leaving(primary)
        primary.signal(signal.SIGKILL)

        async def another() -> bool | None:
            return True if await group.primary() is not primary else None

        await eventually(another, "a replica is promoted")
        await posting
        await all_of_it_left_by_the_archive(rig, tmp_path, acknowledged)


async def test_what_leaves_while_servers_of_a_cluster_die_is_in_the_archive(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    with ClusterOf3(tmp_path / "cluster") as cluster:
        await asyncio.to_thread(cluster.up)
        async with Rig(cluster, tmp_path, RELAY_STORE__ARQ_URL=valkey.url, **settings(tmp_path)) as rig:
            for name in ("contoso", "fabrikam"):
                await rig.api.register(name, rig.hooks)
            acknowledged: set[str] = set()
            chance, keeper, posting = Random(3), whose(cluster, _JOB), []
            for n, server in enumerate(cluster.servers):
                # A part of them each time: however long it took to come back, something is still to leave.
                posting.append(asyncio.ensure_future(produce(rig, acknowledged, _TRANSFERS[n :: len(cluster.servers)])))
                await leaving(keeper)
                server.signal(signal.SIGKILL)
                await asyncio.sleep(chance.uniform(0.05, 0.4))
                server.start()
                await asyncio.sleep(chance.uniform(0.5, 1.5))
            await asyncio.gather(*posting)
            await all_of_it_left_by_the_archive(rig, tmp_path, acknowledged)
