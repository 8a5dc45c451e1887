"""How fast is the relay, as a share of what this machine does bare, in this very run?

Real processes: the embedded database with fsync before every answer, a web process, a worker, a sink. Every
figure stands beside its bare limit; ratios travel between machines, rates do not. The result is a table
and `bench/results/latest.json`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop
from aiohttp import ClientSession
from rich.console import Console
from rich.table import Table

from bench.shapes import event, request
from bench.wire import Load, Sink
from relay.embedded import EmbeddedValkey, free_port

_TICK = os.sysconf("SC_CLK_TCK")
_TOKEN = secrets.token_hex(20)
_CONNECTIONS = 128


@dataclass(slots=True)
class Results:
    """What was measured; rates a second, CPU in microseconds a unit, times in milliseconds."""

    python: str = platform.python_version()
    cores: int = os.cpu_count() or 0
    figures: dict[str, float] = field(default_factory=dict)


def say(what: str) -> None:
    """What is being measured, for who waits."""
    print(f"… {what}", file=sys.stderr, flush=True)


def cpu_s(pid: int) -> float:
    """The CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


@contextmanager
def process(*command: str, environ: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, ended at the end."""
    log = None if os.environ.get("BENCH_LOGS") else subprocess.DEVNULL
    with subprocess.Popen(
        [sys.executable, "-m", *command], env={**os.environ, **(environ or {})}, stdout=subprocess.PIPE, stderr=log
    ) as running:
        try:
            yield running
        finally:
            running.terminate()


async def listening(port: int) -> None:
    """Wait until somebody listens on a port."""
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise TimeoutError(f"nothing listens on port {port}")


class Bench:
    """One run."""

    def __init__(self, quick: bool) -> None:
        self.scale = 4 if quick else 1
        self.results = Results()
        self.figures = self.results.figures

    async def run(self) -> Results:
        """Measure everything, bare limits first and last."""
        loop = asyncio.get_running_loop()
        Sink.reached = asyncio.Event()
        sink_port = free_port()
        await loop.create_server(Sink, "127.0.0.1", sink_port, backlog=4096)
        self.sink = f"http://127.0.0.1:{sink_port}"
        await self.bare_server()
        await self.bare_client()
        for name, partners in (("two", 2), ("thousand", 1000)):
            await self.relay(name, partners)
        f = self.figures
        f["ingest_ratio"] = f["ingest_rate"] / f["bare_server_rate"]
        for name in ("two", "thousand"):
            f[f"deliver_{name}_ratio"] = f[f"deliver_{name}_rate"] / f["bare_client_rate"]
        return self.results

    async def bare_server(self) -> None:
        """The limit of ingest."""
        say("bare server")
        port = free_port()
        with process("bench.bare", "server", str(port)) as server:
            await listening(port)
            total = 40_000 // self.scale
            body = request("relay", _TOKEN, event("evt-0", "t", "a", "b"))
            await Load(lambda n: body, total // 8, _CONNECTIONS).run("127.0.0.1", port)
            before = cpu_s(server.pid)
            self.figures["bare_server_rate"] = await Load(lambda n: body, total, _CONNECTIONS).run("127.0.0.1", port)
            self.figures["bare_server_cpu_us"] = (cpu_s(server.pid) - before) / total * 1e6

    async def bare_client(self) -> None:
        """The limit of delivery."""
        say("bare client")
        count = 40_000 // self.scale
        with process("bench.bare", "client", self.sink, str(count)) as client:
            out = await asyncio.to_thread(client.communicate)
        told = json.loads(out[0])
        self.figures["bare_client_rate"] = told["rate"]
        self.figures["bare_client_cpu_us"] = told["cpu_us"]

    async def relay(self, name: str, partners: int) -> None:
        """Ingest without a worker, then delivery of all of it by one worker, with a web process idle."""
        say(f"ingest, {partners} partners")
        total = 20_000 // self.scale
        with ExitStack() as stack:
            data = stack.enter_context(tempfile.TemporaryDirectory())
            valkey = stack.enter_context(EmbeddedValkey.start(Path(data)))
            port = free_port()
            environ = self.environ(valkey.url, port)
            with process("relay", "serve", environ=environ) as web:
                await listening(port)
                await self.register(port, partners)
                bodies = [
                    request(
                        "relay",
                        _TOKEN,
                        event(f"e-{name}-{n}", f"t-{n}", f"p{2 * n % partners}", f"p{(2 * n + 1) % partners}"),
                    )
                    for n in range(total)
                ]
                web_before, db_before = cpu_s(web.pid), cpu_s(valkey.pid)
                load = Load(bodies.__getitem__, total, _CONNECTIONS)
                rate = await load.run("127.0.0.1", port)
                assert load.codes == {202: total}, load.codes
                if name == "two":
                    self.figures["ingest_rate"] = rate
                    self.figures["ingest_web_cpu_us"] = (cpu_s(web.pid) - web_before) / total * 1e6
                    self.figures["ingest_db_cpu_us"] = (cpu_s(valkey.pid) - db_before) / total * 1e6
                    self.figures["ingest_p50_ms"] = statistics.median(load.seconds) * 1000
                await self.deliver(name, total * 2, environ, valkey.pid)
                if name == "two":
                    await self.latency(port, environ)

    async def deliver(self, name: str, deliveries: int, environ: dict[str, str], database: int) -> None:
        """Everything that waits, by one worker; planning included."""
        say(f"delivery of {deliveries}")
        Sink.count, Sink.target = 0, deliveries
        Sink.reached.clear()
        db_before = cpu_s(database)
        with process("relay", "work", environ=environ) as worker:
            while Sink.count == 0:
                await asyncio.sleep(0.005)
            began, first = time.perf_counter(), Sink.count
            await asyncio.wait_for(Sink.reached.wait(), 300)
            seconds = time.perf_counter() - began
            self.figures[f"deliver_{name}_rate"] = (deliveries - first) / seconds
            self.figures[f"deliver_{name}_worker_cpu_us"] = cpu_s(worker.pid) / deliveries * 1e6
            self.figures[f"deliver_{name}_db_cpu_us"] = (cpu_s(database) - db_before) / deliveries * 1e6

    async def latency(self, port: int, environ: dict[str, str]) -> None:
        """From the 202 to the arrival, at a steady 200 events a second."""
        say("latency at 200 a second")
        total = 2_000 // self.scale
        Sink.keep_arrivals = True
        sent: dict[str, float] = {}
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        with process("relay", "work", environ=environ):
            await asyncio.sleep(2)
            async with ClientSession(headers=headers) as session:

                async def post(n: int) -> None:
                    body = event(f"l-{n}", f"tl-{n}", "p0", "p1")
                    async with session.post(f"http://127.0.0.1:{port}/v1/events", data=body) as answer:
                        await answer.read()
                        sent[f"l-{n}"] = time.time()

                began = time.perf_counter()
                tasks = []
                for n in range(total):
                    await asyncio.sleep(max(0.0, began + n / 200 - time.perf_counter()))
                    tasks.append(asyncio.ensure_future(post(n)))
                await asyncio.gather(*tasks)
            for _ in range(100):
                if len(Sink.arrivals) >= total:
                    break
                await asyncio.sleep(0.05)
        Sink.keep_arrivals = False
        waits = sorted((Sink.arrivals[name] - at) * 1000 for name, at in sent.items() if name in Sink.arrivals)
        self.figures["arrival_p50_ms"] = waits[len(waits) // 2]
        self.figures["arrival_p99_ms"] = waits[int(len(waits) * 0.99)]

    async def register(self, port: int, partners: int) -> None:
        """Partners p0, p1, … with one endpoint each."""
        base = f"http://127.0.0.1:{port}/v1/partners"
        async with ClientSession(headers={"Authorization": f"Bearer {_TOKEN}"}) as session:
            for n in range(partners):
                async with session.put(f"{base}/p{n}", json={"name": f"P{n}", "admin_agents": []}) as answer:
                    assert answer.status < 300, await answer.text()
                async with session.post(f"{base}/p{n}/endpoints", json={"url": f"{self.sink}/p{n}"}) as answer:
                    assert answer.status == 201, await answer.text()

    def environ(self, url: str, port: int) -> dict[str, str]:
        """The settings of the processes: everything on, loopback allowed."""
        return {
            "RELAY_STORE__URL": url,
            "RELAY_SERVER__PORT": str(port),
            "RELAY_OPERATOR_TOKEN": _TOKEN,
            "RELAY_SECRETS__KEYS": json.dumps([base64.b64encode(b"k" * 32).decode()]),
            "RELAY_EGRESS__ALLOW_NETWORKS": '["127.0.0.0/8"]',
            "RELAY_EGRESS__ALLOW_HTTP": "true",
        }


def main() -> None:
    """Run, print the table, keep the figures."""
    results = uvloop.run(Bench(quick="--quick" in sys.argv).run())
    table = Table("figure", "value", title=f"Python {results.python}, {results.cores} cores")
    for name, value in results.figures.items():
        table.add_row(name, f"{value:,.2f}" if value < 100 else f"{value:,.0f}")
    Console().print(table)
    kept = Path("bench/results")
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "latest.json").write_text(json.dumps(asdict(results), indent=1) + "\n")


if __name__ == "__main__":
    main()
