"""Does the embedded database keep what it is given, and does it go when it should?"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from relay.embedded import EmbeddedValkey, end_orphan
from relay.store.client import Client
from relay.store.durability import durability_problems
from tests.ports import free_port

_START_AND_BE_KILLED = """
import sys, os, signal
from pathlib import Path
from relay.embedded import EmbeddedValkey
valkey = EmbeddedValkey.start(Path(sys.argv[1]))
print(valkey.pid, valkey.url, flush=True)
signal.pause()
"""


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    with EmbeddedValkey.start(tmp_path / "data") as valkey, Redis.from_url(valkey.url) as redis:
        redis.set("kept", "yes")
    with EmbeddedValkey.start(tmp_path / "data") as valkey, Redis.from_url(valkey.url) as redis:
        assert redis.get("kept") == b"yes"


def test_what_was_written_is_there_after_a_kill(tmp_path: Path) -> None:
    with EmbeddedValkey.start(tmp_path) as valkey:
        with Redis.from_url(valkey.url) as redis:
            redis.set("kept", "yes")
        os.kill(valkey.pid, signal.SIGKILL)
        valkey._process.wait()
        valkey.restart()
        with Redis.from_url(valkey.url) as redis:
            assert redis.get("kept") == b"yes"


async def test_it_is_as_durable_as_the_relay_asks_for(tmp_path: Path) -> None:
    with EmbeddedValkey.start(tmp_path) as valkey:
        client = Client.connect(valkey.url, prefix="t", connections=1)
        assert await durability_problems(client) == []
        await client.close()


def test_nobody_gets_in_without_the_password_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    with EmbeddedValkey.start(tmp_path) as valkey:
        with Redis(port=valkey.port) as redis, pytest.raises(Exception, match="[Aa]uthentication"):
            redis.get("x")
        assert stat.S_IMODE((tmp_path / "password").stat().st_mode) == 0o600
        command = Path(f"/proc/{valkey.pid}/cmdline").read_bytes().decode()
        assert (tmp_path / "password").read_text().strip() not in command


def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _START_AND_BE_KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, url = parent.stdout.readline().split()
        with Redis.from_url(url) as redis:
            redis.set("kept", "yes")
        parent.kill()
    with EmbeddedValkey.start(tmp_path) as valkey, Redis.from_url(valkey.url) as redis:
        assert valkey.pid != int(pid)
        assert redis.get("kept") == b"yes"


def test_a_server_left_over_the_same_folder_is_ended_first(tmp_path: Path) -> None:
    left = EmbeddedValkey.start(tmp_path)
    with EmbeddedValkey.start(tmp_path) as valkey:
        assert not left.running
        assert valkey.running


def test_a_recorded_process_that_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(str(os.getpid()))
    assert not end_orphan(tmp_path)


def test_a_port_that_is_taken_is_said_with_the_servers_own_words(tmp_path: Path) -> None:
    from relay.embedded import EmbeddedError

    with (
        EmbeddedValkey.start(tmp_path / "one", free_port()) as valkey,
        pytest.raises(EmbeddedError, match="(?i)address already in use"),
    ):
        EmbeddedValkey.start(tmp_path / "two", valkey.port)
