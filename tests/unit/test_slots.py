"""Is it known which server of a cluster has a slot, whoever of them answers?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from relay.errors import StoreUnavailable
from relay.store.slots import Place, Slots

GIVEN = [("n1", 6379), ("n2", 6379)]


class Told:
    """What each server answers; the others are away. `asked` is who was, in turn."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[Place] = []

    async def __call__(self, place: Place) -> Any:
        self.asked.append(place)
        await asyncio.sleep(0)
        if place[0] not in self.answers:
            raise RedisConnectionError
        return self.answers[place[0]]


def half(first: int, last: int, host: Any, *replicas: str) -> list[Any]:
    """A row of CLUSTER SLOTS."""
    return [first, last, [host, 6379, b"id"], *([replica.encode(), 6379, b"id"] for replica in replicas)]


def halves(low: Any, high: Any, *replicas: str) -> list[Any]:
    """Two servers that share the slots; the rows come in any order."""
    return [half(8192, 16383, high), half(0, 8191, low, *replicas)]


async def places(slots: Slots) -> set[tuple[int, Place | None]]:
    """By half, who has its slots."""
    return {(slot // 8192, slots.of(slot)) for slot in range(0, 16384, 63)}


async def test_a_slot_is_its_servers() -> None:
    slots = Slots(GIVEN, Told(n1=halves(b"10.0.0.1", b"10.0.0.2")))
    await slots.learn(again=False)
    assert await places(slots) == {(0, ("10.0.0.1", 6379)), (1, ("10.0.0.2", 6379))}
    assert set(slots.primaries) == {("10.0.0.1", 6379), ("10.0.0.2", 6379)}


async def test_nobody_has_a_slot_before_the_map_is_read_or_that_nobody_serves() -> None:
    slots = Slots(GIVEN, Told(n1=[half(0, 8191, b"10.0.0.1")]))
    assert await places(slots) == {(0, None), (1, None)}
    await slots.learn(again=False)
    assert await places(slots) == {(0, ("10.0.0.1", 6379)), (1, None)}


@pytest.mark.parametrize("unnamed", [b"", None, b"?"])
async def test_a_server_that_gives_no_name_has_the_one_it_was_asked_by(unnamed: bytes | None) -> None:
    slots = Slots(GIVEN, Told(n2=halves(unnamed, b"10.0.0.2")))
    await slots.learn(again=False)
    assert await places(slots) == {(0, ("n2", 6379)), (1, ("10.0.0.2", 6379))}


async def test_a_map_that_is_there_is_read_again_only_when_asked() -> None:
    told = Told(n1=halves(b"n1", b"n2"), n2=halves(b"n2", b"n1"))
    slots = Slots(GIVEN, told)
    for _ in range(2):
        await slots.learn(again=False)
    assert told.asked == [("n1", 6379)]
    del told.answers["n1"]
    await slots.learn(again=True)
    assert await places(slots) == {(0, ("n2", 6379)), (1, ("n1", 6379))}


async def test_many_who_want_it_at_once_read_it_once() -> None:
    told = Told(n1=halves(b"n1", b"n2"))
    slots = Slots(GIVEN, told)
    await asyncio.gather(*(slots.learn(again=True) for _ in range(9)))
    assert told.asked == [("n1", 6379)]


async def test_who_gives_up_while_it_is_read_takes_it_from_nobody() -> None:
    slots = Slots(GIVEN, Told(n1=halves(b"n1", b"n2")))
    first, second = (asyncio.create_task(slots.learn(again=True)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert slots.primaries


async def test_it_is_read_from_a_replica_where_no_primary_answers() -> None:
    told = Told(n1=halves(b"10.0.0.1", b"10.0.0.2", "10.0.0.3"))
    slots = Slots(GIVEN, told)
    await slots.learn(again=False)
    told.answers = {"10.0.0.3": halves(b"10.0.0.3", b"10.0.0.2")}
    await slots.learn(again=True)
    assert await places(slots) == {(0, ("10.0.0.3", 6379)), (1, ("10.0.0.2", 6379))}


async def test_each_time_another_server_is_asked_since_one_that_was_cut_off_tells_what_was() -> None:
    told = Told(n1=halves(b"n1", b"n2"), n2=halves(b"n1", b"n3", "n2"))
    slots = Slots(GIVEN, told)
    for _ in range(2):
        await slots.learn(again=True)
    assert told.asked == [("n1", 6379), ("n2", 6379)]
    assert await places(slots) == {(0, ("n1", 6379)), (1, ("n3", 6379))}


async def test_a_server_that_gave_no_answer_is_asked_after_the_others() -> None:
    told = Told(n1=halves(b"n1", b"n2", "n3"), n3=halves(b"n1", b"n2", "n3"))
    slots = Slots(GIVEN, told)
    await slots.learn(again=False)
    assert slots.servers[-1] == ("n1", 6379)
    for _ in range(6):
        await slots.learn(again=True)
    assert told.asked.count(("n2", 6379)) == 1
    slots.doubt(("n3", 6379))
    assert slots.servers[0] == ("n1", 6379)


async def test_a_cluster_whose_servers_all_moved_is_found_by_the_names_that_were_given() -> None:
    told = Told(n1=halves(b"10.0.0.1", b"10.0.0.2"))
    slots = Slots(GIVEN, told)
    await slots.learn(again=False)
    told.answers = {"n2": halves(b"10.1.0.1", b"10.1.0.2")}
    await slots.learn(again=True)
    assert await places(slots) == {(0, ("10.1.0.1", 6379)), (1, ("10.1.0.2", 6379))}


async def test_a_server_that_has_forgotten_the_cluster_is_not_believed() -> None:
    slots = Slots(GIVEN, Told(n1=[], n2=halves(b"n1", b"n2")))
    await slots.learn(again=False)
    assert await places(slots) == {(0, ("n1", 6379)), (1, ("n2", 6379))}


async def test_while_nobody_tells_it_the_cluster_is_away_and_then_it_is_there() -> None:
    told = Told()
    slots = Slots(GIVEN, told)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="ConnectionError"):
            await slots.learn(again=False)
    told.answers = {"n1": []}
    with pytest.raises(StoreUnavailable):
        await slots.learn(again=False)
    told.answers = {"n1": halves(b"n1", b"n2")}
    await slots.learn(again=False)
    assert slots.primaries


async def test_while_nobody_tells_it_again_what_was_known_is_kept() -> None:
    told = Told(n1=halves(b"n1", b"n2"))
    slots = Slots(GIVEN, told)
    await slots.learn(again=False)
    told.answers = {}
    with pytest.raises(StoreUnavailable):
        await slots.learn(again=True)
    assert await places(slots) == {(0, ("n1", 6379)), (1, ("n2", 6379))}
