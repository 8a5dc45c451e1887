"""What does the relay do while its own database, worker or clock is at fault?"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from relay.embedded import EmbeddedValkey
from tests.fakes.partner import Answer
from tests.pipeline.caller import eventually
from tests.pipeline.events import step
from tests.pipeline.rig import Rig
from tests.pipeline.test_crash import everything_arrived, nothing_is_pending

_PLENTY = 512 << 20


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A server that the test may harm."""
    with EmbeddedValkey.start(tmp_path / "data") as server:
        yield server


@pytest.fixture
async def frail(own_valkey: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Rig]:
    """A whole relay with short leases and small windows, over a server of its own."""
    settings = {"RELAY_WORKER__LEASE_SECONDS": "5", "RELAY_WORKER__ENDPOINT_WINDOW": "4"}
    async with Rig(own_valkey, tmp_path, **settings) as made:
        yield made


async def refusal(rig: Rig, event: dict[str, Any]) -> tuple[int, str]:
    """The status and the `Retry-After` of posting an event."""
    headers = {"Authorization": f"Bearer {rig.api.token}"}
    async with rig.api.http.post(f"{rig.api.base}/v1/events", json=event, headers=headers) as answer:
        return answer.status, answer.headers.get("Retry-After", "")


def pids(rig: Rig) -> dict[str, int]:
    """The processes that run."""
    assert all(process.poll() is None for process in rig.processes.values())
    return {name: process.pid for name, process in rig.processes.items()}


async def test_at_the_memory_limit_nothing_is_accepted_and_what_was_goes_on(
    frail: Rig, own_valkey: EmbeddedValkey
) -> None:
    member = await frail.api.register("contoso", frail.hooks)
    await frail.api.post(step("tr-1", "created", 1))
    before = pids(frail)
    with Redis.from_url(own_valkey.url) as redis:
        redis.config_set("maxmemory", 1 << 20)
        for number in range(3):
            status, retry_after = await refusal(frail, step(f"tr-full-{number}", "created", 1))
            assert status == 503 and int(retry_after) >= 1
        assert not redis.keys("relay:{t:tr-full*"), "refused before anything of it was written"
        redis.config_set("maxmemory", 0)
    wanted = {"tr-1-1"}
    for number in range(3):
        await frail.api.post(step(f"tr-full-{number}", "created", 1))
        wanted.add(f"tr-full-{number}-1")
    await everything_arrived(frail, [member], wanted)
    await nothing_is_pending(frail)
    assert pids(frail) == before


async def test_a_database_that_refuses_to_write_is_told_as_such_and_waited_for(
    frail: Rig, own_valkey: EmbeddedValkey
) -> None:
    """MISCONF: what a server answers that could not write to its disk."""
    member = await frail.api.register("contoso", frail.hooks)
    before = pids(frail)
    (own_valkey.folder / "dump.rdb").mkdir()  # no snapshot can take its place
    (own_valkey.folder / "dump.rdb" / "file").touch()
    with Redis.from_url(own_valkey.url) as redis:
        redis.config_set("save", "3600 1")
        redis.bgsave()

        async def refused() -> bool | None:
            return True if redis.info("persistence")["rdb_last_bgsave_status"] == "err" else None

        await eventually(refused, "the snapshot fails")
        status, retry_after = await refusal(frail, step("tr-1", "created", 1))
        assert status == 503 and int(retry_after) >= 1
        redis.config_set("stop-writes-on-bgsave-error", "no")
        redis.config_set("save", "")  # or it would not end without a snapshot
    await frail.api.post(step("tr-1", "created", 1))
    await everything_arrived(frail, [member], {"tr-1-1"})
    assert pids(frail) == before


async def test_a_disk_that_fills_up_in_the_middle_of_a_write_costs_nothing_that_was_acknowledged(
    frail: Rig, own_valkey: EmbeddedValkey
) -> None:
    """With an fsync before each answer the server ends when it cannot write; what it wrote in part is not
    acknowledged, and what was is there when it starts again on a disk with room."""
    members = [await frail.api.register(name, frail.hooks) for name in ("contoso", "fabrikam")]
    frail.hooks.always(Answer(delay_s=0.2))
    before, acknowledged = pids(frail), set()
    log = max((own_valkey.folder / "appendonlydir").glob("*.incr.aof"))
    resource.prlimit(own_valkey.pid, resource.RLIMIT_FSIZE, (log.stat().st_size + 100_000, _PLENTY))
    refused = 0

    async def produce(lane: int) -> None:
        nonlocal refused
        for n in range(40):
            event = step(f"tr-{lane}-{n}", "created", 1)
            status, _ = await refusal(frail, event)
            assert status in (202, 503)
            if status == 202:
                acknowledged.add(event["id"])
            else:
                refused += 1

    await asyncio.gather(*(produce(lane) for lane in range(8)))
    assert acknowledged and refused
    frail.bring_back("database")
    await frail.api.post_until_acknowledged(step("tr-after", "created", 1))
    await everything_arrived(frail, members, acknowledged | {"tr-after-1"})
    assert pids(frail) == before


async def test_a_worker_that_froze_past_its_lease_records_nothing_twice_and_sends_nothing_more(frail: Rig) -> None:
    member = await frail.api.register("contoso", frail.hooks)
    frail.hooks.always(Answer(delay_s=0.5))
    wanted = {f"tr-{n}-1" for n in range(40)}
    await frail.api.ask("POST", "/v1/events", [step(f"tr-{n}", "created", 1) for n in range(40)], expect=207)
    await frail.hooks.wait_for(4)
    frail.freeze("worker")
    second = await frail.start_another_worker()
    await everything_arrived(frail, [member], wanted)
    await nothing_is_pending(frail)
    said = frail.log("worker").stat().st_size
    frail.thaw("worker")

    async def goes_on() -> bool | None:
        return True if frail.log("worker").stat().st_size > said else None

    await eventually(goes_on, "it tells of the answers that came meanwhile")
    assert await frail.stop("worker") == 0
    assert await frail.stop(second) == 0
    # What was on the wire when it froze came again, and what was answered and not yet recorded: a window of each at
    # most. What it only had at hand, five windows more, did not.
    counts = Counter(request.message_id for request in frail.hooks.requests)
    assert sum(counts.values()) - len(wanted) <= 2 * 4, counts
    for event in wanted:
        (delivery,) = await frail.api.all(f"/v1/transfers/{event.removesuffix('-1')}/deliveries?channel=webhook")
        told = await frail.api.ask("GET", f"/v1/deliveries/{delivery['id']}")
        assert [attempt["outcome"] for attempt in told["attempts"]] == ["accepted"]


@pytest.fixture
async def deployed(valkey: EmbeddedValkey, valkey_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """Small windows, and the leases of production: one that ran out on a busy machine would be one attempt more."""
    async with Rig(valkey, tmp_path, RELAY_WORKER__ENDPOINT_WINDOW="4") as made:
        yield made


async def test_ten_deploys_in_a_row_use_up_nobodys_attempts(deployed: Rig) -> None:
    """Each deploy ends the worker while requests are under way; one attempt each is all that is made."""
    member = await deployed.api.register("contoso", deployed.hooks)
    deployed.hooks.always(Answer(delay_s=0.3))
    wanted = {f"tr-{n}-1" for n in range(200)}
    await deployed.api.ask("POST", "/v1/events", [step(f"tr-{n}", "created", 1) for n in range(200)], expect=207)
    for _ in range(10):
        await deployed.hooks.wait_for(len(deployed.hooks.requests) + 4)
        assert await deployed.stop("worker") == 0
        assert len(deployed.hooks.requests) < len(wanted)
        deployed.start("worker")
    deployed.hooks.always(Answer())
    await everything_arrived(deployed, [member], wanted)
    await nothing_is_pending(deployed)
    assert len(deployed.hooks.requests) == len(wanted)
    found = [
        await deployed.api.ask("GET", f"/v1/deliveries/{one['id']}")
        for one in await deployed.api.all("/v1/deliveries?channel=webhook")
    ]
    assert {len(one["attempts"]) for one in found} == {1}


async def test_a_worker_ends_although_a_partner_never_answers(own_valkey: EmbeddedValkey, tmp_path: Path) -> None:
    """What is still out when its time is up is cut, and comes again from the next worker."""
    settings = {
        "RELAY_WORKER__LEASE_SECONDS": "2",
        "RELAY_WORKER__DRAIN_SECONDS": "5",
        "RELAY_WORKER__REQUEST_TIMEOUT_SECONDS": "600",
    }
    async with Rig(own_valkey, tmp_path, **settings) as rig:
        member = await rig.api.register("contoso", rig.hooks)
        rig.hooks.always(Answer(hang=True))
        await rig.api.post(step("tr-1", "created", 1))
        await rig.hooks.wait_for(1)
        assert await rig.stop("worker") == 0
        rig.hooks.always(Answer())
        rig.start("worker")
        await nothing_is_pending(rig)
        await everything_arrived(rig, [member], {"tr-1-1"})


async def test_work_goes_on_while_arqs_own_server_is_away(
    own_valkey: EmbeddedValkey, valkey_url: str, tmp_path: Path
) -> None:
    async with Rig(own_valkey, tmp_path, RELAY_STORE__URL=valkey_url, RELAY_STORE__ARQ_URL=own_valkey.url) as rig:
        member = await rig.api.register("contoso", rig.hooks)
        rig.kill("database")
        await rig.api.post(step("tr-1", "created", 1))
        await everything_arrived(rig, [member], {"tr-1-1"})
        rig.bring_back("database")
        await rig.api.post(step("tr-2", "created", 1))
        await everything_arrived(rig, [member], {"tr-2-1"})
