"""How does the whole relay run in a test?

As it does in production: a durable database, a web process and a worker process, started with the
Procfile's own commands, and on the other side real receivers, a real mail server and a client of the
API. Processes are ended by their ids; what they logged is shown when a test fails.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from aiohttp import ClientConnectionError, ClientSession

from relay.child import dying_with_parent
from relay.embedded import EmbeddedValkey
from tests.fakes.partner import Partner
from tests.fakes.smtp import SmtpFake
from tests.pipeline.caller import OPERATOR, Caller, eventually
from tests.ports import free_port

_PROCFILE = Path(__file__).parents[2] / "Procfile"
_STOPPING_S = 30.0
_SHOWN = 6000
KEYS = json.dumps([base64.b64encode(b"k" * 32).decode()])


def environment(store_url: str, **more: str) -> dict[str, str]:
    """What an operator sets so that the relay runs, with endpoints on this machine allowed."""
    return {
        "RELAY_STORE__URL": store_url,
        "RELAY_OPERATOR_TOKEN": OPERATOR,
        "RELAY_SECRETS__KEYS": KEYS,
        "RELAY_EGRESS__ALLOW_HTTP": "true",
        "RELAY_EGRESS__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        "RELAY_MAIL__START_TLS": "never",
        "RELAY_MAIL__FROM_ADDRESS": "transfers@relay.example",
        **more,
    }


class Database(Protocol):
    """Anything that says where the relay's data is."""

    @property
    def url(self) -> str: ...


class Rig:
    """The running whole, as an async context manager; `api` is called as the operator."""

    def __init__(self, valkey: Database, folder: Path, **settings: str) -> None:
        self.valkey = valkey
        self.folder = folder
        self.hooks = Partner()
        self.mail = SmtpFake()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._settings = settings
        self._ports = {"web": free_port(), "web-2": free_port()}
        self._commands = dict(
            line.split(": ", 1) for line in _PROCFILE.read_text("utf-8").splitlines() if line.strip()
        )

    async def __aenter__(self) -> Self:
        self._http = await ClientSession().__aenter__()
        await self.hooks.__aenter__()
        await self.mail.__aenter__()
        self.api = Caller(self._http, f"http://127.0.0.1:{self._ports['web']}")
        try:
            self.start("web")
            self.start("worker")
            await self.ready()
            await self._works("worker")
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for name, process in self.processes.items():
                self.thaw(name)
                process.terminate()
            for name in list(self.processes):
                await self._ended(name)
        finally:
            self._show_logs()
            await self._http.close()
            await self.mail.__aexit__()
            await self.hooks.__aexit__(kind, error, trace)

    async def start_another_worker(self) -> str:
        """Starts one more, and waits until it works; its name."""
        name = "worker-2"
        self.start(name)
        await self._works(name)
        return name

    async def start_another_web(self) -> Caller:
        """Starts one more, and waits until it answers; the API that it answers, called as the operator."""
        self.start("web-2")
        other = Caller(self._http, f"http://127.0.0.1:{self._ports['web-2']}")

        async def look() -> bool | None:
            assert self.processes["web-2"].poll() is None, self.logs()
            try:
                status, _ = await other.raw("GET", "/readyz")
            except (ClientConnectionError, OSError):
                return None
            return True if status == 200 else None

        await eventually(look, "the second web process answers")
        return other

    async def _works(self, name: str) -> None:
        async def look() -> bool | None:
            assert self.processes[name].poll() is None, self.logs()
            return True if b"worker.ready" in self.log(name).read_bytes() else None

        await eventually(look, f"{name} works")

    def start(self, name: str) -> None:
        """Starts `web` or `worker` (also `worker-2`) as the Procfile does."""
        program, *arguments = shlex.split(self._commands[name.partition("-")[0]])
        assert program == "relay", "the Procfile starts something else"
        settings = {
            "RELAY_SERVER__PORT": str(self._ports.get(name, 0)),
            "RELAY_MAIL__URL": self.mail.url,
            **self._settings,
        }
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "relay", *arguments],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], **environment(self.valkey.url, **settings)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=dying_with_parent(),
            )

    async def ready(self) -> None:
        """Waits until the web process and its database answer."""

        async def look() -> bool | None:
            assert self.processes["web"].poll() is None, self.logs()
            try:
                status, _ = await self.api.raw("GET", "/readyz")
            except (ClientConnectionError, OSError):
                return None
            return True if status == 200 else None

        await eventually(look, "the web process answers")

    def kill(self, *names: str) -> None:
        """SIGKILL to `web`, `worker` or `database`: the machine's power is cut."""
        for name in names:
            if name == "database":
                os.kill(self._mortal().pid, signal.SIGKILL)
            else:
                self.processes[name].kill()

    def freeze(self, name: str) -> None:
        """SIGSTOP, to the database too: it holds what it holds and does nothing, until `thaw`."""
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        if name == "database":
            os.kill(self._mortal().pid, number)
        else:
            self.processes[name].send_signal(number)

    def bring_back(self, *names: str) -> None:
        """Starts again what was killed, as a supervisor does."""
        for name in names:
            if name == "database":
                while self._mortal().running:
                    os.sched_yield()
                self._mortal().restart()
        for name in names:
            if name != "database":
                self.processes[name].wait()
                self.start(name)

    def _mortal(self) -> EmbeddedValkey:
        assert isinstance(self.valkey, EmbeddedValkey), "this database is not the rig's to kill"
        return self.valkey

    async def stop(self, name: str) -> int:
        """SIGTERM, and the exit code."""
        self.processes[name].terminate()
        await self._ended(name)
        return self.processes[name].returncode

    async def _ended(self, name: str) -> None:
        process = self.processes[name]

        async def look() -> bool | None:
            return None if process.poll() is None else True

        try:
            await eventually(look, f"{name} ends", _STOPPING_S)
        except AssertionError:
            process.kill()
            process.wait()
            raise

    def log(self, name: str) -> Path:
        """Where a process logs to."""
        return self.folder / f"{name}.log"

    def logs(self) -> str:
        """What all processes logged."""
        return "".join(
            f"--- {name}\n{self.log(name).read_text('utf-8', 'replace')}\n" for name in self.processes
        )

    def _show_logs(self) -> None:
        for name in self.processes:
            print(f"--- {name}: {self.log(name)}\n{self.log(name).read_text('utf-8', 'replace')[-_SHOWN:]}")

    async def mails(self, count: int) -> list[Any]:
        """The messages that have arrived, once there are `count`."""

        async def look() -> list[Any] | None:
            return list(self.mail.messages) if len(self.mail.messages) >= count else None

        return await eventually(look, f"{count} mails; {len(self.mail.messages)} came")

