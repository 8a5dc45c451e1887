"""Does a cluster answer as one server does, also while its slots and servers move?"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from redis.crc import key_slot

from relay.errors import StoreUnavailable
from relay.places import parse_cluster
from relay.store.client import Call, Copies, Script
from relay.store.cluster import ClusterClient
from relay.store.durability import durability_problems, durability_unknown
from relay.store.group_commit import GroupCommit
from relay.store.hints import Hint, Hints
from relay.store.transfers import Transfers
from tests.fakes.servers import ClusterOf3, Server
from tests.pipeline.caller import eventually

CLAIM = Script.read("claim")


ITS_OWN = pytest.mark.parametrize("servers", ["its own"], indirect=True)


@pytest.fixture
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClusterOf3]:
    """An empty cluster, which nobody must harm; with ITS_OWN one that the test may."""
    if not hasattr(request, "param"):
        shared: ClusterOf3 = request.getfixturevalue("cluster")
        shared.empty()
        yield shared
        return
    with ClusterOf3(tmp_path) as made:
        made.up()
        yield made


@pytest.fixture
async def client(servers: ClusterOf3) -> AsyncIterator[ClusterClient]:
    cluster = parse_cluster(servers.url)
    assert cluster is not None
    made = ClusterClient(cluster, prefix="t", connections=4, timeout_s=3, copies=Copies())
    yield made
    await made.close()


async def test_replies_come_in_the_order_of_the_operations(client: ClusterClient) -> None:
    ops = [(f"e:{n}", f"body-{n}") for n in range(200)]
    replies = await client.batch([Call(CLAIM, ops), Call(CLAIM, ops[::-1])])
    expected = [f"body-{n}".encode() for n in range(200)]
    assert replies == [expected, expected[::-1]]


@ITS_OWN
async def test_every_server_is_asked_whether_it_would_lose_something(client: ClusterClient, servers: ClusterOf3) -> None:
    assert (await durability_problems(client), await durability_unknown(client)) == ([], [])
    servers.servers[2].ask("CONFIG", "SET", "appendfsync", "everysec")
    (problem,) = await durability_problems(client)
    assert "appendfsync always" in problem


@ITS_OWN
async def test_a_slot_that_has_moved_is_found(client: ClusterClient, servers: ClusterOf3) -> None:
    key = client.key("e:1")
    slot = key_slot(key.encode())
    assert await client.run(CLAIM, [("e:1", "first")]) == [b"first"]
    was = next(server for server in servers.servers if server.ask("CLUSTER", "COUNTKEYSINSLOT", slot))
    other = next(server for server in servers.servers if server is not was)
    was_id, other_id = was.ask("CLUSTER", "MYID"), other.ask("CLUSTER", "MYID")
    other.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", was_id)
    was.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", other_id)
    was.ask("MIGRATE", "127.0.0.1", other.port, key, 0, 1000)
    for server in (other, was):
        server.ask("CLUSTER", "SETSLOT", slot, "NODE", other_id)
    assert await client.run(CLAIM, [("e:1", "second")]) == [b"first"]
    assert await client.ask("GET", key) == b"first"


async def test_scripts_a_server_forgot_are_sent_again(client: ClusterClient, servers: ClusterOf3) -> None:
    ops = [(f"e:{n}", "x") for n in range(20)]
    await client.run(CLAIM, ops)
    servers.servers[1].ask("SCRIPT", "FLUSH")
    assert await client.run(CLAIM, ops) == [b"x"] * 20


@ITS_OWN
async def test_a_server_that_is_gone_is_told_and_found_again(client: ClusterClient, servers: ClusterOf3) -> None:
    ops = [(f"e:{n}", "x") for n in range(20)]
    await client.run(CLAIM, ops)
    gone = servers.servers[1]
    gone.signal(signal.SIGKILL)
    with pytest.raises(StoreUnavailable):
        await client.run(CLAIM, ops)
    gone.start()
    for _ in range(100):
        try:
            replies = await client.run(CLAIM, ops)
        except StoreUnavailable:
            continue
        assert replies == [b"x"] * 20
        return
    raise AssertionError("it is not found again")


@ITS_OWN
async def test_while_a_server_is_gone_the_others_answer_and_it_is_found_again(
    client: ClusterClient, servers: ClusterOf3
) -> None:
    """Whichever it is, with commands on their way to all of them when it dies; single ones and those that go together."""
    for server in servers.servers:
        server.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    claims = GroupCommit(client, CLAIM)
    tags = [f"e:{n}" for n in range(60)]
    assert await asyncio.gather(*(claims((tag, "x")) for tag in tags)) == [b"x"] * 60

    async def ask() -> list[tuple[bool, bool]]:
        """Of each tag, whether its single command and its claim were answered."""
        single = asyncio.gather(*(client.ask("GET", client.key(tag)) for tag in tags), return_exceptions=True)
        several = asyncio.gather(*(claims((tag, "y")) for tag in tags), return_exceptions=True)
        told = list(zip(await single, await several, strict=True))
        assert all(one == b"x" or isinstance(one, StoreUnavailable) for pair in told for one in pair), told
        return [(one == b"x", other == b"x") for one, other in told]

    for gone in servers.servers:
        port = gone.port
        its_own = [client.lane((tag,)) == ("127.0.0.1", port) for tag in tags]
        assert 0 < sum(its_own) < 60
        asking = asyncio.create_task(ask())
        await asyncio.sleep(0)
        gone.signal(signal.SIGKILL)
        await asking
        assert await ask() == [(not its, not its) for its in its_own]
        gone.start()

        async def answered() -> bool | None:
            return True if await ask() == [(True, True)] * 60 else None

        await eventually(answered, "all of them answer")


async def test_lost_hints_are_made_again_for_what_is_on_all_servers(client: ClusterClient) -> None:
    for n in range(90):
        await client.ask("ZADD", client.key(f"t:tr-{n}", "in"), 1, 1)
        await client.ask("ZADD", client.key(f"r:ep_{n}", "due"), 1, "dlv")
    hints = Hints(client)
    assert await hints.rebuild() == 180
    taken = await hints.take(Hint.PLAN, now_ms=1_000, until=2_000.5, most=400)
    assert {claim.member for claim in taken} == {f"tr-{n}" for n in range(90)}


@ITS_OWN
async def test_what_has_no_key_is_asked_of_whoever_answers(client: ClusterClient, servers: ClusterOf3) -> None:
    assert await client.plain.ping()
    for gone in servers.servers:
        gone.signal(signal.SIGKILL)
        assert await client.plain.ping()
        assert len(await client.plain.time()) == 2
        gone.start()
        await eventually(partial(_is_there, gone), "it is there again")


async def _is_there(server: Server) -> bool | None:
    return bool(server.info("server")) or None


@ITS_OWN
async def test_who_waits_for_a_server_that_hangs_holds_up_nobody_on_the_others(client: ClusterClient, servers: ClusterOf3) -> None:
    """Also where some ask for both together, and more than there are connections."""
    claims = GroupCommit(client, CLAIM)
    tags = [f"e:{n}" for n in range(40)]
    assert await asyncio.gather(*(claims((tag, "x")) for tag in tags)) == [b"x"] * 40
    hung = servers.servers[0]
    its = [tag for tag in tags if client.lane((tag,)) == ("127.0.0.1", hung.port)]
    others = [tag for tag in tags if tag not in its]
    hung.signal(signal.SIGSTOP)
    try:
        waits = [asyncio.create_task(claims((tag, "y"))) for tag in its]
        both = asyncio.create_task(claims.many([(others[0], "y"), (its[0], "y")]))
        single = [asyncio.create_task(client.ask("GET", client.key(tag))) for tag in its]
        await asyncio.sleep(0)
        assert await asyncio.gather(*(claims((tag, "y")) for tag in others)) == [b"x"] * len(others)
        assert await asyncio.gather(*(client.ask("GET", client.key(tag)) for tag in others)) == [b"x"] * len(others)
        assert not any(one.done() for one in (*waits, both, *single))
        told = await asyncio.gather(*waits, both, *single, return_exceptions=True)
        assert {type(one) for one in told} == {StoreUnavailable}
    finally:
        hung.signal(signal.SIGCONT)


async def test_what_would_be_asked_of_one_server_and_means_all_is_refused(client: ClusterClient) -> None:
    for refused in (client.ask("SCAN", 0), client.ask("DBSIZE"), client.ask("EVAL", "return 1", 0)):
        with pytest.raises(NotImplementedError):
            await refused
    with pytest.raises(NotImplementedError):
        client.redis.pipeline()


async def test_nothing_is_confirmed_without_replicas(servers: ClusterOf3) -> None:
    cluster = parse_cluster(servers.url)
    assert cluster is not None
    client = ClusterClient(cluster, prefix="t", connections=4, timeout_s=3, copies=Copies(1, 0.1))
    with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
        await client.run(CLAIM, [("e:1", "x")], confirm=True)
    assert await client.run(CLAIM, [("e:1", "y")]) == [b"x"]
    await client.close()


async def test_a_repeat_finishes_what_a_crash_between_two_servers_left(client: ClusterClient) -> None:
    """Accepted, and then nobody was told that there is something to plan."""
    hints, transfers = Hints(client), Transfers(client)
    await transfers.repeat("tr-1", 1_000)
    (claim,) = await hints.take(Hint.PLAN, now_ms=1_000, until=2_000.5, most=10)
    assert claim.member == "tr-1"
