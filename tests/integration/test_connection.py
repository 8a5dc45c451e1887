"""Is a connection to the database that ends at an odd moment an end of a connection, and nothing else?"""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError

from relay.embedded import EmbeddedValkey
from relay.places import Cluster, Login
from relay.store.address import PlainConnection, TlsConnection, pool_of
from relay.store.client import Copies
from relay.store.cluster import ClusterClient


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
