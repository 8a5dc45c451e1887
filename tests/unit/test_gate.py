"""Are no more inside than may be, and does nobody wait for room that is there?"""

from __future__ import annotations

import asyncio

import pytest

from relay.gate import Gate


async def spin() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Visitors:
    """Each is inside until it is let out."""

    def __init__(self, gate: Gate, count: int) -> None:
        self.inside: list[int] = []
        self.leave = [asyncio.Event() for _ in range(count)]
        self.tasks = [asyncio.create_task(self._go(gate, n)) for n in range(count)]

    async def _go(self, gate: Gate, n: int) -> None:
        async with gate:
            self.inside.append(n)
            await self.leave[n].wait()
            self.inside.remove(n)


async def test_those_who_wait_go_in_by_turn() -> None:
    visitors = Visitors(Gate(2), 4)
    await spin()
    assert visitors.inside == [0, 1]
    for n, left in ((1, [0, 2]), (0, [2, 3]), (2, [3]), (3, [])):
        visitors.leave[n].set()
        await spin()
        assert visitors.inside == left


async def test_nobody_goes_in_before_who_waits() -> None:
    gate = Gate(1)
    await gate.__aenter__()
    waits = asyncio.ensure_future(gate.__aenter__())
    await spin()
    await gate.__aexit__()
    # In the same turn, before who was let in knows of it.
    newcomer = gate.__aenter__()
    newcomer.send(None)  # it waits: a coroutine that goes in at once ends here
    newcomer.close()
    async with asyncio.timeout(10):
        await waits


@pytest.mark.parametrize("let_in", [False, True])
async def test_who_gives_up_waiting_takes_no_room_and_leaves_none(let_in: bool) -> None:
    gate = Gate(1)
    await gate.__aenter__()
    gives_up, other = (asyncio.ensure_future(gate.__aenter__()) for _ in range(2))
    await spin()
    if let_in:
        await gate.__aexit__()  # it has room, and is canceled before it knows
        gives_up.cancel()
    else:
        gives_up.cancel()
        await spin()
        assert not other.done()
        await gate.__aexit__()
    async with asyncio.timeout(10):
        await other
    assert gives_up.cancelled()
    assert gate.room == 0
    await gate.__aexit__()
    assert gate.room == 1
