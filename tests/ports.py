"""Which port may something of a test listen on, that is begun a little later?

One that no other test is given meanwhile: the processes of a run have ranges of their own, and go through them. None
of them is a port that the system gives to connections that go out, or that the relay takes by itself.
"""

from __future__ import annotations

import os
import secrets
import socket
from functools import cache

_FIRST, _EACH, _PROCESSES = 20_000, 750, 16
_HOST = "127.0.0.1"


class Ports:
    """The ports of one process."""

    def __init__(self, process: int) -> None:
        self._first = _FIRST + process % _PROCESSES * _EACH
        self._given = secrets.randbelow(_EACH)

    def free(self) -> int:
        """The next one that nobody listens on."""
        for _ in range(_EACH):
            self._given += 1
            port = self._first + self._given % _EACH
            try:
                with socket.create_server((_HOST, port)):
                    return port
            except OSError:
                continue
        raise AssertionError(f"all of {_EACH} ports from {self._first} are in use")


@cache
def _ports() -> Ports:
    return Ports(int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")))


def free_port() -> int:
    """One of this process's ports."""
    return _ports().free()
