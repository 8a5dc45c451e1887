"""Does one command run everything, survive being killed, and leave nothing behind?"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_string, policy
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, CookieJar

from relay.demo import PARTNERS
from tests.pipeline.caller import DEADLINE_S, Caller, eventually
from tests.pipeline.events import step
from tests.ports import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc")

TOKEN = "a-token-of-the-person-who-tries-it-0123456789"


class Terminal:
    """A running `relay up`, and what a person sees of it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._more = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._more:
                self.lines.append(line.decode().rstrip("\n"))
                self._more.notify_all()

    async def says(self, *texts: str) -> str:
        """The first line that has all of `texts`."""
        async with asyncio.timeout(DEADLINE_S), self._more:
            while True:
                for line in self.lines:
                    if all(text in line for text in texts):
                        return line
                await self._more.wait()

    def tree(self) -> list[int]:
        """It and its children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii")
        return [self.process.pid, *map(int, children.split())]

    async def ended(self) -> int:
        """Its exit code, once it has ended and all it wrote was read."""
        async with asyncio.timeout(DEADLINE_S):
            await self._reading
            return await self.process.wait()


@asynccontextmanager
async def up(data: Path, *options: str, **settings: str) -> AsyncIterator[Terminal]:
    """Starts it; whatever is left of it in the end is killed, and takes its children with it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relay", "up", "--data", str(data), *options),
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        process_group=0,
    )
    terminal = Terminal(process)
    try:
        yield terminal
    except BaseException:
        print("\n".join(terminal.lines[-60:]))
        raise
    finally:
        if process.returncode is None:
            process.kill()
        await terminal.ended()


async def all_gone(pids: list[int]) -> None:
    async def look() -> bool | None:
        return True if not any(runs(pid) for pid in pids) else None

    await eventually(look, f"{pids} have ended")


def runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def pasted(line: str) -> Any:
    """What a line of `curl` answers, in a shell."""
    shell = await asyncio.create_subprocess_exec("sh", "-c", line, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(shell.communicate(), DEADLINE_S)
    return json.loads(said)


async def play_as_documented(folder: Path, data: Path) -> None:
    """The steps of docs/sources.md, word for word, in a folder in which `relay up` runs."""
    (folder / ".relay").symlink_to(data)
    docs = Path(__file__).parents[2] / "docs" / "sources.md"
    steps = docs.read_text("utf-8").split("### Subscriptions, step by step")[1].split("```sh\n")[1].split("```")[0]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = await asyncio.create_subprocess_exec(
        "bash", "-ec", steps, cwd=folder, env={**os.environ, "PATH": path},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(shell.communicate(), 2 * DEADLINE_S)
    assert shell.returncode == 0, said.decode()
    assert json.loads(said.decode().splitlines()[-1])["status"] == "Complete", said.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl to paste the lines to")
async def test_a_newcomer_watches_a_transfer_being_told(tmp_path: Path) -> None:
    async with (
        up(tmp_path / "data", "--port", "0", "--demo") as terminal,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as http,
    ):
        base = (await terminal.says("The relay runs at")).split()[-1]
        token = (await terminal.says("Operator token")).split()[-1]
        await terminal.says("Ctrl-C stops everything")
        lines = [line for line in terminal.lines if line.startswith("curl ")]
        partner, event, transfer = [await pasted(line) for line in lines]
        assert partner["name"] == "Contoso"
        assert event["status"] == "accepted"
        assert [entry["event_id"] for entry in transfer["timeline"]] == [event["id"]]
        for told in ("kaiyo-cloud was told as source", "fabrikam was told as target"):
            await terminal.says("partner", told, "signature verified")
        api = Caller(http, base, token)
        assert {one["id"] for one in await api.all("/v1/partners")} == {*PARTNERS, "contoso"}

        async def look() -> dict[str, str] | None:
            caught = {one["to"]: one["raw"] for one in await api.all("/mailbox/messages")}
            return caught if {"kenji@kaiyo-cloud.example", "kim@contoso.example"} <= caught.keys() else None

        caught = await eventually(look, "both e-mails are in the mailbox")
        japanese = message_from_string(caught["kenji@kaiyo-cloud.example"], policy=policy.default)
        assert "サブスクリプション" in japanese["Subject"]
        link = (await terminal.says("/mailbox?key=")).split()[2]
        async with http.get(link) as page:
            assert (page.status, page.url.path) == (200, "/mailbox")
            assert "kim@contoso.example" in await page.text()
        for path in ("/", "/docs", "/mailbox"):
            async with http.get(base + path) as page:
                assert page.status == 200, path
        if shutil.which("jq") is not None:
            await play_as_documented(tmp_path, tmp_path / "data")
            for told in ("kaiyo-cloud was told as source", "fabrikam was told as target"):
                await terminal.says(told, "transfer.completed of", "-5")  # an id of the sandbox's is a UUID, version 5
        pids = terminal.tree()
        assert len(pids) == 5
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.ended() == 0
        await all_gone(pids)


async def test_a_killed_tree_loses_nothing_and_leaves_nothing_running(tmp_path: Path) -> None:
    port, settings = str(free_port()), {"RELAY_OPERATOR_TOKEN": TOKEN}
    async with ClientSession() as http:
        api = Caller(http, f"http://127.0.0.1:{port}", TOKEN)
        async with up(tmp_path / "data", "--port", port, **settings) as terminal:
            await terminal.says("Ctrl-C stops everything")
            agents = [{"email": "kim@contoso.example", "name": "Kim"}]
            await api.ask("PUT", "/v1/partners/contoso", {"name": "C", "admin_agents": agents}, expect=201)
            for number in range(20):
                await api.post(step(f"transfer-{number}", "created", number))
            pids = terminal.tree()
            terminal.process.kill()
            assert await terminal.ended() == -signal.SIGKILL
            await all_gone(pids)
        async with up(tmp_path / "data", "--port", port, **settings) as terminal:
            await terminal.says("Ctrl-C stops everything")
            for number in range(20):
                (told,) = await api.settled(f"transfer-{number}")
                assert (told["channel"], told["status"]) == ("email", "delivered")
            caught = [one["raw"] for one in await api.all("/mailbox/messages")]
            assert all(any(f"transfer-{number}" in raw for raw in caught) for number in range(20))
            terminal.process.terminate()
            assert await terminal.ended() == 0


async def test_a_child_that_is_killed_comes_back(tmp_path: Path) -> None:
    settings = {"RELAY_OPERATOR_TOKEN": TOKEN}
    async with up(tmp_path / "data", "--port", "0", **settings) as terminal, ClientSession() as http:
        base = (await terminal.says("The relay runs at")).split()[-1]
        api = Caller(http, base, TOKEN)
        for pid in terminal.tree()[1:]:  # the database, web process, worker and sandbox
            os.kill(pid, signal.SIGKILL)
        await api.post_until_acknowledged(step("transfer-1", "created", 1))
        await api.planned("transfer-1")
        assert len(terminal.tree()) == 5


async def test_a_second_one_over_the_same_folder_is_told_why_not(tmp_path: Path) -> None:
    async with up(tmp_path / "data", "--port", "0") as first:
        base = (await first.says("The relay runs at")).split()[-1]
        async with up(tmp_path / "data", "--port", "0") as second:
            await second.says("another `relay up` runs over")
            assert await second.ended() == 1
        async with up(tmp_path / "other", "--port", base.rpartition(":")[2]) as third:
            await third.says("give another --port")
            assert await third.ended() == 1


async def test_what_is_wrong_with_the_settings_is_said_before_anything_runs(tmp_path: Path) -> None:
    wrong = {"RELAY_LOG__LEVEL": "loud", "RELAY_SERVER__PROT": "1"}
    async with up(tmp_path / "data", "--port", "0", **wrong) as terminal:
        assert await terminal.ended() == 1
        assert {line.partition(":")[2].split(":")[0].strip() for line in terminal.lines} == {
            "log.level", "RELAY_SERVER__PROT",
        }  # fmt: skip


async def command(*words: str) -> tuple[int, str]:
    """A command in another terminal: its exit code, and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    return process.returncode or 0, said.decode()


async def test_its_partners_logs_and_keys_are_looked_at_from_another_terminal(tmp_path: Path) -> None:
    data = tmp_path / "data"
    code, said = await command("audit", "verify", "--data", str(data))
    assert code == 1 and "no database runs over" in said
    async with up(data, "--port", "0", RELAY_AUDIT__CHAIN_EVERY_SECONDS="0.1") as terminal, ClientSession() as http:
        base = (await terminal.says("The relay runs at")).split()[-1]
        token = (await terminal.says("Operator token")).split()[-1]
        api = Caller(http, base, token)
        await api.register("contoso")
        await api.post(step("tr-1", "created", 1))

        async def look() -> bool | None:
            return True if (await api.ask("GET", "/v1/partners/contoso/activity/heads"))["data"] else None

        await eventually(look, "the log is chained")
        code, said = await command("partner", "list", "--data", str(data))
        assert code == 0 and "contoso" in said, said
        assert not any("activity.chained" in line for line in terminal.lines)  # for whoever keeps the log
        code, said = await command("audit", "verify", "--data", str(data))
        assert code == 0 and "contoso: as it was written; lines chained: 1," in said, said
        code, said = await command("keys", "rotate", "--data", str(data))
        assert code == 0 and "under the first key" in said, said
        # A page whose name was made to point here is not answered.
        async with http.get(f"{base}/docs", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 421
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.ended() == 0
    code, said = await command("keys", "status", "--data", str(data))
    assert code == 1 and "no database runs over" in said
    code, said = await command("partner", "list", "--data", str(data))
    assert code == 2 and f"none that runs is known in {data}" in said
