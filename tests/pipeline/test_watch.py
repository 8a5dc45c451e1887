"""Is everything that appears in a folder posted, once, whatever happens meanwhile?"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.pipeline.caller import OPERATOR, eventually
from tests.pipeline.events import life
from tests.pipeline.inside import Inside


@asynccontextmanager
async def watching(url: str, folder: Path, *more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`relay send --watch` as a process of its own."""
    words = ("-m", "relay", "send", "--watch", str(folder), "--every", "0.05", "--url", url, *more)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, env={"RELAY_TOKEN": OPERATOR, "PYTHONUNBUFFERED": "1"}, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def put(folder: Path, name: str, value: object) -> None:
    """As a program writes that knows: whole when it appears."""
    rest = folder / f"{name}.tmp"
    rest.write_text(json.dumps(value))
    rest.rename(folder / name)


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.is_file()} if folder.is_dir() else set()


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str]:
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_what_appears_is_posted_and_what_is_refused_says_why(world: Inside, tmp_path: Path) -> None:
    first, second, third = life("tr-1")
    cloud = {"specversion": "1.0", "source": "/", "id": second["id"], "type": second["type"], "time": second["occurred_at"],
             "data": {"transfer": second["transfer"]}}  # fmt: skip
    put(tmp_path, "1.json", first)
    async with watching(world.api.base, tmp_path) as process:
        async def moved(folder: str, *wanted: str) -> None:
            async def look() -> bool | None:
                return set(wanted) <= names(tmp_path / folder) or None

            await eventually(look, f"{wanted} are in {folder}", within_s=60)

        await moved("sent", "1.json")
        put(tmp_path, "2.json", cloud)
        await moved("sent", "2.json")
        put(tmp_path, "3.json", [third, {**third, "id": "tr-1-9", "type": "transfer.failed"}])
        put(tmp_path, "4.json", {"id": "bad"})
        (tmp_path / "5.json").write_text("{")
        await moved("refused", "3.json", "3.json.problem", "4.json", "4.json.problem", "5.json", "5.json.problem")
        put(tmp_path, "1.json", first)
        await moved("sent", "1-2.json")
        process.send_signal(signal.SIGINT)
        code, said = await ended(process)
    assert (code, said.splitlines()[-1]) == (0, "3 sent, 3 refused, 0 left")
    problem: Any = json.loads((tmp_path / "refused" / "3.json.problem").read_text())
    assert [one["code"] for one in problem] == [202, 422]
    problem = json.loads((tmp_path / "refused" / "4.json.problem").read_text())
    assert "/transfer" in {one["pointer"] for one in problem["errors"]}
    assert [step["type"] for step in (await world.api.ask("GET", "/v1/transfers/tr-1"))["timeline"]] == [
        event["type"] for event in (first, second, third)
    ]


async def test_one_that_is_killed_and_begun_again_makes_no_second_event(world: Inside, tmp_path: Path) -> None:
    await world.api.register("contoso", world.hooks)
    for number in range(40):
        put(tmp_path, f"{number:02d}.json", life(f"tr-{number}", "created"))
    async with watching(world.api.base, tmp_path) as process:
        async def begun() -> bool | None:
            return len(names(tmp_path / "sent")) >= 3 or None

        await eventually(begun, "some are sent", within_s=60)
        process.kill()
    # As if it had been killed between the answer and the move.
    again = min((tmp_path / "sent").iterdir())
    again.rename(tmp_path / again.name)
    async with watching(world.api.base, tmp_path, "--once") as process:
        code, said = await ended(process)
    assert code == 0 and " 0 refused, 0 left" in said.splitlines()[-1]
    assert len(names(tmp_path / "sent")) == 40
    await world.sweep()
    assert sorted(one.message_id for one in world.hooks.requests) == sorted(f"tr-{number}-1" for number in range(40))


@asynccontextmanager
async def scripted(*answers: int) -> AsyncIterator[tuple[str, list[Any]]]:
    """A relay that answers so, then 202 for ever; its address, and what it was posted."""
    script, posted = list(answers), []

    async def post(request: web.Request) -> web.Response:
        posted.append(await request.json())
        code = script.pop(0) if script else 202
        headers = {"Retry-After": "1"} if code in (429, 503) else None
        return web.json_response({"title": "…"} | ({"status": "accepted"} if code == 202 else {}), status=code, headers=headers)

    app = web.Application()
    app.router.add_post("/v1/events", post)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", posted
    finally:
        await runner.cleanup()


async def test_a_file_waits_while_there_is_no_room_and_those_behind_it_wait_too(tmp_path: Path) -> None:
    put(tmp_path, "1.json", {"id": "first"})
    put(tmp_path, "2.json", {"id": "second"})
    async with scripted(503, 429) as (url, posted), watching(url, tmp_path, "--once") as process:
        code, said = await ended(process)
    assert code == 0, said
    assert [one["id"] for one in posted] == ["first", "first", "first", "second"]
    assert "again in" in said and said.splitlines()[-1] == "2 sent, 0 refused, 0 left"


async def test_a_token_that_is_not_known_moves_nothing(tmp_path: Path) -> None:
    put(tmp_path, "1.json", {"id": "first"})
    async with scripted(401) as (url, _), watching(url, tmp_path) as process:
        code, said = await ended(process)
    assert (code, names(tmp_path)) == (1, {"1.json"})
    assert said.splitlines()[-1] == "0 sent, 0 refused, 1 left"


async def test_while_nobody_answers_it_waits_and_ends_at_once_when_told_to(tmp_path: Path) -> None:
    put(tmp_path, "1.json", {"id": "first"})
    async with watching("http://127.0.0.1:1", tmp_path) as process:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert b"again in" in line
        process.terminate()
        code, said = await ended(process)
    assert (code, said.splitlines()[-1]) == (0, "0 sent, 0 refused, 1 left")
