"""How many events and deliveries a second, as a share of what the machine does bare?

Ingest: one web process, one event a request, no worker. Delivery: everything that waits, by one worker that
was started before; planning included. The bare limits are measured before and after, in the same run.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal

from bench.rig import CONNECTIONS, Cost, Relay, Watch, listening, median, middle, process, relay, say, sent
from bench.shapes import event, request
from bench.wire import Load, Sink
from relay.embedded import free_port

_ROUNDS = 3


class Rates:
    """One run; `scale` divides how much is measured."""

    def __init__(self, sink: str, figures: dict[str, float], scale: int) -> None:
        self._sink = sink
        self._figures = figures
        self._scale = scale
        self._bare: dict[str, list[Cost]] = {"bare_server": [], "bare_client": []}

    async def run(self) -> None:
        """Measure, and add the ratios."""
        await self._limits()
        await self._ingest()
        for name, partners in (("two", 2), ("thousand", 1000)):
            await self._deliver(name, partners)
        await self._limits()
        figures = self._figures
        for name, costs in self._bare.items():
            figures[f"{name}_rate"] = median([cost.rate for cost in costs])
            figures[f"{name}_cpu_us"] = median([cost.cpu_us["process"] for cost in costs])
        figures["ingest_ratio"] = figures["ingest_rate"] / figures["bare_server_rate"]
        for name in ("two", "thousand", "two_workers"):
            figures[f"deliver_{name}_ratio"] = figures[f"deliver_{name}_rate"] / figures["bare_client_rate"]
        figures["two_workers_to_one"] = figures["deliver_two_workers_rate"] / figures["deliver_thousand_rate"]

    async def _limits(self) -> None:
        say("the bare server and the bare client")
        port, total = free_port(), 20_000 // self._scale
        with process("bench.bare", "server", str(port)) as server:
            await listening(port)
            body = request("relay", "x" * 40, event("evt-0", "t", "a", "b"))
            await Load(lambda _: body, total // 4, CONNECTIONS).run("127.0.0.1", port)
            watch = Watch(process=server.pid)
            await Load(lambda _: body, total, CONNECTIONS).run("127.0.0.1", port)
            self._bare["bare_server"].append(watch.cost(total))
        with process("bench.bare", "client", self._sink, str(total)) as client:
            out = await asyncio.to_thread(client.communicate)
        told = json.loads(out[0])
        self._bare["bare_client"].append(Cost(told["rate"], {"process": told["cpu_us"]}))

    async def _ingest(self) -> None:
        say("durable ingest by one web process")
        total = 10_000 // self._scale
        async with relay(self._sink) as running:
            await running.register(2)
            await running.post("warm", total // 8, 2)
            costs, waits = [], []
            for n in range(_ROUNDS):
                watch = Watch(web=running.web.pid, db=running.valkey.pid)
                load = await running.post(f"i{n}", total, 2)
                costs.append(watch.cost(total))
                waits.append(median(load.seconds) * 1000)
        self._keep("ingest", middle(costs))
        self._figures["ingest_p50_ms"] = median(waits)

    async def _deliver(self, name: str, partners: int) -> None:
        say(f"delivery by one worker to {partners:,} endpoints")
        total = 8_000 // self._scale
        async with relay(self._sink) as running:
            await running.register(partners)
            with running.worker() as worker:
                await self._warm(running, partners)
                costs = [
                    await self._drained(running, f"d{n}", total, partners, worker=worker.pid) for n in range(_ROUNDS)
                ]
                self._keep(f"deliver_{name}", middle(costs))
                if partners > 2:
                    say("the same by two workers")
                    with running.worker() as second:
                        await self._warm(running, partners)
                        pids = {"worker": worker.pid, "second": second.pid}
                        costs = [
                            await self._drained(running, f"w{n}", total, partners, **pids) for n in range(_ROUNDS)
                        ]
                    self._keep("deliver_two_workers", middle(costs))

    async def _warm(self, running: Relay, partners: int) -> None:
        Sink.count = 0
        events = max(250, partners)
        await running.post(f"warm{id(object())}", events, partners)
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

    def _keep(self, name: str, cost: Cost) -> None:
        self._figures[f"{name}_rate"] = cost.rate
        for process_name, used in cost.cpu_us.items():
            self._figures[f"{name}_{process_name}_cpu_us"] = used






