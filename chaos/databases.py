"""Which database is killed, and how does it come back?

One server, or a cluster of three with a small server beside it for arq, as in production. A kill of the cluster
takes one of its servers or all of them, drawn from the run's seed.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from random import Random
from typing import Protocol

from relay.embedded import EmbeddedValkey
from tests.fakes.servers import ClusterOf3

_ALL = 0.3
"""Share of the cluster's kills that take all of its servers."""


class Mortal(Protocol):
    """A database that may be killed; `settings` are what the relay is told of it beside its URL. Call it in a thread
    that lives to the end: the kernel ends a child with the thread that started it."""

    settings: dict[str, str]

    @property
    def url(self) -> str: ...

    def kill(self) -> None:
        """SIGKILL."""

    def bring_back(self) -> None:
        """Start again what was killed."""

    def stop(self) -> None:
        """End it for good."""


class One:
    """One server."""

    def __init__(self, folder: Path) -> None:
        self.settings: dict[str, str] = {}
        self._server = EmbeddedValkey.start(folder)

    @property
    def url(self) -> str:
        return self._server.url

    def kill(self) -> None:
        os.kill(self._server.pid, signal.SIGKILL)

    def bring_back(self) -> None:
        while self._server.running:
            os.sched_yield()
        self._server.restart()

    def stop(self) -> None:
        self._server.stop()


class Three:
    """A cluster of three; arq's server is killed too when all are."""

    def __init__(self, folder: Path, seed: str) -> None:
        self._wakes = One(folder / "arq")
        self._cluster = ClusterOf3(folder)
        self._cluster.up()
        self._chance = Random(f"{seed}-servers")
        self._dead = list(self._cluster.servers[:0])
        self._all_dead = False
        self.settings = {"RELAY_STORE__ARQ_URL": self._wakes.url}

    @property
    def url(self) -> str:
        return self._cluster.url

    def kill(self) -> None:
        servers = self._cluster.servers
        self._all_dead = self._chance.random() < _ALL
        self._dead = servers if self._all_dead else [self._chance.choice(servers)]
        for server in self._dead:
            server.signal(signal.SIGKILL)
        if self._all_dead:
            self._wakes.kill()

    def bring_back(self) -> None:
        for server in self._dead:
            server.start()
        if self._all_dead:
            self._wakes.bring_back()

    def stop(self) -> None:
        self._cluster.__exit__(None, None, None)
        self._wakes.stop()
