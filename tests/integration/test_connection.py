"""Is a connection to the database that ends at an odd moment an end of a connection, and nothing else?"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
import uvloop
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError

from relay.embedded import EmbeddedValkey
from relay.errors import StoreUnavailable
from relay.places import Cluster, Login
from relay.store.address import PlainConnection, TlsConnection, pool_of
from relay.store.client import Client, Copies, GroupCommit, Script
from relay.store.cluster import ClusterClient
from tests.leftover import frames_left


def test_a_connection_that_is_closed_while_it_is_written_to_is_lost(valkey: EmbeddedValkey) -> None:
    """As it is in the processes: with uvloop, which says so by an exception of its own."""

    async def go() -> None:
        pool = pool_of(valkey.url, BlockingConnectionPool, timeout_s=5)
        connection = pool.make_connection()
        await connection.connect()
        connection._writer.transport.abort()
        await asyncio.sleep(0)
        with pytest.raises(RedisConnectionError):
            await connection.send_command("PING", check_health=False)
        await pool.disconnect()

    uvloop.run(go())


@pytest.mark.parametrize(("tls", "kind"), [(False, PlainConnection), (True, TlsConnection)])
async def test_connections_to_a_cluster_are_such_connections(tls: bool, kind: type) -> None:
    client = ClusterClient(
        Cluster((("127.0.0.1", 1),), Login(None, None), tls), prefix="t", connections=1, timeout_s=1, copies=Copies()
    )
    for routed in (client._map, client._routed):
        assert routed.connection_kwargs["connection_class"] is kind
        assert {node.connection_class for node in routed.nodes_manager.startup_nodes.values()} == {kind}
    await client.close()


async def test_who_waits_behind_a_call_without_an_answer_waits_no_longer_than_it(tmp_path: Path) -> None:
    """A database that is frozen: a hundred calls of three seconds each would be minutes for the last."""
    with EmbeddedValkey.start(tmp_path) as server:
        client = Client.connect(server.url, prefix="t", connections=2, timeout_s=3)
        claims = GroupCommit(client, Script.read("claim"), most=5)
        assert await claims(("e:0", "first")) == b"first"
        os.kill(server.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(40):
                told = await asyncio.gather(*(claims((f"e:{n}", "x")) for n in range(500)), return_exceptions=True)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert {type(one) for one in told} == {StoreUnavailable}
        assert await claims(("e:0", "second")) == b"first"
        await client.close()


async def test_a_call_that_failed_leaves_nothing_to_the_collector_of_cycles() -> None:
    client = Client.connect("redis://127.0.0.1:1", prefix="x", connections=1, timeout_s=1)
    claims = GroupCommit(client, Script.read("claim"))
    with frames_left() as left:
        for one in [asyncio.ensure_future(claims((f"e:{n}", "a body"))) for n in range(3)]:
            with pytest.raises(StoreUnavailable):
                await one
        del one
        await asyncio.sleep(0)
    await client.close()
    assert "GroupCommit._flush" not in left
