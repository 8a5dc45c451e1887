"""How many events and deliveries a second, as a share of what the machine does bare?

Ingest: one web process, one event a request, no worker. Delivery: everything that waits, by one worker that
was started before; planning included. A machine has faster and slower minutes, so each round stands between two
of the bare limit, and its ratio is to those; what is told is the round with the median ratio.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable

from bench.rig import CONNECTIONS, Cost, Relay, Watch, listening, median, process, relay, say, sent
from bench.shapes import event, request
from bench.wire import Load, Sink
from relay.embedded import free_port

_ROUNDS = 9


class Rates:
    """One run; `scale` divides how much is measured."""

    def __init__(self, sink: str, figures: dict[str, float], scale: int) -> None:
        self._sink = sink
        self._figures = figures
        self._scale = scale
        self._warmed = 0
        self._bare: dict[str, list[Cost]] = defaultdict(list)

    async def run(self) -> None:
        """Measure all."""
        await self._ingest()
        for name, partners in (("two", 2), ("thousand", 1000)):
            await self._deliver(name, partners)
        figures = self._figures
        for name, costs in self._bare.items():
            figures[f"{name}_rate"] = median([cost.rate for cost in costs])
            figures[f"{name}_cpu_us"] = median([cost.cpu_us["process"] for cost in costs])
        figures["two_workers_to_one"] = (
            figures["deliver_two_workers_ratio"] / figures["deliver_thousand_ratio"]
        )

    async def _ingest(self) -> None:
        say("durable ingest by one web process, beside a bare server")
        total = 10_000 // self._scale
        port = free_port()
        with process("bench.bare", "server", str(port)) as server:
            await listening(port)
            await self._served(port, server.pid, 2_000)
            async with relay(self._sink) as running:
                await running.register(2)
                await running.post("warm", total // 4, 2)

                async def bare() -> Cost:
                    return await self._served(port, server.pid, total)

                async def ours(n: int) -> Cost:
                    load, cost = await running.watched(
                        f"i{n}", total, 2, web=running.web.pid, db=running.valkey.pid
                    )
                    self._figures["ingest_p50_ms"] = median(load.seconds) * 1000
                    return cost

                await self._rounds("ingest", "bare_server", bare, ours)

    async def _deliver(self, name: str, partners: int) -> None:
        say(f"delivery by one worker to {partners:,} endpoints, beside a bare client")
        total, limit = 8_000 // self._scale, f"bare_client_{name}"
        async with relay(self._sink) as running:
            await running.register(partners)
            with running.worker() as worker:
                await self._warm(running, partners)

                async def bare() -> Cost:
                    os.kill(worker.pid, signal.SIGSTOP)
                    try:
                        return await self._posted(total, partners)
                    finally:
                        os.kill(worker.pid, signal.SIGCONT)

                async def by_one(n: int) -> Cost:
                    return await self._drained(running, f"d{n}", total, partners, worker=worker.pid)

                await self._rounds(f"deliver_{name}", limit, bare, by_one)
                if partners > 2:
                    say("the same by two workers")
                    with running.worker() as second:
                        await self._warm(running, partners)
                        pids = {"worker": worker.pid, "second": second.pid}

                        async def by_two(n: int) -> Cost:
                            return await self._drained(running, f"w{n}", total, partners, **pids)

                        await self._rounds("deliver_two_workers", limit, bare, by_two)

    async def _rounds(
        self,
        name: str,
        limit: str,
        bare: Callable[[], Awaitable[Cost]],
        ours: Callable[[int], Awaitable[Cost]],
    ) -> None:
        before, rounds = await bare(), []
        self._bare[limit].append(before)
        for n in range(_ROUNDS):
            cost = await ours(n)
            after = await bare()
            self._bare[limit].append(after)
            rounds.append((2 * cost.rate / (before.rate + after.rate), cost))
            before = after
        ratio, cost = sorted(rounds, key=lambda one: one[0])[len(rounds) // 2]
        self._figures[f"{name}_ratio"] = ratio
        self._figures[f"{name}_rate"] = cost.rate
        for process_name, used in cost.cpu_us.items():
            self._figures[f"{name}_{process_name}_cpu_us"] = used

    async def _served(self, port: int, pid: int, total: int) -> Cost:
        body = request("relay", "x" * 40, event("evt-0", "t", "a", "b"))
        watch = Watch(process=pid)
        await Load(lambda _: body, total, CONNECTIONS).run("127.0.0.1", port)
        return watch.cost(total)

    async def _posted(self, total: int, endpoints: int) -> Cost:
        with process("bench.bare", "client", self._sink, str(total), str(endpoints)) as client:
            out = await asyncio.to_thread(client.communicate)
        told = json.loads(out[0])
        return Cost(told["rate"], {"process": told["cpu_us"]})

    async def _warm(self, running: Relay, partners: int) -> None:
        Sink.count = 0
        events = max(250, partners)
        self._warmed += 1
        await running.post(f"warm{self._warmed}", events, partners)
        await sent(2 * events)

    async def _drained(self, running: Relay, name: str, events: int, partners: int, **workers: int) -> Cost:
        """What waits while the workers are stopped, delivered once they go on."""
        for pid in workers.values():
            os.kill(pid, signal.SIGSTOP)
        await running.post(name, events, partners)
        await asyncio.sleep(1)  # what the web process writes once a second is no part of this
        Sink.count = 0
        watch = Watch(**workers, db=running.valkey.pid)
        for pid in workers.values():
            os.kill(pid, signal.SIGCONT)
        await sent(2 * events)
        return watch.cost(2 * events)
