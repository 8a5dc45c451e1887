"""Is an activity log chained while it grows, and is what somebody does to it in the database found?"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from relay.commands.audit import FORMAT
from tests.pipeline.caller import eventually
from tests.pipeline.events import life
from tests.pipeline.inside import Inside
from tests.pipeline.rig import environment

ACTIVITY, RECORDS, HEADS = (f"relay:{{p:contoso}}:{rest}" for rest in ("activity", "records", "heads"))


async def relay(url: str, *words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **environment(url)},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def chained(world: Inside, transfers: int) -> list[Any]:
    """Two partners with some transfers, and contoso's heads once all its lines are under one."""
    for name in ("contoso", "fabrikam"):
        await world.api.register(name)
    for number in range(transfers):
        for event in life(f"tr-{number}"):
            await world.api.post(event)
        await world.sweep()
        world.pass_time(30)

    async def look() -> list[Any] | None:
        await world.sweep()
        world.pass_time(30)
        heads = (await world.api.ask("GET", "/v1/partners/contoso/activity/heads"))["data"]
        return heads if sum(head["count"] for head in heads) == 3 * transfers else None

    return await eventually(look, "all lines are chained")


async def test_a_log_is_chained_and_exported_with_its_proof(world: Inside, valkey_url: str, tmp_path: Path) -> None:
    heads = await chained(world, 3)
    assert len(heads) > 1 and heads[0]["public_key"].startswith("whpk_")
    code, said, _ = await relay(valkey_url, "audit", "verify")
    assert code == 0 and "contoso: as it was written; lines chained: 9," in said and "fabrikam: as it was written; lines chained: 9," in said and heads[-1]["after"] in said
    code, exported, _ = await relay(valkey_url, "audit", "export", "CONTOSO")
    assert code == 0 and json.loads(exported.splitlines()[0])["format"] == FORMAT
    file = tmp_path / "log.jsonl"
    file.write_text(exported)
    key = heads[0]["public_key"]
    assert (await relay(valkey_url, "audit", "verify", "--file", str(file), "--public-key", key))[0] == 0
    file.write_text(exported.replace("tr-1", "tr-9", 1))
    code, _, err = await relay(valkey_url, "audit", "verify", "--file", str(file))
    assert code == 1 and "a line is not what it was" in err
    file.write_text("{}\n")
    assert (await relay(valkey_url, "audit", "verify", "--file", str(file)))[0] == 1


def edit(redis: Any) -> None:
    id_ = redis.zrange(ACTIVITY, 2, 2)[0]
    redis.hset(RECORDS, id_, redis.hget(RECORDS, id_).replace(b"completed", b"failed"))


def insert(redis: Any) -> None:
    redis.hset(RECORDS, "forged", redis.hget(RECORDS, redis.zrange(ACTIVITY, 0, 0)[0]))
    redis.zadd(ACTIVITY, {"forged": 1.5})


def swap(redis: Any) -> None:
    one, two = redis.zrange(ACTIVITY, 0, 1)
    first, second = redis.hget(RECORDS, one), redis.hget(RECORDS, two)
    redis.hset(RECORDS, one, second)
    redis.hset(RECORDS, two, first)


@pytest.mark.parametrize(
    "crime",
    [
        edit, insert, swap,
        lambda redis: redis.zremrangebyrank(ACTIVITY, 1, 1),
        lambda redis: redis.zremrangebyrank(ACTIVITY, 0, 2),
        lambda redis: redis.hdel(RECORDS, redis.zrange(ACTIVITY, 4, 4)[0]),
        lambda redis: redis.zincrby(ACTIVITY, 0.5, redis.zrange(ACTIVITY, 3, 3)[0]),
        lambda redis: redis.lpop(HEADS),
        lambda redis: redis.lset(HEADS, 0, redis.lindex(HEADS, 0).replace(b'"count":', b'"count":1')),
        lambda redis: redis.delete(ACTIVITY),
    ],
    ids=["edit", "insert", "swap", "remove a line", "remove the first lines", "remove a record", "move", "remove a head",
         "change a head", "remove all"],
)  # fmt: skip
async def test_what_is_done_to_a_log_in_the_database_is_found(
    world: Inside, valkey_url: str, crime: Callable[[Any], object]
) -> None:
    await chained(world, 2)
    with Redis.from_url(valkey_url) as redis:
        crime(redis)
    code, said, err = await relay(valkey_url, "audit", "verify")
    assert code == 1 and "✗ contoso:" in err and "✗ fabrikam" not in err
    assert "fabrikam: as it was written; lines chained: 6," in said
    assert "contoso: as it was written" not in said


async def test_a_chain_that_was_made_anew_is_dated_too_late(world: Inside, valkey_url: str) -> None:
    """Who removes all heads has the log chained again, with a good signature; but the head says when."""
    await chained(world, 2)
    assert (await relay(valkey_url, "audit", "verify", "--strict"))[0] == 0
    with Redis.from_url(valkey_url) as redis:
        edit(redis)
        redis.delete(HEADS)
    world.pass_time(2 * 3600)

    async def look() -> bool | None:
        await world.sweep()
        world.pass_time(30)
        return True if (await world.api.ask("GET", "/v1/partners/contoso/activity/heads"))["data"] else None

    await eventually(look, "it is chained again")
    code, _, err = await relay(valkey_url, "audit", "verify", "--strict")
    assert code == 1 and "? contoso: lines chained more than an hour after they were written: 6" in err
    assert "fabrikam" not in err
