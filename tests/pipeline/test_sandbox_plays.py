"""Is every life played from end to end by one command against a running `relay up`, and shown?"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from relay.sandbox.plays.lives import LIVES
from tests.pipeline.test_up import up

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc")

DEADLINE_S = 240
PLAYED: dict[str, tuple[list[str], dict[str, int]]] = {
    "subscription-completed": (["pending", "in_progress", "completed"], {"e-mail": 8, "webhook": 6}),
    "subscription-retried": (
        ["pending", "in_progress", "partially_completed", "in_progress", "completed"], {"e-mail": 8, "webhook": 10},
    ),
    "subscription-expired": (["pending", "expired"], {"e-mail": 3, "webhook": 4}),
    "subscription-canceled": (["pending", "canceled"], {"e-mail": 3, "webhook": 4}),
    "subscription-garbled": (["pending", "in_progress", "completed"], {"e-mail": 8, "webhook": 6}),
    "sim-completed": (["pending", "completed"], {"e-mail": 2, "webhook": 4}),
    "sim-partially-completed": (["pending", "partially_completed"], {"e-mail": 2, "webhook": 4}),
    "sim-canceled": (["pending", "canceled"], {"e-mail": 2, "webhook": 4}),
    "sim-failed": (["pending", "failed"], {"e-mail": 2, "webhook": 4}),
    "sim-assisted": (["pending", "in_progress", "completed"], {"e-mail": 2, "webhook": 6}),
}  # fmt: skip
"""The states of each life, and how many mails and POSTs it comes to: the table of who is told what."""
STEPS = {
    "transfer.created": "pending", "transfer.updated": "in_progress", "transfer.completed": "completed",
    "transfer.partially_completed": "partially_completed", "transfer.failed": "failed",
    "transfer.expired": "expired", "transfer.canceled": "canceled",
}  # fmt: skip


async def command(data: Path, *arguments: str) -> tuple[int, str, str]:
    """What `relay sandbox …` says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", "sandbox", *arguments, "--data", str(data),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    return process.returncode or 0, out.decode(), err.decode()


async def test_every_life_is_played_and_shown(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with up(data, "--port", "0") as terminal:
        await terminal.says("Ctrl-C stops everything")
        code, listed, _ = await command(data, "play", "--list")
        assert code == 0
        assert all(name in listed for name in LIVES)
        for name, (statuses, told) in PLAYED.items():
            code, out, err = await command(data, "play", name, "--fast", "--json")
            lines: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
            assert code == 0, f"{name}: {out[-2000:]} {err}"
            assert (lines[-1]["what"], lines[-1]["ok"]) == ("end", True)
            events = [line["text"].split()[0] for line in lines if line["what"] == "state"]
            assert [STEPS[event] for event in events] == statuses, name
            count = Counter(line["what"] for line in lines)
            assert {"e-mail": count["mail"], "webhook": count["post"]} == told, name
            assert all(line["ok"] for line in lines if line["what"] in ("mail", "post")), name
            assert all(line["text"].startswith("[") for line in lines if line["what"] == "mail"), "each has its subject"
        await _refused(data)


async def _refused(data: Path) -> None:
    code, _, err = await command(data, "play", "sim-of-the-century")
    assert code == 2
    assert "sim-completed" in err
    url = (data / "sandbox" / "url").read_text("ascii").strip()
    token = (data / "operator-token").read_text("ascii").strip()
    headers = {"Authorization": f"Bearer {token}"}
    async with ClientSession(headers=headers) as http:
        async with http.post(f"{url}/sandbox/plays", json={"life": "sim-canceled"}) as answer:
            assert answer.status == 201
        async with http.post(f"{url}/sandbox/plays", json={"life": "sim-completed"}) as answer:
            assert answer.status == 409, "they share the clock"
        async with http.get(f"{url}/sandbox/plays/none") as answer:
            assert answer.status == 404
    async with ClientSession() as http, http.get(f"{url}/sandbox/lives") as answer:
        assert answer.status == 401


async def test_without_a_relay_it_is_said_what_to_do(tmp_path: Path) -> None:
    code, _, err = await command(tmp_path, "play", "sim-completed")
    assert code == 1
    assert "start `relay up` here" in err
