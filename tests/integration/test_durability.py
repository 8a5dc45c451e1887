"""Is a database that would lose what was acknowledged told from one that would not?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relay.embedded import EmbeddedValkey
from relay.errors import StoreError, StoreFull
from relay.store.client import Call, Client, Script
from relay.store.durability import (
    durability_problems,
    durability_unknown,
    replicas_short,
    room_notices,
    room_problems,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """One whose settings a test may change."""
    with EmbeddedValkey.start(tmp_path) as running:
        yield running


@pytest.fixture
async def client(server: EmbeddedValkey) -> AsyncIterator[Client]:
    made = Client.connect(server.url, prefix="t", connections=1)
    yield made
    await made.close()


@pytest.fixture
async def managed(server: EmbeddedValkey, client: Client) -> AsyncIterator[Client]:
    """The same server, as who may not ask for its settings."""
    await client.redis.execute_command("ACL", "SETUSER", "tenant", "on", ">hush", "~*", "+@all", "-config")
    made = Client.connect(f"redis://tenant:hush@127.0.0.1:{server.port}/0", prefix="t", connections=1)
    yield made
    await made.close()


async def test_a_database_that_loses_nothing_is_fine(client: Client) -> None:
    assert (await durability_problems(client), await durability_unknown(client)) == ([], [])


@pytest.mark.parametrize(
    ("name", "value"),
    [("appendonly", "no"), ("appendfsync", "everysec"), ("appendfsync", "no"), ("maxmemory-policy", "allkeys-lru")],
)
async def test_a_setting_that_would_lose_data_is_said_with_its_cure(client: Client, name: str, value: str) -> None:
    await client.redis.config_set(name, value)
    (problem,) = await durability_problems(client)
    assert f"{name} is {value!r}" in problem
    assert f"set `{name} " in problem


async def test_all_of_them_are_said_at_once(client: Client) -> None:
    for name, value in (("appendonly", "no"), ("appendfsync", "no"), ("maxmemory-policy", "volatile-ttl")):
        await client.redis.config_set(name, value)
    assert len(await durability_problems(client)) == 3


async def test_where_settings_are_hidden_what_can_be_told_is_told(client: Client, managed: Client) -> None:
    assert await durability_problems(managed) == []
    (unknown,) = await durability_unknown(managed)
    assert "appendfsync always" in unknown
    await client.redis.config_set("maxmemory-policy", "allkeys-lru")
    assert ["noeviction" in one for one in await durability_problems(managed)] == [True]
    await client.redis.config_set("appendonly", "no")
    assert len(await durability_problems(managed)) == 2


async def test_a_memory_limit_is_said_when_it_is_low_near_and_reached(client: Client, managed: Client) -> None:
    async def said(used_share: float) -> list[str]:
        used = int((await client.redis.info("memory"))["used_memory"])
        await client.redis.config_set("maxmemory", round(used / used_share) if used_share else 0)
        both = [[*await room_problems(one), *await room_notices(one)] for one in (client, managed)]
        assert [len(of) for of in both] in ([0, 0], [1, 1])
        return both[0]

    assert await said(0) == []
    (low,) = await said(0.01)
    assert "which is room for about" in low
    (near,) = await said(0.95)
    assert "% of maxmemory" in near and "raise it" in near
    (reached,) = await said(1.5)
    assert "is reached: every event is answered 503" in reached
    await client.redis.config_set("maxmemory", 1 << 40)
    assert [*await room_problems(client), *await room_notices(client)] == []


async def test_a_database_that_is_not_there_is_the_stores_error(unused_tcp_port: int) -> None:
    client = Client.connect(f"redis://127.0.0.1:{unused_tcp_port}/0", prefix="t", connections=1)
    for ask in (durability_problems, durability_unknown, room_problems, room_notices, lambda client: replicas_short(client, 1)):
        with pytest.raises(StoreError):
            await ask(client)
    await client.close()


async def test_fewer_replicas_than_an_acknowledgement_waits_for_are_told(client: Client) -> None:
    assert await replicas_short(client, 0) == []
    (told,) = await replicas_short(client, 2)
    assert "wait_replicas is 2 and 0 replicas are connected" in told


async def test_a_refusal_to_write_is_told_as_such_among_several_calls(client: Client) -> None:
    """What a server without room answers is the operator's to mend, however many calls went together."""
    claim = Script.read("claim")
    await client.run(claim, [("e:0", "known")])
    await client.redis.config_set("maxmemory", 1)
    for calls in ([Call(claim, [("e:1", "x")])], [Call(claim, [("e:1", "x")]), Call(claim, [("e:2", "y")])]):
        with pytest.raises(StoreFull):
            await client.batch(calls)
    await client.redis.config_set("maxmemory", 0)
