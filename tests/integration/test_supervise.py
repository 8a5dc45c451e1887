"""Does a child run again when it dies, and end when it should?"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from relay.supervise import Child

WITHIN_S = 20.0
PID_THEN_WAIT = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
DEAF = (
    "import signal; signal.signal(15, signal.SIG_IGN)\nwhile True: print('here', flush=True); signal.pause()"
)
LONG_THEN_WAIT = "import signal; print('x' * 9_000_000); print('after', flush=True); signal.pause()"


class Running:
    """A child that runs, and the lines it says."""

    def __init__(self, program: str) -> None:
        self.said: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.child = Child(
            "child",
            [sys.executable, "-c", program],
            dict(os.environ),
            lambda *line: self.said.put_nowait(line),
        )
        self.task = asyncio.create_task(self.child.run())

    async def line(self) -> str:
        source, line = await asyncio.wait_for(self.said.get(), WITHIN_S)
        assert source == "child"
        return line


@pytest.fixture
async def start() -> AsyncIterator[Callable[[str], Running]]:
    started: list[Running] = []

    def begin(program: str) -> Running:
        started.append(Running(program))
        return started[-1]

    yield begin
    for one in started:
        await one.child.end(0.1)
        await asyncio.wait_for(one.task, WITHIN_S)


async def test_a_child_that_dies_is_started_again(start: Callable[[str], Running]) -> None:
    running = start(PID_THEN_WAIT)
    first = int(await running.line())
    os.kill(first, signal.SIGKILL)
    assert "signal SIGKILL" in await running.line()
    assert int(await running.line()) != first


async def test_a_child_that_is_told_to_end_is_not_started_again(start: Callable[[str], Running]) -> None:
    running = start(PID_THEN_WAIT)
    await running.line()
    await running.child.end(WITHIN_S)
    await asyncio.wait_for(running.task, WITHIN_S)
    assert running.child.pid is None
    assert running.said.empty()


async def test_a_child_that_is_told_to_end_while_it_starts_ends(start: Callable[[str], Running]) -> None:
    running = start(PID_THEN_WAIT)
    await asyncio.sleep(0)  # the task has begun to start it, and no more
    await running.child.end(WITHIN_S)
    await asyncio.wait_for(running.task, WITHIN_S)
    assert running.child.pid is None


async def test_a_child_that_does_not_listen_is_killed(start: Callable[[str], Running]) -> None:
    running = start(DEAF)
    await running.line()
    await running.child.end(0.1)
    await asyncio.wait_for(running.task, WITHIN_S)
    assert running.child.pid is None


async def test_a_line_without_end_does_not_stop_the_others(start: Callable[[str], Running]) -> None:
    running = start(LONG_THEN_WAIT)
    lines = [await running.line()]
    while lines[-1] != "after":
        lines.append(await running.line())
    assert all(len(line) <= 4 * 1024 * 1024 for line in lines)
