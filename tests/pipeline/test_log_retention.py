"""Does an activity log whose beginning has left still prove that it is what it was?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis

from tests.pipeline.conftest import Store
from tests.pipeline.events import BEGINS_AT, step
from tests.pipeline.inside import Inside, inside
from tests.pipeline.test_archive import archived
from tests.pipeline.test_chain import ACTIVITY, HEADS, RECORDS, relay
from tests.pipeline.test_retention import DAY, trim

ENDS = "relay:{p:contoso}:ends"


@pytest.fixture
async def world(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> AsyncIterator[Inside]:
    """The relay, with an archive and what the test sets."""
    settings = {"RELAY_RETENTION__ARCHIVE": str(tmp_path / "archive"), **getattr(request, "param", {})}
    async with inside(store.url, **settings) as made:
        await made.to(BEGINS_AT)
        yield made


async def written(world: Inside, lines: int) -> None:
    """A line a day, each under a head of its own where there are heads."""
    await world.api.register("contoso")
    for number in range(lines):
        await world.api.post(step(f"tr-{number}", "created", 1))
        await world.sweep()
        world.pass_time(DAY)
        await world.sweep()


async def seen(world: Inside) -> list[str]:
    return [one["transfer"] for one in await world.api.all("/v1/partners/contoso/activity")]


@pytest.mark.parametrize("world", [{"RELAY_RETENTION__ACTIVITY__AGE": "10d"}], indirect=True)
async def test_the_beginning_leaves_by_age_and_what_is_left_verifies(world: Inside, valkey_url: str, tmp_path: Path) -> None:
    await written(world, 6)
    key = (await world.api.ask("GET", "/v1/partners/contoso/activity/heads"))["data"][0]["public_key"]
    await trim(world, 7)
    assert await seen(world) == ["tr-5", "tr-4", "tr-3"]
    await world.api.post(step("tr-9", "created", 1))
    await trim(world)
    heads = await world.api.ask("GET", "/v1/partners/contoso/activity/heads?limit=2")
    assert [head["number"] for head in heads["data"]] == [4, 5]
    rest = await world.api.ask("GET", f"/v1/partners/contoso/activity/heads?after={heads['next']}")
    assert [head["number"] for head in rest["data"]] == [6, 7]
    code, said, err = await relay(valkey_url, "audit", "verify")
    assert code == 0, err
    assert "lines chained: 4, lines that retention has taken: up to position 3, head 7 is" in said
    code, exported, _ = await relay(valkey_url, "audit", "export", "contoso")
    file = tmp_path / "log.jsonl"
    file.write_text(exported)
    assert (await relay(valkey_url, "audit", "verify", "--file", str(file), "--public-key", key))[0] == 0
    kept = [json.loads(line)["record"] for line in exported.splitlines() if '"record":' in line]
    gone = [line["record"] for line in archived(tmp_path) if line["kind"] == "activity"]
    assert [json.loads(record)["transfer"] for record in gone + kept] == ["tr-0", "tr-1", "tr-2", "tr-3", "tr-4", "tr-5", "tr-9"]
    folder = str(tmp_path / "archive")
    code, said, err = await relay(valkey_url, "audit", "verify", "--archive", folder, "--public-key", key)
    assert code == 0 and "contoso: as it was written; lines chained: 3" in said, err
    assert (await relay(valkey_url, "audit", "verify", "--archive", folder))[0] == 2


@pytest.mark.parametrize("world", [{"RELAY_RETENTION__ACTIVITY__AGE": "10d"}], indirect=True)
async def test_what_somebody_else_took_from_the_beginning_is_found(world: Inside, valkey_url: str) -> None:
    await written(world, 6)
    await trim(world, 7)
    with Redis.from_url(valkey_url) as redis:
        taking = json.loads(redis.hget(ENDS, "taking"))
        head = json.loads(redis.lpop(HEADS))
        redis.hdel(RECORDS, *redis.zrangebyscore(ACTIVITY, "-inf", head["last"]))
        redis.zremrangebyscore(ACTIVITY, "-inf", head["last"])
        redis.hset(ENDS, mapping={"taken": head["number"], "taking": json.dumps({**taking, "head": head})})
    code, _, err = await relay(valkey_url, "audit", "verify")
    assert code == 1 and "that retention took the lines up to position 4 is not signed by the relay" in err


@pytest.mark.parametrize("world", [{"RELAY_RETENTION__ACTIVITY__MOST": "2"}], indirect=True)
async def test_the_beginning_leaves_by_number(world: Inside, valkey_url: str) -> None:
    await written(world, 5)
    await trim(world)
    assert await seen(world) == ["tr-4", "tr-3"]
    assert (await relay(valkey_url, "audit", "verify"))[0] == 0


@pytest.mark.parametrize(
    "world", [{"RELAY_RETENTION__ACTIVITY__AGE": "10d", "RELAY_AUDIT__CHAIN_EVERY_SECONDS": "0"}], indirect=True
)
async def test_a_log_that_is_not_chained_is_trimmed_by_line(world: Inside, tmp_path: Path) -> None:
    await written(world, 4)
    await trim(world, 7.5)
    assert await seen(world) == ["tr-3", "tr-2"]
    assert [line["position"] for line in archived(tmp_path)] == [1, 2]
