"""How does a child of `relay up` live, and how does it end?

It is started, what it writes is passed on line by line, and when it dies it is started again, a little
later each time. It ends when it is told to, or with its parent.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence

from relay.child import dying_with_parent

Say = Callable[[str, str], None]
"""Takes the source and a line."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 10.0
_STEADY_S = 30.0  # who ran this long is started again at once
_LONGEST_LINE = 4 * 1024 * 1024


class Child:
    """One process under its name."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], say: Say) -> None:
        self._name = name
        self._command = command
        self._environ = environ
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._ending = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process that runs now, if one does."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    async def run(self) -> None:
        """Keep it running until `end`."""
        wait = _FIRST_WAIT_S
        while not self._ending.is_set():
            began = time.monotonic()
            code = await self._once()
            if self._ending.is_set():
                return
            wait = _FIRST_WAIT_S if time.monotonic() - began > _STEADY_S else min(wait * 2, _LONGEST_WAIT_S)
            self._say(self._name, f"ended with {_how(code)}; starts again in {wait:.0f} s")
            try:
                await asyncio.wait_for(self._ending.wait(), wait)
            except TimeoutError:
                continue

    async def end(self, patience_s: float) -> None:
        """Ask it to end; kill it if it has not within `patience_s`."""
        self._ending.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), patience_s)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _once(self) -> int:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LONGEST_LINE,
            process_group=0,  # Ctrl-C reaches the parent, which ends its children in order
            preexec_fn=dying_with_parent(),
        )
        if self._ending.is_set():  # told so while it was being started
            self._process.kill()
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:  # longer than the longest: asyncio has dropped it
                self._say(self._name, "(a line too long to show)")
                continue
            if not line:
                break
            self._say(self._name, line.decode("utf-8", "replace").rstrip("\r\n"))
        return await self._process.wait()


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
