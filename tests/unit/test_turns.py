"""Do those of one key go one after the other, and does nobody wait for a turn that never comes?"""

from __future__ import annotations

import asyncio

import pytest

from relay.turns import Turns


async def take(turns: Turns, key: str) -> None:
    if not turns.begin(key):
        await turns.await_turn(key)


async def spin() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_turns_of_one_key_are_given_in_the_order_of_asking() -> None:
    turns, order = Turns(), []

    async def go(n: int) -> None:
        await take(turns, "a")
        order.append(n)
        await asyncio.sleep(0)
        order.append(n)
        turns.end("a")

    await asyncio.gather(*(go(n) for n in range(4)))
    assert order == [0, 0, 1, 1, 2, 2, 3, 3]
    assert turns.begin("a")


async def test_other_keys_do_not_wait() -> None:
    turns = Turns()
    assert turns.begin("a")
    assert turns.begin("b")
    assert not turns.begin("a")


@pytest.mark.parametrize("given", [False, True])
async def test_who_gives_up_waiting_holds_up_nobody(given: bool) -> None:
    turns = Turns()
    assert turns.begin("a")
    second, third = (asyncio.ensure_future(take(turns, "a")) for _ in range(2))
    await spin()
    if given:
        turns.end("a")  # the second has the turn, and is canceled before it knows
        second.cancel()
    else:
        second.cancel()
        await spin()
        turns.end("a")
    await asyncio.wait_for(third, 10)
    assert second.cancelled()
    turns.end("a")
    assert turns.begin("a")
