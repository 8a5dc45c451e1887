"""What does every measurement stand on?

Real processes on loopback, the embedded database with fsync before every answer, the CPU each has used, and
the figures that are kept.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession

from bench.shapes import event, request
from bench.wire import Load, Sink
from relay.embedded import EmbeddedValkey, free_port

_TOKEN = secrets.token_hex(20)
CONNECTIONS = 256


def say(what: str) -> None:
    """What is being measured, for who waits."""
    print(f"… {what}", file=sys.stderr, flush=True)


def cpu_us(pid: int) -> float:
    """The CPU microseconds a process has used."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1000


@contextmanager
def process(*command: str, environ: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, ended at the end. `BENCH_LOGS=1` shows its log."""
    log = None if os.environ.get("BENCH_LOGS") else subprocess.DEVNULL
    with subprocess.Popen(
        [sys.executable, "-m", *command], env={**os.environ, **(environ or {})}, stdout=subprocess.PIPE, stderr=log
    ) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGCONT)
            running.terminate()


async def listening(port: int) -> None:
    """Wait until somebody listens on a port."""
    for _ in range(400):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise TimeoutError(f"nothing listens on port {port}")


@dataclass(slots=True)
class Cost:
    """What one part of a measurement took: units a second, and CPU microseconds a unit by process."""

    rate: float
    cpu_us: dict[str, float]


def middle(costs: list[Cost]) -> Cost:
    """The run in the middle: the one with the median rate."""
    return sorted(costs, key=lambda cost: cost.rate)[len(costs) // 2]


def percentile(values: list[float], share: float) -> float:
    """A percentile of unsorted values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Watch:
    """Reads what processes use between two moments."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self._began = time.perf_counter()
        self._before = {name: cpu_us(pid) for name, pid in pids.items()}

    def cost(self, units: int) -> Cost:
        """What `units` cost since the beginning."""
        seconds = time.perf_counter() - self._began
        used = {name: (cpu_us(pid) - self._before[name]) / units for name, pid in self._pids.items()}
        return Cost(units / seconds, used)


class Relay:
    """A relay of real processes, with partners `p0`, `p1`, … whose endpoints are the sink."""

    def __init__(self, sink: str, valkey: EmbeddedValkey, port: int) -> None:
        self.sink = sink
        self.valkey = valkey
        self.port = port
        self.environ = {
            "RELAY_STORE__URL": valkey.url,
            "RELAY_SERVER__PORT": str(port),
            "RELAY_OPERATOR_TOKEN": _TOKEN,
            "RELAY_SECRETS__KEYS": json.dumps([base64.b64encode(b"k" * 32).decode()]),
            "RELAY_EGRESS__ALLOW_NETWORKS": '["127.0.0.0/8"]',
            "RELAY_EGRESS__ALLOW_HTTP": "true",
        }
        self.web: subprocess.Popen[bytes]

    def session(self) -> ClientSession:
        """A client with the operator's token."""
        return ClientSession(f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {_TOKEN}"})

    async def register(self, partners: int, *, first: int = 0, path: str = "p", **endpoint: object) -> list[str]:
        """Partners with one endpoint each; the ids of the endpoints."""
        made = []
        async with self.session() as session:
            for n in range(first, first + partners):
                async with session.put(f"/v1/partners/p{n}", json={"name": f"P{n}", "admin_agents": []}) as answer:
                    assert answer.status < 300, await answer.text()
                body = {"url": f"{self.sink}/{path}{n}", **endpoint}
                async with session.post(f"/v1/partners/p{n}/endpoints", json=body) as answer:
                    assert answer.status == 201, await answer.text()
                    made.append((await answer.json())["id"])
        return made

    async def post(self, name: str, events: int, partners: int) -> Load:
        """Post events between the partners in turn, one a request, over CONNECTIONS connections."""
        load, _ = await self.watched(name, events, partners)
        return load

    async def watched(self, name: str, events: int, partners: int, **pids: int) -> tuple[Load, Cost]:
        """The same, and what these processes used from the first request on: making the bodies is no part of it."""
        bodies = [
            request(
                "relay", _TOKEN, event(f"{name}-{n}", f"t-{name}-{n}", f"p{2 * n % partners}", f"p{(2 * n + 1) % partners}")
            )
            for n in range(events)
        ]
        load = Load(bodies.__getitem__, events, CONNECTIONS)
        watch = Watch(**pids)
        load.rate = await load.run("127.0.0.1", self.port)
        cost = watch.cost(events)
        assert load.codes == {202: events}, load.codes
        return load, cost

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker process."""
        with process("relay", "work", environ=self.environ) as running:
            yield running


@asynccontextmanager
async def relay(sink: str) -> AsyncIterator[Relay]:
    """A database and a web process; workers are started by who needs them."""
    with tempfile.TemporaryDirectory() as data, EmbeddedValkey.start(Path(data)) as valkey:
        made = Relay(sink, valkey, free_port())
        with process("relay", "serve", environ=made.environ) as web:
            made.web = web
            await listening(made.port)
            yield made


async def sent(total: int) -> None:
    """Wait until the sink has had `total` requests since it was last reset."""
    Sink.target = total
    Sink.reached.clear()
    if Sink.count < total:
        await asyncio.wait_for(Sink.reached.wait(), 600)


def median(values: list[float]) -> float:
    """The value in the middle."""
    return statistics.median(values)
