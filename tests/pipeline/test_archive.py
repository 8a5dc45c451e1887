"""Is what leaves in the archive, once, whatever dies when?"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest

from relay.archive import Archive
from relay.engine.retainer import Retainer
from relay.store.client import Client
from tests.pipeline.conftest import Store
from tests.pipeline.events import life, sample, step
from tests.pipeline.inside import Inside, inside
from tests.pipeline.test_retention import DAY, kept_back, keys, let_go, trim

_MOST_CALLS = 200


class Died(BaseException):
    """SIGKILL, as far as one job is concerned."""


@pytest.fixture
async def world(store: Store, tmp_path: Path) -> AsyncIterator[Inside]:
    """The relay, with an archive."""
    settings = {"RELAY_RETENTION__ARCHIVE": str(tmp_path / "archive"), **store.settings}
    async with inside(store.url, **settings) as made:
        yield made


def archived(folder: Path) -> list[dict[str, Any]]:
    """Every line, as any program would read them."""
    return [json.loads(line) for file in sorted((folder / "archive").glob("*.jsonl.gz")) for line in gzip.open(file, "rt")]


def name_of(line: dict[str, Any]) -> str:
    """What there is one of."""
    ids = [line.get("transfer"), line.get("sequence"), line.get("audience"), line.get("partner"), line.get("position")]
    for inner, id_ in (("delivery", "id"), ("refusal", "event_id"), ("head", "number")):
        ids.append(line[inner][id_] if inner in line else None)
    return f"{line['kind']} {ids}"


def retainer(world: Inside) -> Retainer:
    """A worker's hand in it; another worker is another one."""
    services = world.services
    return Retainer(services.store, services.config, services.vault, world.engine.recorder, services.clock, services.log)


async def until_nothing_leaves(world: Inside) -> None:
    for _ in range(3):
        world.pass_time(700)
        one = retainer(world)
        await one.step()
        await one.idle()


def dying(patch: pytest.MonkeyPatch, client: Client, at: int, *, after: bool) -> Callable[[], bool]:
    """Every call to the database from the `at`-th on fails, or does and does not come back; whether one did."""
    calls = 0
    died = False

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        async def calling(*args: Any, **options: Any) -> Any:
            nonlocal calls, died
            calls += 1
            if calls > at or (calls == at and not after):
                died = True
                raise Died
            answer = await call(*args, **options)
            if calls == at:
                died = True
                raise Died
            return answer

        return calling

    patch.setattr(client, "batch", wrap(client.batch))
    patch.setattr(client.plain, "execute_command", wrap(client.plain.execute_command))
    return lambda: died


@pytest.mark.parametrize("after", [False, True], ids=["before it does", "before it answers"])
async def test_whenever_a_worker_dies_nothing_is_missing_and_nothing_there_twice(
    world: Inside, tmp_path: Path, after: bool
) -> None:
    for name in ("contoso", "fabrikam"):
        await world.api.register(name, world.hooks)
    names: set[str] = set()
    for at in range(1, _MOST_CALLS):
        transfer = f"tr-{at}"
        for event in life(transfer, "created", "canceled"):
            await world.api.post(event)
        await world.engine.fan_out()
        await world.sweep()
        told = await world.api.all(f"/v1/transfers/{transfer}/deliveries")
        names |= {f"delivery {transfer} {one['id']}" for one in told} | {f"transfer {transfer}"}
        world.pass_time(500 * DAY)
        with pytest.MonkeyPatch.context() as patch:
            has_died = dying(patch, world.services.store.client, at, after=after)
            one = retainer(world)
            await one.step()
            await one.idle()
        await until_nothing_leaves(world)
        if not has_died():
            break
    else:
        raise AssertionError("it never came to an end")
    assert at > 20, "too few moments to die in"
    lines = archived(tmp_path)
    twice = {name: count for name, count in Counter(map(name_of, lines)).items() if count > 1}
    assert twice == {}
    found = {f"delivery {line['transfer']} {line['delivery']['id']}" for line in lines if line["kind"] == "delivery"}
    found |= {f"transfer {line['transfer']}" for line in lines if line["kind"] == "transfer"}
    assert found == names
    assert await keys(world, "relay:{t:*", "relay:{r:*:d:*") == []
    assert await world.api.all("/v1/transfers") == []


@pytest.mark.parametrize("cut", [1, 40, -1], ids=["at once", "in the middle", "before its last byte"])
async def test_a_batch_that_was_cut_short_is_written_again(
    world: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    for name in ("contoso", "fabrikam"):
        await world.api.register(name, world.hooks)
    for number in range(2):
        for event in life(f"tr-{number}"):
            await world.api.post(event)
        await world.sweep()
        world.pass_time(31 * DAY)
        if number == 0:
            await until_nothing_leaves(world)
    before = len(archived(tmp_path))
    whole = Archive.append

    def torn(self: Archive, name: str, at: int, lines: bytes) -> None:
        whole(self, name, at, lines)
        path = tmp_path / "archive" / name
        data = path.read_bytes()
        path.write_bytes(data[: at + cut] if cut > 0 else data[:cut])
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "append", torn)
        one = retainer(world)
        await one.step()
        await one.idle()
    assert (await world.api.all("/v1/transfers/tr-1/deliveries"))[0]["id"]
    await until_nothing_leaves(world)
    lines = archived(tmp_path)
    assert before and len(lines) == 2 * before and max(Counter(map(name_of, lines)).values()) == 1


async def test_while_another_process_writes_nothing_leaves(world: Inside, tmp_path: Path) -> None:
    await world.api.register("contoso", world.hooks)
    for event in life("tr-1"):
        await world.api.post(event)
    await world.sweep()
    with Archive(tmp_path / "archive").alone():
        await trim(world, 500)
        await world.api.ask("GET", "/v1/transfers/tr-1", expect=200)
    await trim(world, 1)
    await world.api.ask("GET", "/v1/transfers/tr-1", expect=404)


async def test_what_cannot_be_archived_stays(world: Inside, tmp_path: Path) -> None:
    await world.api.register("contoso", world.hooks)
    for event in life("tr-1"):
        await world.api.post(event)
    await world.sweep()
    folder = tmp_path / "archive"
    await trim(world)
    folder.joinpath(".lock").unlink()
    folder.rmdir()
    folder.write_text("a file where the folder was")
    await trim(world, 500)
    assert (await world.api.ask("GET", "/v1/transfers/tr-1"))["status"] == "completed"
    folder.unlink()
    await trim(world, 1)
    await world.api.ask("GET", "/v1/transfers/tr-1", expect=404)
    assert {line["kind"] for line in archived(tmp_path)} == {"body", "delivery", "event", "transfer"}


async def test_what_was_kept_back_leaves_when_the_disk_has_room_again(
    world: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await kept_back(world)
    await trim(world, 500)
    await let_go(world, member)

    def full(self: Archive, name: str, at: int, lines: bytes) -> None:
        raise OSError(ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "append", full)
        await trim(world, 0.1)
    await world.api.ask("GET", "/v1/transfers/tr-1")
    world.pass_time(120)
    await trim(world)
    await world.api.ask("GET", "/v1/transfers/tr-1", expect=404)
    assert {line["kind"] for line in archived(tmp_path)} == {"body", "delivery", "event", "transfer"}


async def test_no_secret_and_no_acceptance_link_is_in_it(world: Inside, tmp_path: Path) -> None:
    events = sample("sim-completed")
    parties = [events[0]["transfer"][role]["id"] for role in ("source", "target")]
    secrets = [(await world.api.register(name, world.hooks)).secret for name in parties]
    events[0]["transfer"]["acceptance_url"] = "https://console.example/accept/very-secret"
    for event in events:
        await world.api.post(event)
        await world.sweep()
    assert any("very-secret" in mail.parsed.get_body(("plain",)).get_content() for mail in world.mail.messages)
    await trim(world, 800)
    text = json.dumps(archived(tmp_path))
    assert "transfer.created" in text and "very-secret" not in text
    assert not [secret for secret in secrets if secret in text]


async def test_no_secret_leaves_with_what_leaves_and_nobody_else_reads_it(world: Inside, tmp_path: Path) -> None:
    member = await world.api.register("contoso", world.hooks, headers={"X-Api-Key": "PlantedHeader0001"})
    await world.api.register("fabrikam", world.hooks)
    link = "https://accept.example/?t=PlantedLink0002"
    for name, at in (("created", 1), ("canceled", 2)):
        sim = step("tr-sim", name, at, kind="sim", acceptance_url=link)
        sim["transfer"]["target"]["email"] = "root@fabrikam.example"
        await world.api.post(sim)
        await world.engine.fan_out()
        await world.sweep()
    for event in life("tr-1", "created", "canceled"):
        await world.api.post(event)
    await world.engine.fan_out()
    await world.sweep()
    assert any("PlantedLink0002" in message.raw.decode() for message in world.mail.messages)
    world.pass_time(500 * DAY)
    await until_nothing_leaves(world)
    lines = archived(tmp_path)
    assert {"delivery", "event", "transfer"} <= {line["kind"] for line in lines}
    text = json.dumps(lines)
    for secret in ("PlantedHeader0001", "PlantedLink0002", member.secret, member.caller.token, *world.services.config.secrets.keys):
        assert secret not in text, secret
    for path in (tmp_path / "archive").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name
    assert (tmp_path / "archive").stat().st_mode & 0o077 == 0
