"""Does a task that takes too long end, and no other?"""

from __future__ import annotations

import asyncio

import pytest

from relay.time_limit import TimeLimit

DEADLINE_S = 10


async def until_over(limit: TimeLimit) -> bool:
    """Whether it ended of the time alone."""
    turn = limit.begin()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        return turn.is_over()
    finally:
        limit.end(turn)
    raise AssertionError


async def test_what_takes_too_long_ends_of_the_time_alone() -> None:
    assert await until_over(TimeLimit(0.02))


async def test_many_that_begin_at_different_times_all_end() -> None:
    limit, running = TimeLimit(0.03), []
    for n in range(40):
        running.append(asyncio.create_task(until_over(limit)))
        if n % 8 == 7:
            await asyncio.wait(running, timeout=0.005)
    assert await asyncio.gather(*running) == [True] * 40


async def test_what_has_ended_is_left_alone_when_its_time_comes() -> None:
    limit = TimeLimit(0.02)
    limit.end(limit.begin())
    assert await asyncio.create_task(until_over(limit))  # which began later, and is over later


async def test_the_timer_goes_on_after_there_was_nothing_to_do() -> None:
    limit = TimeLimit(0.02)
    for _ in range(3):
        assert await until_over(limit)


async def test_who_is_canceled_by_somebody_else_is_not_over() -> None:
    task = asyncio.create_task(until_over(TimeLimit(DEADLINE_S)))
    await asyncio.sleep(0)
    task.cancel()
    assert await task is False


async def test_who_is_canceled_by_somebody_else_too_stays_canceled() -> None:
    limit, begun = TimeLimit(DEADLINE_S), asyncio.Event()
    over: list[bool] = []

    async def go() -> None:
        turn = limit.begin()
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            over.append(turn.is_over())
            raise
        finally:
            limit.end(turn)

    task = asyncio.create_task(go())
    await begun.wait()
    for turns in list(limit._running.values()):
        for turn in turns:
            turn.expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert over == [False]
