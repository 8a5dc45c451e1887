"""What survives when processes die?"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from relay.embedded import EmbeddedValkey
from tests.fakes.partner import Answer
from tests.pipeline.caller import Member, eventually
from tests.pipeline.events import life, step
from tests.pipeline.rig import Rig

_TRANSFERS = 40


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A server that the test may kill."""
    with EmbeddedValkey.start(tmp_path / "data") as server:
        yield server


@pytest.fixture
async def mortal(own_valkey: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Rig]:
    """A whole relay that the test may kill; a dead worker's queues are taken over after two seconds."""
    async with Rig(own_valkey, tmp_path, RELAY_WORKER__LEASE_SECONDS="2") as made:
        yield made


async def everything_arrived(rig: Rig, members: list[Member], wanted: set[str]) -> None:
    """Every id at every endpoint; in order for each transfer, where a repeat is the same message again."""

    async def look() -> bool | None:
        return all(wanted <= {r.message_id for r in rig.hooks.requests if r.path == m.path} for m in members) or None

    await eventually(look, "all that was acknowledged is delivered")
    for member in members:
        sequences: dict[str, list[int]] = defaultdict(list)
        bodies: dict[str, set[bytes]] = defaultdict(set)
        for request in rig.hooks.requests:
            if request.path == member.path:
                data = json.loads(request.body)["data"]
                sequences[data["transfer"]["id"]].append(data["sequence"])
                bodies[request.message_id].add(request.body)
        assert all(len(seen) == 1 for seen in bodies.values())
        assert all(seen == sorted(seen) for seen in sequences.values()), sequences


async def nothing_is_pending(rig: Rig) -> None:
    async def look() -> bool | None:
        page = await rig.api.ask("GET", "/v1/deliveries?status=pending")
        return None if page["data"] else True

    await eventually(look, "nothing is pending")


@pytest.mark.parametrize("victims", [["web"], ["worker"], ["database"], ["database", "web", "worker"]], ids="-".join)
async def test_what_was_acknowledged_arrives_whoever_is_killed(mortal: Rig, victims: list[str]) -> None:
    members = [await mortal.api.register(name, mortal.hooks) for name in ("contoso", "fabrikam")]
    mortal.hooks.always(Answer(delay_s=0.1))  # so that there is always something in flight
    acknowledged: set[str] = set()

    async def produce(transfer: int) -> None:
        for event in life(f"tr-{transfer}"):
            await mortal.api.post_until_acknowledged(event)
            acknowledged.add(event["id"])

    async def strike() -> None:
        await mortal.hooks.wait_for(_TRANSFERS)
        mortal.kill(*victims)
        mortal.bring_back(*victims)
        await mortal.ready()

    await asyncio.gather(strike(), *(produce(n) for n in range(_TRANSFERS)))
    assert len(acknowledged) == 3 * _TRANSFERS
    await everything_arrived(mortal, members, acknowledged)
    await nothing_is_pending(mortal)
    delivered = await mortal.api.all("/v1/deliveries?channel=webhook")
    assert len(delivered) == len({d["id"] for d in delivered}) == 2 * 3 * _TRANSFERS
    # created tells the source's agent, completed both agents; a mail may come twice, with one Message-ID.
    ids = {(m.to, m.parsed["Message-ID"]) for m in mortal.mail.messages}
    assert len(ids) == 3 * _TRANSFERS


async def test_what_is_in_flight_ends_before_the_worker_does(rig: Rig) -> None:
    """SIGTERM: no request is cut, none comes twice, and the next worker need not wait for a lease."""
    member = await rig.api.register("contoso", rig.hooks)
    rig.hooks.always(Answer(delay_s=1.0))
    wanted: set[str] = set()
    for n in range(100):
        await rig.api.post(step(f"tr-{n}", "created", 1))
        wanted.add(f"tr-{n}-1")
    await rig.hooks.wait_for(20)
    assert await rig.stop("worker") == 0
    came = [r.message_id for r in rig.hooks.requests]
    assert len(came) < len(wanted)
    rig.hooks.always(Answer())
    rig.start("worker")
    await everything_arrived(rig, [member], wanted)
    await nothing_is_pending(rig)
    assert len(rig.hooks.requests) == len(wanted)


async def test_a_request_that_was_begun_is_answered_before_the_web_process_ends(rig: Rig) -> None:
    await rig.api.register("contoso", rig.hooks)
    body = json.dumps([step(f"tr-{n}", "created", 1) for n in range(400)])
    posting = asyncio.ensure_future(rig.api.raw("POST", "/v1/events", data=body))

    async def begun() -> bool | None:
        return True if b"event.accepted" in rig.log("web").read_bytes() else None

    await eventually(begun, "the first of them is accepted")
    assert await rig.stop("web") == 0
    status, text = await posting
    assert status == 207
    assert {one["code"] for one in json.loads(text)} == {202}


async def test_arqs_keys_are_worth_nothing(mortal: Rig, own_valkey: EmbeddedValkey) -> None:
    members = [await mortal.api.register(name, mortal.hooks) for name in ("contoso", "fabrikam")]
    wanted: set[str] = set()

    def flush(redis: Any) -> None:
        keys = list(redis.scan_iter("arq*"))
        if keys:
            redis.delete(*keys)

    with Redis.from_url(own_valkey.url) as redis:
        for n in range(30):
            for event in life(f"tr-{n}"):
                await mortal.api.post(event)
                wanted.add(event["id"])
                await asyncio.to_thread(flush, redis)
    await everything_arrived(mortal, members, wanted)


async def test_two_workers_share_the_work_and_send_nothing_twice(rig: Rig) -> None:
    members = [await rig.api.register(name, rig.hooks) for name in ("contoso", "fabrikam")]
    second = await rig.start_another_worker()
    wanted = {event["id"] for n in range(40) for event in life(f"tr-{n}")}
    for n in range(40):
        await rig.api.ask("POST", "/v1/events", life(f"tr-{n}"), expect=207)
    await everything_arrived(rig, members, wanted)
    await nothing_is_pending(rig)
    assert len(rig.hooks.requests) == 2 * len(wanted)
    assert await rig.stop(second) == 0


async def test_a_slow_answer_is_not_taken_for_a_dead_worker(
    valkey: EmbeddedValkey, valkey_url: str, tmp_path: Path
) -> None:
    """Longer than a lease: the worker that waits keeps its lease, and no other sends the same again."""
    # A lease that a busy machine renews in time.
    settings = {"RELAY_WORKER__LEASE_SECONDS": "5", "RELAY_WORKER__REQUEST_TIMEOUT_SECONDS": "60"}
    async with Rig(valkey, tmp_path, **settings) as rig:
        members = [await rig.api.register("contoso", rig.hooks)]
        for n in range(8):
            members.append(replace(members[0]))
            await rig.api.listen(members[-1], rig.hooks, f"/slow-{n}")
        second = await rig.start_another_worker()
        rig.hooks.always(Answer(delay_s=12.0))
        await rig.api.post(step("tr-1", "created", 1))
        await rig.api.settled("tr-1")
        assert sorted(r.path for r in rig.hooks.requests) == sorted(m.path for m in members)
        assert await rig.stop(second) == 0
