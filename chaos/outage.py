"""Does everything go on by itself when the database was away for a whole while?

Under steady load it is frozen for so long (connections stay and nothing answers), and, once all goes on,
killed and kept away for as long (connections are refused). Nothing but the database is started again. Somebody
knocks at the door all the time: each answer must be a sound one, or 503 and say when to come back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from chaos.load import Load
from chaos.partners import Receivers
from chaos.storm import MAILED, Result, close_the_accounts, register, settle
from relay.embedded import EmbeddedValkey
from tests.pipeline.caller import Caller, eventually
from tests.pipeline.events import step
from tests.pipeline.rig import Rig

_KNOCK_S = 0.2
_PATIENCE_S = 40.0
"""How long an answer at the door may take: longer than any time-out on the way to it."""
_BEFORE = 100
_BACK_S = 60.0


@dataclass(slots=True)
class Outage:
    """The database is away for `away_s`, twice, under `rate` events a second; `settings` are the relay's."""

    seed: str
    away_s: float
    rate: float
    settle_s: float
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Seen(Result):
    """How it went. `refused` counts the answers 503 while it was away, `slowest_s` is how long the slowest answer took,
    `back_s` after how long an event was acknowledged again and something arrived, by kind of outage."""

    refused: int = 0
    slowest_s: float = 0.0
    back_s: dict[str, tuple[float, float]] = field(default_factory=dict)


async def sit_out(outage: Outage, folder: Path, say: Callable[[str], None]) -> Seen:
    """Do it, over a fresh database in `folder`; `say` is told what goes on."""
    seen, began = Seen(), time.monotonic()
    async with AsyncExitStack() as stack:
        # The kernel ends a child with the thread that started it: this one lives to the end.
        keeper = stack.enter_context(ThreadPoolExecutor(1))
        loop = asyncio.get_running_loop()
        valkey = await loop.run_in_executor(keeper, EmbeddedValkey.start, folder / "data")
        stack.push_async_callback(lambda: asyncio.to_thread(valkey.stop))
        receivers = await stack.enter_async_context(Receivers(seen.tally, outage.seed))
        rig = await stack.enter_async_context(Rig(valkey, folder, **outage.settings))
        http = await stack.enter_async_context(ClientSession(timeout=ClientTimeout(total=_PATIENCE_S)))
        api = Caller(http, rig.api.base)
        names = await register(api, receivers)
        load = Load(api, seen.tally, outage.seed, outage.rate, names, {n for n in names if n in MAILED})
        posting = asyncio.ensure_future(load.run())
        knocking = asyncio.ensure_future(_knock(api, seen, names))
        stack.callback(posting.cancel)
        stack.callback(knocking.cancel)
        for kind in ("frozen", "dead"):
            await _delivers(seen, _BEFORE)
            if kind == "frozen":
                rig.freeze("database")
            else:
                rig.kill("database")
                seen.kills["database"] += 1
            say(f"the database is {kind} for {outage.away_s:g} s")
            await asyncio.sleep(outage.away_s)
            status, _ = await api.raw("GET", "/readyz")
            if status != 503:
                seen.tally.problems.append(f"/readyz is {status} while the database is {kind}")
            if kind == "frozen":
                rig.thaw("database")
            else:
                await loop.run_in_executor(keeper, rig.bring_back, "database")
            seen.back_s[kind] = await _back(seen)
            acknowledged, arrived = seen.back_s[kind]
            say(f"back: an event acknowledged after {acknowledged:.1f} s, one delivered after {arrived:.1f} s")
            seen.rounds += 1
        await _delivers(seen, _BEFORE)
        seen.ended = [name for name, one in rig.processes.items() if one.poll() is not None]
        receivers.behave()
        load.stop()
        await posting
        knocking.cancel()
        await settle(rig, seen, outage.settle_s)
        seen.lost = seen.tally.lost()
        await close_the_accounts(api, seen, names)
        seen.seconds = time.monotonic() - began
    return seen


async def _knock(api: Caller, seen: Seen, names: list[str]) -> None:
    """Post an event of its own every while, and hold the door to what it promises."""
    chance, headers = Random("knock"), {"Authorization": f"Bearer {api.token}"}
    count = 0
    async with asyncio.TaskGroup() as group:
        while True:
            count += 1
            source, target = chance.sample(names, 2)
            group.create_task(_ask(api, seen, step(f"knock-{count}", "canceled", 1, source=source, target=target), headers))
            await asyncio.sleep(_KNOCK_S)


async def _ask(api: Caller, seen: Seen, event: dict[str, Any], headers: dict[str, str]) -> None:
    began = time.monotonic()
    try:
        async with api.http.post(f"{api.base}/v1/events", json=event, headers=headers) as answer:
            await answer.read()
            status, retry_after = answer.status, answer.headers.get("Retry-After", "")
    except (ClientError, TimeoutError) as error:
        seen.tally.problems.append(f"at the door: {type(error).__name__}")
        return
    seen.slowest_s = max(seen.slowest_s, time.monotonic() - began)
    if status == 503 and retry_after.isdecimal() and int(retry_after) >= 1:
        seen.refused += 1
    elif status == 202:
        parties = (event["transfer"][role]["id"] for role in ("source", "target"))
        seen.tally.acknowledge(event["id"], parties, 0)
    else:
        seen.tally.problems.append(f"at the door: {status}, Retry-After {retry_after!r}")


async def _delivers(seen: Seen, count: int) -> None:
    """Waits until so many more have arrived."""
    wanted = seen.tally.delivered_count + count

    async def look() -> bool | None:
        return True if seen.tally.delivered_count >= wanted else None

    await eventually(look, f"{count} more are delivered", _BACK_S)


async def _back(seen: Seen) -> tuple[float, float]:
    """After how long an event is acknowledged, and one delivered, from now on."""
    began, tally = time.monotonic(), seen.tally
    acknowledged, arrived = tally.acknowledged, tally.delivered_count

    async def accepts() -> float | None:
        return time.monotonic() - began if tally.acknowledged > acknowledged else None

    async def delivers() -> float | None:
        return time.monotonic() - began if tally.delivered_count > arrived else None

    first, second = await asyncio.gather(
        eventually(accepts, "an event is acknowledged", _BACK_S), eventually(delivers, "an event is delivered", _BACK_S)
    )
    return first, second
