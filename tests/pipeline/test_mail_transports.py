"""Which mail server does a mail go through, when one is away, at fault, new, or not to be asked so often?"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.commands.check import _mail
from relay.mail.send import Transport
from tests.fakes.mail_server import HANG, MailServer, say
from tests.pipeline.events import step
from tests.pipeline.inside import Inside, inside
from tests.pipeline.test_mail_faults import mails, outcomes, settled, to

FIRST, SECOND = "first", "second"
ASKED_LATE = {"RELAY_MAIL__PROBE_SECONDS": "60"}
"""A server at fault is not asked again while a busy machine is still at the mails before."""


@pytest.fixture
async def first() -> AsyncIterator[MailServer]:
    async with MailServer() as made:
        yield made


@pytest.fixture
async def second() -> AsyncIterator[MailServer]:
    async with MailServer() as made:
        yield made


def over(*servers: MailServer, **of_first: Any) -> dict[str, str]:
    """Settings with these servers in their order of preference."""
    tables = [{"name": name, "url": one.url} for name, one in zip((FIRST, SECOND), servers, strict=False)]
    return {"RELAY_MAIL__URL": "", "RELAY_MAIL__TRANSPORTS": json.dumps([tables[0] | of_first, *tables[1:]])}


def transports(world: Inside) -> list[Transport]:
    assert world.services.mailer is not None
    return world.services.mailer.transports


async def tell(world: Inside, count: int, name: str = "tr", domain: str = "reader.example") -> None:
    """So many customers, one mail each."""
    events = [step(f"{name}-{n}", "created", 1, customer=to(f"{name}-{n}@{domain}")) for n in range(count)]
    await world.api.ask("POST", "/v1/events", events, expect=207)


async def attempts(world: Inside, count: int, name: str = "tr") -> Counter[tuple[str, tuple[str, ...]]]:
    """How many deliveries stand how, after which attempts."""
    found = [(await mails(world, f"{name}-{n}"))[0] for n in range(count)]
    return Counter((one["status"], outcomes(one)) for one in found)


async def test_when_the_first_is_away_the_next_takes_it_in_the_same_attempt(
    valkey_url: str, first: MailServer, second: MailServer
) -> None:
    async with inside(valkey_url, **over(first, second)) as world:
        await first.deafen()
        await tell(world, 8)
        await world.sweep()
        assert await attempts(world, 8) == {("delivered", ("accepted",)): 8}
        assert (len(first.kept), len(second.kept)) == (0, 8)
        (one,) = await mails(world, "tr-0")
        assert "second: the mail server accepted" in one["attempts"][0]["detail"]
        # It is asked again after a while, by one message, and then it is the first again.
        await first.listen()
        world.pass_time(400)
        await tell(world, 4, "later")
        await world.sweep()
        assert len(first.kept) >= 1 and transports(world)[0].standing.is_up
        await tell(world, 4, "last")
        await world.sweep()
        assert {kept.to for kept in first.kept} >= {f"last-{n}@reader.example" for n in range(4)}


@pytest.mark.parametrize(
    ("at", "act"),
    [
        ("connect", say("421 4.3.2 too busy", close=True)),
        ("ehlo", say("421 4.3.2 going down", close=True)),
        ("mail", say("421 4.3.2 going down", close=True)),
        ("mail", say("451 4.3.0 try later")),
        ("mail", say("550 5.7.1 not from you")),
    ],
    ids=["421", "421 to EHLO", "421 to MAIL", "4.3.0", "5.7.1"],
)
async def test_a_fault_of_a_server_costs_nobody_an_attempt_and_is_asked_about_by_one(
    valkey_url: str, first: MailServer, at: str, act: Any
) -> None:
    """Forty mails wait for one server for hours: few questions, no attempt, and then each comes once."""
    async with inside(valkey_url, **over(first), **ASKED_LATE) as world:
        first.script[at].extend([act] * 500)
        await tell(world, 40)
        await world.sweep()
        asked = first.seen[at]
        assert asked <= transports(world)[0].server.turns.room, "those who were already on their way"
        for _ in range(12):
            world.pass_time(330)
            await world.sweep()
        assert await attempts(world, 40) == {("pending", ()): 40}
        assert first.seen[at] - asked <= 2 * 12, "a question each time it was due, not one each mail"
        first.script[at].clear()
        for _ in range(4):
            world.pass_time(700)
            await world.sweep()
        assert await attempts(world, 40) == {("delivered", ("accepted",)): 40}
        assert sorted(Counter(kept.to for kept in first.kept).values()) == [1] * 40


async def test_several_mailboxes_in_a_row_are_the_servers_fault(valkey_url: str, first: MailServer) -> None:
    """Relaying denied: the first two are given up, for it may be them; all others wait until it is mended."""
    async with inside(valkey_url, **over(first, connections=1)) as world:
        first.script["rcpt"].extend([say("554 5.7.1 relay access denied")] * 500)
        await tell(world, 20)
        for _ in range(6):
            await world.sweep()
            world.pass_time(330)
        came = await attempts(world, 20)
        assert came == {("pending", ()): 18, ("exhausted", ("refused",)): 2}
        first.script["rcpt"].clear()
        for _ in range(4):
            world.pass_time(700)
            await world.sweep()
        assert await attempts(world, 20) == {("delivered", ("accepted",)): 18, ("exhausted", ("refused",)): 2}


async def test_a_message_that_may_have_arrived_is_handed_to_no_other_server(
    valkey_url: str, first: MailServer, second: MailServer
) -> None:
    async with inside(valkey_url, **over(first, second)) as world:
        first.will("dot", dataclasses.replace(say(), reset=True, keep=True))
        await tell(world, 1)
        await world.sweep()
        assert await attempts(world, 1) == {("pending", ("ambiguous",)): 1}
        assert (len(first.kept), len(second.kept)) == (1, 0)
        (one,) = await settled(world, "tr-0")
        assert outcomes(one) == ("ambiguous", "accepted")
        assert len({kept.message_id for kept in first.kept + second.kept}) == 1


async def test_a_server_that_hangs_keeps_one_message_and_not_all(
    valkey_url: str, first: MailServer, second: MailServer
) -> None:
    settings = over(first, second) | ASKED_LATE | {"RELAY_MAIL__COMMAND_TIMEOUT_SECONDS": "5"}
    async with inside(valkey_url, **settings) as world:
        first.script["connect"].extend([HANG] * 500)
        await tell(world, 30)
        await world.sweep()
        assert await attempts(world, 30) == {("delivered", ("accepted",)): 30}
        assert first.seen["connect"] <= 4 and len(second.kept) == 30


async def test_what_a_new_server_may_not_send_yet_goes_through_the_next(
    valkey_url: str, first: MailServer, second: MailServer
) -> None:
    warm_up = {"since": "2100-01-01", "per_hour": 60, "days": 14}
    async with inside(valkey_url, **over(first, second, warm_up=warm_up)) as world:
        await tell(world, 12)
        await world.sweep()
        assert (len(first.kept), len(second.kept)) == (1, 11)
        assert await attempts(world, 12) == {("delivered", ("accepted",)): 12}


async def test_without_a_next_server_what_is_too_much_waits_and_costs_nothing(valkey_url: str, first: MailServer) -> None:
    warm_up = {"since": "2100-01-01", "per_hour": 60, "days": 14}
    async with inside(valkey_url, **over(first, warm_up=warm_up)) as world:
        await tell(world, 6)
        await world.sweep()
        for minute in range(1, 8):
            assert len(first.kept) <= minute
            world.pass_time(60)
            await world.sweep()
        assert await attempts(world, 6) == {("delivered", ("accepted",)): 6}


async def test_a_domain_is_sent_no_more_than_its_limit_and_others_are_not_held_up(
    valkey_url: str, first: MailServer
) -> None:
    limits = json.dumps([{"domain": "slow.example", "per_minute": 2}])
    async with inside(valkey_url, **over(first), RELAY_MAIL__DOMAIN_LIMITS=limits) as world:
        await tell(world, 8, "slow", "SLOW.example")
        await tell(world, 8, "free", "free.example")
        await world.sweep()
        assert await attempts(world, 8, "free") == {("delivered", ("accepted",)): 8}
        for half in range(12):
            sent = [kept for kept in first.kept if kept.to.endswith("@slow.example")]
            assert len(sent) <= half + 1
            world.pass_time(30)
            await world.sweep()
        assert await attempts(world, 8, "slow") == {("delivered", ("accepted",)): 8}


async def test_a_limit_holds_for_all_workers_together(valkey_url: str, first: MailServer) -> None:
    limits = json.dumps([{"domain": "*", "per_minute": 1}])
    settings = over(first) | {"RELAY_MAIL__DOMAIN_LIMITS": limits}
    async with inside(valkey_url, **settings) as one, inside(valkey_url, **settings) as other:
        await tell(one, 6)
        await one.sweep()
        await other.sweep()
        assert len(first.kept) == 1


async def down(world: Inside) -> dict[str, str]:
    """What the metrics say of mail servers."""
    async with world.api.http.get(
        f"{world.api.base}/metrics", headers={"Authorization": f"Bearer {world.api.token}"}
    ) as answer:
        lines = (await answer.text()).splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line.startswith("relay_mail_server_"))


async def readiness(world: Inside) -> str:
    return str((await world.api.ask("GET", "/readyz"))["mail"])


async def test_the_operator_is_told_of_a_server_at_fault_and_of_its_recovery(
    valkey_url: str, first: MailServer, second: MailServer
) -> None:
    async with inside(valkey_url, **over(first, second)) as world:
        assert await readiness(world) == "ok"
        await first.deafen()
        await tell(world, 2)
        await world.sweep()
        assert await readiness(world) == "degraded"
        assert await down(world) == {
            'relay_mail_server_down{server="first"}': "1",
            'relay_mail_server_failures_total{server="first"}': "1",
        }
        said = await _mail(world.services.config)
        assert any("first: the mail server cannot be reached (as the workers found since" in line for line in said)
        await second.deafen()
        await tell(world, 2, "more")
        await world.sweep()
        assert await readiness(world) == "down"
        await first.listen()
        await second.listen()
        for _ in range(4):
            world.pass_time(700)
            await tell(world, 1, f"after-{world.services.clock()}")
            await world.sweep()
        assert await readiness(world) == "ok"
        assert (await down(world))['relay_mail_server_down{server="first"}'] == "0"
        assert await _mail(world.services.config) == []


async def test_what_a_worker_noted_that_is_gone_is_taken_back(valkey_url: str, first: MailServer) -> None:
    async with inside(valkey_url, **over(first)) as dead:
        await first.deafen()
        await tell(dead, 1)
        await dead.sweep()
        assert await readiness(dead) == "down"
    await first.listen()
    async with inside(valkey_url, **over(first)) as world:
        await world.sweep()
        assert await readiness(world) == "down", "it may be right still"
        world.pass_time(3_600)
        await world.sweep()
        assert await readiness(world) == "ok"
