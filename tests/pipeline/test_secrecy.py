"""Does anybody see what their role may not see?

Markers are planted in everything that somebody may not see; then every webhook, e-mail, answer of the
API, feed, activity log, log line and byte on disk is searched for them.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from relay.api.routes import ALL
from relay.embedded import EmbeddedValkey
from tests.pipeline.caller import Caller, Member
from tests.pipeline.events import step
from tests.pipeline.inside import Inside
from tests.pipeline.rig import Rig

# What is planted, by a name that says where. Each is unlike any other text.
SOURCE_ITEM = "itemofsourcea1"
FAILED_ITEM = "itemofsourceb2"
FAILED_NAME = "NamOfFailedItem"
RESULT = "resultidc3"
CONTACT = "contactd4@relecloud.example"
CONTACT_NAME = "ContactNamE5"
TARGET_ACTOR = "actorf6@fabrikam.example"
SOURCE_ACTOR = "actorg7@contoso.example"
SECOND_RESULT = "resultidh8"
UNKNOWN = "unknownfieldi9"
LINK = "linktokenj10"
ROOT = "rootk11@northwind.example"
SIM_AGENT = "agentl12@northwind.example"
SIM_ACTOR = "actorm13@tsubame.example"
SIM_ACCEPTED_BY = "actorn14@northwind.example"

_AT_ONCE = 16
FORBIDDEN = {
    "contoso": {RESULT, SECOND_RESULT, CONTACT, CONTACT_NAME, TARGET_ACTOR, UNKNOWN, LINK},
    "fabrikam": {SOURCE_ITEM, FAILED_ITEM, FAILED_NAME, SOURCE_ACTOR, UNKNOWN, LINK, SECOND_RESULT},
    "tsubame": {UNKNOWN, LINK, SIM_AGENT, SIM_ACCEPTED_BY},
    "northwind": {UNKNOWN, LINK, SIM_ACTOR},
    "stranger": {
        SOURCE_ITEM, FAILED_ITEM, FAILED_NAME, RESULT, SECOND_RESULT, CONTACT, CONTACT_NAME, TARGET_ACTOR,
        SOURCE_ACTOR, UNKNOWN, LINK, ROOT, SIM_AGENT, SIM_ACTOR, SIM_ACCEPTED_BY,
    },
    "operator": {LINK},
}  # fmt: skip
CUSTOMER_MAY_NOT = {
    SOURCE_ITEM, FAILED_ITEM, RESULT, SECOND_RESULT, TARGET_ACTOR, SOURCE_ACTOR, UNKNOWN, LINK,
}  # fmt: skip


def sub_life() -> list[dict[str, Any]]:
    """A subscription that completes in part, is tried again and completes."""
    contacts = [{"email": CONTACT, "name": CONTACT_NAME, "locale": "en"}]
    shared = {
        "customer": {"id": "relecloud", "name": "Relecloud", "contacts": contacts},
        "unknown": UNKNOWN,
    }
    items: list[dict[str, Any]] = [
        {"id": SOURCE_ITEM, "name": "Office", "quantity": 3, "status": "pending", "unknown": UNKNOWN},
        {"id": FAILED_ITEM, "name": FAILED_NAME, "quantity": 4, "status": "pending"},
    ]
    error = {"code": "Nope", "message": "it did not move"}
    partly = [
        {**items[0], "status": "completed", "result_id": RESULT},
        # A result id where nothing was completed: no business of the target's yet.
        {**items[1], "status": "failed", "error": error, "result_id": SECOND_RESULT},
    ]
    events = [
        step("tr-sub", "created", 1, **shared),
        step("tr-sub", "updated", 2, items=items, **shared),
        step("tr-sub", "partially_completed", 3, items=partly, **shared),
        step("tr-sub", "updated", 4, items=partly, **shared),
        step("tr-sub", "failed", 5, items=partly, **shared),
        step("tr-sub-2", "completed", 6, items=[partly[0]], **shared),
    ]
    events[0]["actor"] = {"email": TARGET_ACTOR, "role": "admin_agent"}
    events[1]["actor"] = events[3]["actor"] = {"email": SOURCE_ACTOR, "role": "admin_agent"}
    for event in events:
        event["unknown"] = {"deep": UNKNOWN}
    return events


def sim_life(last: str | None) -> list[dict[str, Any]]:
    """A SIM with an acceptance link; it ends with `last`."""
    transfer = f"tr-sim-{last}"
    changes: dict[str, Any] = {
        "source": "tsubame",
        "target": "northwind",
        "kind": "sim",
        "items": [{"imsi": "440101234567891", "name": "SIM", "status": "ready"}],
        "acceptance_url": f"https://console.example/accept?token={LINK}-{last}",
        "unknown": UNKNOWN,
    }
    events = [
        step(transfer, name, number, **changes)
        for number, name in enumerate(["created", *([last] if last else [])], 1)
    ]
    for event in events:
        event["transfer"]["target"]["email"] = ROOT
        # The destination accepts, so it is its person who acts when a SIM completes.
        by_target = event["type"] == "transfer.completed"
        event["actor"] = {"email": SIM_ACCEPTED_BY if by_target else SIM_ACTOR, "role": "admin_agent"}
    return events


async def everything_is_told(rig: Rig) -> dict[str, Member]:
    names = ("contoso", "fabrikam", "tsubame", "northwind", "stranger")
    agents = {"northwind": [{"email": SIM_AGENT, "name": "N"}]}
    members = {
        name: await rig.api.register(
            name, rig.hooks, admin_agents=agents.get(name, [{"email": f"agent@{name}.example", "name": "A"}])
        )
        for name in names
    }
    sims = [sim_life("completed"), sim_life("canceled"), sim_life(None)]
    for created, *_ in sims:
        await rig.api.post(created)
        # The link goes out while it can be used.
        await rig.api.settled(created["transfer"]["id"])
    rest = [*sub_life(), *(event for sim in sims for event in sim[1:])]
    for event in rest:
        await rig.api.post(event)
    events = [*rest, *(sim[0] for sim in sims)]
    # A refusal and a repeat are things to see as well.
    await rig.api.post({**sub_life()[0], "id": "refused-1", "type": "transfer.canceled",
                        "transfer": {**sub_life()[0]["transfer"], "status": "canceled"}}, expect=409)  # fmt: skip
    for transfer in {e["transfer"]["id"] for e in events}:
        await rig.api.settled(transfer)
    return members


async def test_no_marker_is_where_it_may_not_be(rig: Rig, valkey: EmbeddedValkey) -> None:
    members = await everything_is_told(rig)

    for name, member in members.items():
        for request in rig.hooks.requests:
            if request.path == member.path:
                not_in(FORBIDDEN[name], request.body.decode() + str(request.headers), f"webhook to {name}")
    own: dict[str, list[str]] = {}
    for name, caller in [*((n, m.caller) for n, m in members.items()), ("operator", rig.api)]:
        answers = await every_answer(rig.api, caller, members)
        for path, _, text in answers:
            not_in(FORBIDDEN[name], text, f"{name} asks {path}")
        own[name] = [text for _, status, text in answers if status == 200]
    # It was the real thing that was searched: each partner sees its own, and the markers that are its.
    assert all(len(texts) > 8 for texts in own.values()), str({name: len(texts) for name, texts in own.items()})
    for name, markers in {
        "contoso": (SOURCE_ITEM, FAILED_NAME, SOURCE_ACTOR),
        "fabrikam": (RESULT, CONTACT, TARGET_ACTOR),
        "northwind": (ROOT, "440101234567891"),
    }.items():
        assert all(marker in "".join(own[name]) for marker in markers), name

    the_mails_keep_it(rig)
    for name in ("web", "worker"):
        planted = set().union(*FORBIDDEN.values()) | {m.secret for m in members.values()}
        planted |= {m.caller.token for m in members.values()} | {rig.api.token}
        not_in(planted, rig.log(name).read_text("utf-8"), f"the log of {name}")
    on_disk = b"".join(part.read_bytes() for part in files(valkey.folder))
    assert SOURCE_ITEM.encode() in on_disk, "this is not where the database writes"
    secrets = {LINK} | {m.secret.removeprefix("whsec_") for m in members.values()}
    for plain in secrets | {m.caller.token for m in members.values()}:
        for spelled in (plain.encode(), base64.b64encode(plain.encode())):
            assert spelled not in on_disk, f"{plain} is on disk"


def not_in(markers: set[str], text: str, where: str) -> None:
    found = [marker for marker in markers if marker.casefold() in text.casefold()]
    assert not found, f"{where}: {found}\n{text[:2000]}"


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and path.name not in ("password", "log", "pid"))


async def every_answer(operator: Caller, caller: Caller, members: dict[str, Member]) -> list[tuple[str, int, str]]:
    """Every GET route with every id there is, asked by `caller`: (path, status, text)."""
    several = asyncio.Semaphore(_AT_ONCE)

    async def asked(path: str, query: str) -> tuple[str, int, str]:
        async with several:
            return (path, *await caller.raw("GET", path + query))

    return await asyncio.gather(*[asked(path, query) for path, query in await every_path(operator, members)])


async def every_path(operator: Caller, members: dict[str, Member]) -> list[tuple[str, str]]:
    """Each with its query."""
    deliveries = await operator.all("/v1/deliveries")
    ids = {
        "partner": list(members),
        "endpoint": [m.endpoint for m in members.values()],
        "delivery": [d["id"] for d in deliveries],
        "transfer": [t["id"] for t in await operator.all("/v1/transfers")],
        "replay": ["rpl_none"],
        "producer": [p["id"] for p in await operator.all("/v1/producers")] or ["pr_none"],
        "tenant": ["none"],
    }
    assert all(ids.values())
    found: list[tuple[str, str]] = []
    for route in ALL:
        if route.method != "GET":
            continue
        names = re.findall(r"{(\w+)}", route.path)
        for values in itertools.product(*(ids.get(name, ["absent"]) for name in names)):
            path = route.path.format(**dict(zip(names, values, strict=True)))
            query = "?limit=500" if any(param.name == "limit" for param in route.query) else ""
            found.append((path, query))
            if path.endswith("/activity"):
                found.append((path, "?limit=500&format=csv"))
    return found


def the_mails_keep_it(rig: Rig) -> None:
    linked = []
    for message in rig.mail.messages:
        mail = message.parsed
        text = "".join(part.get_content() for part in mail.walk() if part.get_content_maintype() == "text")
        text += message.raw.decode("utf-8", "replace")
        if LINK in text:
            linked.append(message.to)
            text = text.replace(LINK, "")
        who = message.to
        if who == CONTACT:
            not_in(CUSTOMER_MAY_NOT, text, "mail to the customer")
        elif who in (ROOT, SIM_AGENT):
            not_in(FORBIDDEN["northwind"], text, f"mail to {who}")
        else:
            partner = who.partition("@")[2].removesuffix(".example")
            not_in(FORBIDDEN[partner], text, f"mail to {who}")
    # The root user of each of the three SIM transfers, at their creation, and nobody else.
    assert linked == [ROOT] * 3


async def test_the_link_is_erased_when_the_transfer_ends(rig: Rig, valkey: EmbeddedValkey) -> None:
    await rig.api.register("northwind", rig.hooks)
    created, ended = sim_life("canceled")
    await rig.api.post(created)
    await rig.api.settled("tr-sim-canceled")
    with Redis.from_url(valkey.url) as redis:
        sealed = redis.hget("relay:{t:tr-sim-canceled}", "link")
        assert sealed and LINK.encode() not in sealed
        await rig.api.post(ended)
        await rig.api.settled("tr-sim-canceled")
        for key in redis.scan_iter("relay:*"):
            dumped = redis.dump(key)
            assert dumped is None or sealed not in dumped, key
        assert not redis.hexists("relay:{t:tr-sim-canceled}", "link")


async def test_a_mail_that_waits_loses_the_link_when_the_transfer_ends(world: Inside) -> None:
    created, ended = sim_life("canceled")
    world.mail.will("rcpt", "450 later")
    await world.api.post(created)
    await world.sweep()
    assert world.mail.messages == []
    await world.api.post(ended)
    world.pass_time(60)
    await world.sweep()
    (mail,) = world.mail.messages
    assert mail.to == ROOT
    assert LINK not in mail.raw.decode()
    assert "".join(p.get_content() for p in mail.parsed.walk() if p.get_content_maintype() == "text").count(LINK) == 0


@pytest.mark.parametrize("name", ["web", "worker"])
async def test_a_process_says_no_secret_on_its_command_line(rig: Rig, name: str) -> None:
    line = Path(f"/proc/{rig.processes[name].pid}/cmdline").read_bytes()
    assert rig.api.token.encode() not in line
    assert rig.valkey.url.encode() not in line
