"""What does a delivery take of the database, from when it is accepted until nothing of it is left?

Whole lives of transfers go the whole way, to two endpoints. Then the clock is moved and retention takes what has had
its time, one kind after the other; after each the database is asked what it holds.
"""

from __future__ import annotations

import asyncio
import json

from bench.rig import CONNECTIONS, Relay, relay, say, sent
from bench.shapes import event, request
from bench.wire import Load, Sink
from relay.chain_key import chain_key
from relay.config import load
from relay.engine.chainer import Chainer
from relay.engine.retainer import Retainer
from relay.logs import open_log
from relay.record import Recorder
from relay.services import Services, open_services

_TRANSFERS = 4_000
_EVENTS, _ENDPOINTS = 2, 2
_DAY_MS = 86_400_000
_STAGES = {"whole": 0, "without_bodies": 31, "without_deliveries": 91, "without_transfers": 401, "nothing": 731}
"""What is left, by how many days after: the defaults of [retention]."""
_MOST_STEPS = 500


async def measure(sink: str, figures: dict[str, float], scale: int) -> None:
    """`kept_<stage>_bytes`: of the database, a delivery."""
    transfers = _TRANSFERS // scale
    deliveries = transfers * _EVENTS * _ENDPOINTS
    async with relay(sink) as running:
        await running.register(2)
        config = load(None, {**running.environ, "RELAY_LOG__LEVEL": "error", "RELAY_RETENTION__EVENTS_PER_SECOND": "5000"})
        async with open_services(config, open_log(config.log)) as services:
            await chain_key(services.store.chains, services.vault)
            empty = await _dataset(services)
            say(f"{transfers:,} transfers, {deliveries:,} deliveries")
            Sink.count = 0
            with running.worker():
                for type_ in ("created", "completed"):
                    await _post(running, type_, transfers)
                await sent(deliveries)
                await asyncio.sleep(8)  # what is told is recorded, and chained
            for stage, days in _STAGES.items():
                say(stage)
                await _pass(services, days)
                figures[f"kept_{stage}_bytes"] = (await _dataset(services) - empty) / deliveries


async def _post(running: Relay, type_: str, count: int) -> None:
    bodies = []
    for n in range(count):
        made = json.loads(event(f"m-{n}-{type_}", f"m-{n}", "p0", "p1"))
        made["type"] = f"transfer.{type_}"
        made["transfer"]["status"] = "pending" if type_ == "created" else type_
        bodies.append(request("relay", running.environ["RELAY_OPERATOR_TOKEN"], json.dumps(made).encode()))
    sending = Load(bodies.__getitem__, count, CONNECTIONS)
    await sending.run("127.0.0.1", running.port)
    assert sending.codes == {202: count}, sending.codes


async def _pass(services: Services, days: int) -> None:
    """It is so many days later, and retention has taken what it is to take."""

    def clock() -> int:
        return services.clock() + days * _DAY_MS + steps * 700_000

    steps = 0
    store, log = services.store, services.log
    recorder = Recorder(log, store.counters)
    chainer = Chainer(store, services.vault, 1, clock, log)
    left = True
    while left and steps < _MOST_STEPS:
        steps += 1
        before = await _dataset(services)
        await chainer.step()
        retainer = Retainer(store, services.config, services.vault, recorder, clock, log)
        await retainer.step()
        await retainer.idle()
        left = days > 0 and (steps < 5 or await _dataset(services) < before - 20_000)


async def _dataset(services: Services) -> int:
    info = await services.store.client.plain.info("memory")
    return int(info["used_memory_dataset"])
