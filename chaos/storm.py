"""Who is killed, when, and what became of what was acknowledged?

Rounds of SIGKILL to a web process, two workers and the database (of a cluster: one server or all), some of them to all at once, some while
what was killed before still starts. A supervisor starts again at once what has died. When the rounds are
over everybody behaves, and what was acknowledged must arrive.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from aiohttp import ClientSession, ClientTimeout

from chaos.databases import Mortal, One, Three
from chaos.load import Load
from chaos.partners import TEMPERS, Receivers
from chaos.tally import Tally
from tests.pipeline.caller import Caller
from tests.pipeline.rig import Rig

PROCESSES = ("web", "worker", "worker-2", "database")
SETTINGS = {
    "RELAY_WORKER__LEASE_SECONDS": "2",
    "RELAY_WORKER__REQUEST_TIMEOUT_SECONDS": "2",
    "RELAY_WORKER__CONNECT_TIMEOUT_SECONDS": "2",
    "RELAY_STORE__TIMEOUT_SECONDS": "5",
    # An outage of days in a minute: what fails goes again at once, and does not run out of tries.
    "RELAY_RETRY__WAITS_SECONDS": str([0, 0.2, 0.5] + [1] * 97),
}
MAILED = ("sound", "slow")
_ALL_AT_ONCE = 0.15
_UNREADY = 0.25
"""Share of the rounds that do not wait until what was killed before is up again."""
_READY_S = 60.0
_STILL_S = 45.0
"""When nothing has arrived for this long, what has not arrived is lost."""


@dataclass(slots=True)
class Storm:
    """What is to happen: `rounds` of killing, `rate` events a second, all of it drawn from `seed`; after
    `within_s` no round begins and `settle_s` later the accounts are closed."""

    seed: str
    rounds: int
    rate: float
    within_s: float
    settle_s: float
    longest_calm_s: float = 3.0
    cluster: bool = False


@dataclass(slots=True)
class Result:
    """How it went."""

    tally: Tally = field(default_factory=Tally)
    rounds: int = 0
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROCESSES, 0))
    mails: int = 0
    unsettled: int = 0
    ended: list[str] = field(default_factory=list)
    lost: dict[str, set[str]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def lost_count(self) -> int:
        """Messages that were owed and never came, by webhook, by e-mail or in the feed."""
        return sum(map(len, self.lost.values())) + max(0, self.tally.mails_owed - self.mails)

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, disordered or otherwise wrong."""
        tally = self.tally
        return not (self.lost_count or tally.out_of_order or tally.problems or self.unsettled or self.ended)


async def unleash(storm: Storm, folder: Path, say: Callable[[Result], None]) -> Result:
    """Do it, over a fresh database in `folder`; `say` is called after each round."""
    result, began = Result(), time.monotonic()
    async with AsyncExitStack() as stack:
        # The kernel ends a child with the thread that started it: this one lives to the end.
        keeper = stack.enter_context(ThreadPoolExecutor(1))
        loop = asyncio.get_running_loop()
        database = await loop.run_in_executor(keeper, partial(_database, storm, folder / "data"))
        stack.push_async_callback(lambda: asyncio.to_thread(database.stop))
        receivers = await stack.enter_async_context(Receivers(result.tally, storm.seed))
        rig = await stack.enter_async_context(Rig(database, folder, **SETTINGS, **database.settings))
        await rig.start_another_worker()
        http = await stack.enter_async_context(ClientSession(timeout=ClientTimeout(total=15)))
        api = Caller(http, rig.api.base)
        names = await register(api, receivers)
        load = Load(api, result.tally, storm.seed, storm.rate, names, {n for n in names if n in MAILED})
        posting = asyncio.ensure_future(load.run())
        stack.callback(posting.cancel)
        chance = Random(f"{storm.seed}-rounds")
        while result.rounds < storm.rounds and time.monotonic() - began < storm.within_s and not posting.done():
            await asyncio.sleep(chance.uniform(0, storm.longest_calm_s))
            victims = _victims(chance)
            hasty = chance.random() < _UNREADY
            result.ended += [name for name, one in rig.processes.items() if one.poll() is not None]
            processes = [name for name in victims if name != "database"]
            if "database" in victims:
                database.kill()
            rig.kill(*processes)
            if "database" in victims:
                await loop.run_in_executor(keeper, database.bring_back)
            await loop.run_in_executor(keeper, rig.bring_back, *processes)
            for name in victims:
                result.kills[name] += 1
            result.rounds += 1
            if not hasty:
                await asyncio.wait_for(rig.ready(), _READY_S)
            result.seconds = time.monotonic() - began
            say(result)
        receivers.behave()
        load.stop()
        await rig.ready()
        await posting
        await settle(rig, result, storm.settle_s)
        result.lost = result.tally.lost()
        await close_the_accounts(api, result, names)
        result.seconds = time.monotonic() - began
    return result


def _database(storm: Storm, folder: Path) -> Mortal:
    return Three(folder, storm.seed) if storm.cluster else One(folder)


def _victims(chance: Random) -> tuple[str, ...]:
    if chance.random() < _ALL_AT_ONCE:
        return PROCESSES
    return tuple(chance.sample(PROCESSES, chance.choice((1, 1, 1, 2, 2, 3))))


async def register(api: Caller, receivers: Receivers) -> list[str]:
    """A partner with one endpoint for each temper."""
    for temper in TEMPERS:
        name = temper.name
        agents = [{"email": f"agent@{name}.example", "name": "The Agent"}] if name in MAILED else []
        await api.ask("PUT", f"/v1/partners/{name}", {"name": name, "admin_agents": agents}, expect=201)
        url = f"{receivers.base}/{name}"
        made = await api.ask("POST", f"/v1/partners/{name}/endpoints", {"url": url}, expect=201)
        receivers.expect(name, made["secret"])
    return [temper.name for temper in TEMPERS]


async def settle(rig: Rig, result: Result, settle_s: float) -> None:
    """Wait until all has arrived, nothing arrives any more, or time is up."""
    began = moved = time.monotonic()
    before = -1
    while True:
        now, seen = time.monotonic(), result.tally.delivered_count
        result.mails = len({(one.to, one.parsed["Message-ID"]) for one in rig.mail.messages})
        if seen + result.mails != before:
            before, moved = seen + result.mails, now
        done = seen >= result.tally.owed_count and result.mails >= result.tally.mails_owed
        if done or now - moved > _STILL_S or now - began > settle_s:
            return
        await asyncio.sleep(0.5)


async def close_the_accounts(api: Caller, result: Result, names: list[str]) -> None:
    """What the relay itself says: nothing is left pending, and each partner's feed has all of it."""
    for _ in range(100):
        pages = [await api.ask("GET", f"/v1/deliveries?channel={c}&status=pending&limit=500") for c in ("webhook", "email")]
        result.unsettled = sum(len(page["data"]) for page in pages)
        if not result.unsettled:
            break
        await asyncio.sleep(0.1)
    for name in names:
        fed = {one["id"] for one in await api.all(f"/v1/partners/{name}/events")}
        missing = result.tally.owed[name] - fed
        if missing:
            result.lost[f"{name} (feed)"] = missing
