"""What does somebody get who wants all of a day in one mail, whatever goes wrong with it?

The clock is moved; nothing waits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from relay.engine.engine import Engine
from relay.mail.daily import MOST
from relay.times import to_ns
from tests.pipeline.conftest import Store
from tests.pipeline.events import step
from tests.pipeline.inside import Inside, inside

AOI = "aoi@contoso.example"
CHOICES = f"/v1/partners/contoso/admin-agents/{AOI}/preferences"
DAILY = {"types": {"transfer.created": "daily", "transfer.completed": "daily"}, "daily_hour": 8, "timezone": "Asia/Tokyo"}
EIGHT = 23 * 3600
"""08:00 in Tokyo, in seconds of a day of UTC."""


@pytest.fixture
async def world(store: Store) -> AsyncIterator[Inside]:
    """The relay inside this process at some noon, with Aoi who is told once a day and Ben who is not."""
    async with inside(store.url, RELAY_SERVER__PUBLIC_URL="https://relay.example", **store.settings) as made:
        await made.api.register("fabrikam", admin_agents=[])
        agents = [{"email": AOI, "name": "Aoi"}, {"email": "ben@contoso.example", "name": "Ben"}]
        await made.api.register("contoso", admin_agents=agents)
        await made.api.ask("PUT", CHOICES, DAILY)
        to_next(made, EIGHT - 12 * 3600)
        yield made


def to_next(world: Inside, second_of_day: int) -> None:
    """It is the next such second of a day of UTC."""
    now = world.clock()
    ahead = (second_of_day * 1000 - now) % 86_400_000
    world.clock.offset_ms += ahead + 1


def to_aoi(world: Inside) -> list[Any]:
    return [message.parsed for message in world.mail.messages if message.to == AOI]


def text_of(mail: Any) -> str:
    return str(mail.get_body(("plain",)).get_content()).replace("\r\n", "\n")


async def deliveries(world: Inside) -> dict[str, Any]:
    """Aoi's, by event, with their attempts."""
    found = [one for one in await world.api.all("/v1/deliveries?channel=email") if one["email"] == AOI]
    whole = [await world.api.ask("GET", f"/v1/deliveries/{one['id']}") for one in found]
    return {one["event_id"]: one for one in whole}


async def day(world: Inside, count: int, first: int = 1) -> list[str]:
    """So many transfers are asked for, and planned."""
    for number in range(first, first + count):
        await world.api.post(step(f"tr-{number}", "created", 1))
    await world.sweep()
    return [f"tr-{number}-1" for number in range(first, first + count)]


async def test_a_day_of_transfers_is_one_mail_at_the_reader_s_hour(world: Inside) -> None:
    events = await day(world, 30)
    for number in range(1, 11):
        await world.api.post(step(f"tr-{number}", "completed", 2))
    # Fabrikam gives two to Contoso: another role, the same person.
    await world.api.post(step("tr-x", "completed", 1, source="fabrikam", target="contoso"))
    await world.sweep()
    assert not to_aoi(world) and len(world.mail.messages) > 30, "Ben is told at once"
    waiting = await deliveries(world)
    assert len(waiting) == 41 and {one["status"] for one in waiting.values()} == {"pending"}
    assert {to_ns(one["next_attempt_at"]) // 10**9 % 86_400 for one in waiting.values()} == {EIGHT}
    to_next(world, EIGHT - 60)
    await world.sweep()
    assert not to_aoi(world)
    to_next(world, EIGHT)
    await world.sweep()
    mails = to_aoi(world)
    assert len(mails) == 2, f"one mail holds {MOST} lines"
    first = text_of(mails[0])
    assert "[Daily summary] 40 messages about your transfers" in mails[0]["Subject"]
    assert all(first.count(f"tr-{number}\n") == (2 if number <= 10 else 1) for number in range(1, 31))
    assert "10:00 JST" in first, "in the zone that they chose"
    assert "Pending    30" in first and "Completed  10" in first
    assert mails[0]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    told = await deliveries(world)
    assert {one["status"] for one in told.values()} == {"delivered"}
    for one in told.values():
        (attempt,) = one["attempts"]
        assert (attempt["number"], attempt["outcome"]) == (1, "accepted")
    assert len({one["id"] for one in told.values()}) == 41 and set(events) < set(told)
    world.pass_time(3 * 86_400)
    await world.sweep()
    assert len(to_aoi(world)) == 2, "nothing new, no mail"


async def test_a_mail_that_failed_comes_again_as_it_was(world: Inside) -> None:
    await day(world, 3)
    to_next(world, EIGHT)
    # Accepted or not: the answer after the final dot is lost.
    world.mail.will("data", "451 4.3.0 later", "(hang up)")
    await world.sweep()
    tried = await deliveries(world)
    assert {(one["status"], len(one["attempts"])) for one in tried.values()} == {("pending", 1)}
    assert len({one["next_attempt_at"] for one in tried.values()}) == 1, "they go on together"
    world.pass_time(10)
    await world.sweep()
    # What comes meanwhile is for the next day, and is no part of it; what it says does not change any more.
    await day(world, 1, first=4)
    world.pass_time(3600)
    await world.sweep()
    (mail,) = to_aoi(world)
    assert "3 messages" in mail["Subject"] and "tr-4" not in text_of(mail)
    told = await deliveries(world)
    assert told.pop("tr-4-1")["status"] == "pending"
    assert {(one["status"], len(one["attempts"])) for one in told.values()} == {("delivered", 3)}
    for one in told.values():
        assert [attempt["number"] for attempt in one["attempts"]] == [1, 2, 3]
    to_next(world, EIGHT)
    await world.sweep()
    assert [text_of(mail).count("tr-4\n") for mail in to_aoi(world)] == [0, 1]


async def test_a_mail_that_two_send_has_one_message_id(world: Inside) -> None:
    """The server takes it and its answer is lost: the same bytes again, which is all that can be done."""
    await day(world, 3)
    to_next(world, EIGHT)
    seen: list[bytes] = []
    taken = world.mail.messages

    class Kept(list):  # type: ignore[type-arg]
        def append(self, message: Any) -> None:
            if message.to == AOI:
                seen.append(message.raw)
                if len(seen) == 1:
                    world.mail.hang_up_all()
                    return
            super().append(message)

    world.mail.messages = Kept(taken)
    await world.sweep()
    world.pass_time(3600)
    await world.sweep()
    assert len(seen) == 2 and seen[0] == seen[1]
    assert {one["status"] for one in (await deliveries(world)).values()} == {"delivered"}


async def test_a_worker_that_dies_with_a_mail_in_hand_leaves_it_to_the_next(world: Inside) -> None:
    await day(world, 3)
    to_next(world, EIGHT)
    mailer = world.services.mailer
    assert mailer is not None
    real, handed = mailer.attempt, []

    class Killed(BaseException):
        """Nothing of ours catches it, like SIGKILL."""

    async def attempt(**given: Any) -> Any:
        if given["message"].to == AOI:
            handed.append(given["message"].raw)
            if len(handed) == 1:
                raise Killed
        return await real(**given)

    object.__setattr__(mailer, "attempt", attempt)
    await world.engine.sweep()
    with suppress(Killed):
        await world.engine.idle()
    world.engine = Engine(world.services)
    world.pass_time(60)
    await world.sweep()
    assert len(handed) == 2 and handed[0] == handed[1], "what was begun is finished, byte by byte"
    (mail,) = to_aoi(world)
    assert "3 messages" in mail["Subject"]
    told = await deliveries(world)
    assert {(one["status"], len(one["attempts"])) for one in told.values()} == {("delivered", 1)}


async def test_what_is_muted_or_gone_meanwhile_is_canceled_and_the_rest_goes(world: Inside) -> None:
    await day(world, 2)
    await world.api.post(step("tr-1", "completed", 2))
    await world.sweep()
    await world.api.ask("PUT", CHOICES, DAILY | {"types": {"transfer.created": "never", "transfer.completed": "daily"}})
    to_next(world, EIGHT)
    await world.sweep()
    (mail,) = to_aoi(world)
    assert "1 message about" in mail["Subject"]
    ended = {event: (one["status"], one["reason"]) for event, one in (await deliveries(world)).items()}
    assert ended == {"tr-1-1": ("canceled", "muted"), "tr-2-1": ("canceled", "muted"), "tr-1-2": ("delivered", None)}
    await world.api.ask("PUT", CHOICES, DAILY)
    await day(world, 1, first=5)
    await world.api.ask("PUT", "/v1/partners/contoso/admin-agents", {"admin_agents": []})
    to_next(world, EIGHT)
    await world.sweep()
    assert len(to_aoi(world)) == 1
    assert (await deliveries(world))["tr-5-1"]["reason"] == "recipient_removed"


async def test_who_wants_it_at_once_again_gets_what_waits_in_a_last_summary(world: Inside) -> None:
    await day(world, 1)
    await world.api.ask("PUT", CHOICES, {})
    await day(world, 1, first=2)
    assert [("Daily" in mail["Subject"], "tr-2" in text_of(mail)) for mail in to_aoi(world)] == [(False, True)]
    to_next(world, EIGHT)
    await world.sweep()
    assert [("Daily" in mail["Subject"], "tr-1" in text_of(mail)) for mail in to_aoi(world)][1:] == [(True, True)]


async def test_what_cannot_be_shown_keeps_no_other_from_its_reader(world: Inside) -> None:
    """Long names fill a mail sooner; a body that is gone ends alone, as undeliverable."""
    for number in range(1, 40):
        names = {"customer": {"id": "c", "name": "譲" * 400 + str(number)}}
        await world.api.post(step(f"tr-{number}" + "x" * 100, "created", 1, id=f"e{number}", **names))
    await world.sweep()
    redis: Any = world.services.store.client.redis
    key = world.services.store.client.key("t:tr-7" + "x" * 100)
    gone = [field for field in await redis.hkeys(key) if b"source" in field]
    assert gone
    await redis.hdel(key, *gone)
    to_next(world, EIGHT)
    await world.sweep()
    told = await deliveries(world)
    assert len(told) == 39
    lost = told.pop("e7")
    assert (lost["status"], lost["attempts"][0]["outcome"]) == ("exhausted", "unsendable")
    assert {one["status"] for one in told.values()} == {"delivered"}
    mails = to_aoi(world)
    assert sum(text_of(mail).count("xxx\n") for mail in mails) == 38
    assert all(len(mail.get_body(("html",)).get_content().encode()) < 90_000 for mail in mails)


async def test_one_click_in_a_summary_ends_summaries(world: Inside) -> None:
    await day(world, 1)
    to_next(world, EIGHT)
    await world.sweep()
    url = to_aoi(world)[0]["List-Unsubscribe"].strip("<>").removeprefix("https://relay.example")
    async with world.api.http.post(world.api.base + url, data={"List-Unsubscribe": "One-Click"}) as answer:
        assert answer.status == 200
    await day(world, 2, first=2)
    to_next(world, EIGHT)
    await world.sweep()
    assert len(to_aoi(world)) == 1
    assert (await world.api.ask("GET", CHOICES))["types"]["transfer.created"] == "never"
