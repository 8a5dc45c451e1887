"""Does a mail stay the same mail, and a calendar entry the same entry, whatever happens on the way?"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from icalendar import Calendar, Event

from relay.embedded import EmbeddedValkey
from tests.fakes.signatures import believed, keys
from tests.fakes.smtp import HANG_UP, SILENCE, Received
from tests.pipeline.caller import eventually
from tests.pipeline.events import BEGINS_AT, step
from tests.pipeline.inside import Inside, inside
from tests.pipeline.rig import Rig

CONTACT = "it@relecloud.example"
ONLY_CUSTOMER = {"RELAY_NOTIFY__SUBSCRIPTION__CREATED__EMAIL": '["customer"]'}


def created(transfer: str, **changes: Any) -> dict[str, Any]:
    customer = {"id": "relecloud", "name": "Relecloud", "contacts": [{"email": CONTACT, "name": "森 葵", "locale": "ja"}]}
    return step(transfer, "created", 1, customer=customer, **changes)


# --- a retry is the same mail --------------------------------------------------------------------------


async def test_a_retry_sends_the_same_bytes_whatever_ended_the_try_before(world: Inside) -> None:
    world.mail.will("data", "451 4.3.0 not now", HANG_UP, "421 4.3.2 going down")
    await world.api.post(created("tr-1"))
    for _ in range(8):
        await world.sweep()
        world.pass_time(7 * 3600)
    assert len(world.mail.offered) == 4
    assert len(set(world.mail.offered)) == 1
    assert [one.raw for one in world.mail.messages] == world.mail.offered[:1]


async def test_what_waits_is_sent_as_it_was_built_whatever_the_settings_say_by_then(world: Inside, valkey_url: str) -> None:
    world.mail.will("data", "451 4.3.0 not now")
    await world.api.post(created("tr-1"))
    await world.sweep()
    (first,) = world.mail.offered
    await world.engine.stop(5)
    async with inside(valkey_url, RELAY_MAIL__PRODUCT_NAME="Another", RELAY_MAIL__FROM_ADDRESS="new@relay.example") as later:
        later.pass_time(3600)
        await later.sweep()
        assert [one.raw for one in later.mail.messages] == [first]
        await later.api.post(created("tr-2"))
        await later.sweep()
        assert later.mail.messages[-1].parsed["From"].addresses[0].addr_spec == "new@relay.example"


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey.start(tmp_path / "data") as server:
        yield server


@pytest.fixture
async def mortal(own_valkey: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig(own_valkey, tmp_path, RELAY_WORKER__LEASE_SECONDS="2", **ONLY_CUSTOMER) as made:
        yield made


async def test_a_worker_that_died_is_followed_by_one_that_sends_the_same_bytes(mortal: Rig) -> None:
    """`test_mail_kills` kills it at every step; here the server has the whole message, and does not answer."""
    mail = mortal.mail
    mail.will("data", SILENCE)
    await mortal.api.post(created("tr-1"))

    async def stuck() -> bool | None:
        return True if mail.offered else None

    await eventually(stuck, "the worker waits for the answer to the final dot")
    mortal.kill("worker")
    mortal.bring_back("worker")

    async def arrived() -> bool | None:
        return True if mail.messages else None

    await eventually(arrived, "another worker sends the mail")
    assert mail.offered == [mail.messages[0].raw] * 2


# --- one click, and who vouches for it ---------------------------------------------------------------------

ONE_CLICK = ("List-Unsubscribe", "List-Unsubscribe-Post")
AOI = "aoi@contoso.example"


@pytest.fixture
async def signing(valkey_url: str) -> AsyncIterator[Inside]:
    """The relay signs with two keys, and people reach it over https. Aoi is told once a day."""
    secret = json.dumps([one.model_dump() for one in keys()])
    async with inside(valkey_url, RELAY_MAIL__DKIM=secret, RELAY_SERVER__PUBLIC_URL="https://relay.example") as made:
        made.pass_time(-3 * 86_400)  # a receiver believes no signature of tomorrow
        agents = [{"email": AOI, "name": "Aoi", "locale": "ja"}, {"email": "ben@contoso.example", "name": "Ben"}]
        await made.api.register("contoso", admin_agents=agents)
        choices = f"/v1/partners/contoso/admin-agents/{AOI}/preferences"
        await made.api.ask("PUT", choices, {"types": {"transfer.created": "daily"}})
        yield made


def without(name: str, raw: bytes) -> bytes:
    """The mail as it is when somebody took this header away."""
    gone, count = re.subn(rb"(?m)^%s: .*\r\n(?:[ \t].*\r\n)*" % name.encode(), b"", raw)
    assert count == 1
    return gone


async def test_one_click_is_vouched_for_by_every_signature_of_what_arrives(signing: Inside) -> None:
    """RFC 8058, 4: without a signature over both headers no mailbox service offers the one click. First a try that
    failed, so that what arrives are the stored bytes; a mail to an agent, one to a customer, and a daily one."""
    published = signing.services.composer.dkim_records
    signing.mail.will("data", "451 4.3.0 not now")
    await signing.api.post(created("tr-1"))
    await signing.sweep()
    signing.pass_time(26 * 3600)
    await signing.sweep()
    assert {one.to for one in signing.mail.messages} == {AOI, "ben@contoso.example", CONTACT}
    for one in signing.mail.messages:
        assert one.parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        made = one.parsed.get_all("DKIM-Signature")
        assert made is not None and len(made) == 2
        for signature in made:
            (listed,) = re.findall(r"\sh=([^;]+);", signature)
            covered = re.sub(r"\s", "", listed).lower().split(":")
            # Once for the one there is, and once so that nobody can add another.
            assert [covered.count(name.lower()) for name in ONE_CLICK] == [2, 2]
        assert believed(one.raw, published) == [True, True]
        for name in ONE_CLICK:
            for changed in (
                without(name, one.raw),
                one.raw.replace(f"\r\n{name}: ".encode(), f"\r\n{name}: <https://evil.example/>, ".encode(), 1),
                one.raw.replace(f"\r\n{name}: ".encode(), f"\r\n{name}: x\r\n{name}: ".encode(), 1),
            ):
                assert changed != one.raw and believed(changed, published) == [False, False]


# --- the calendar entry --------------------------------------------------------------------------------


def entry(mail: Received) -> tuple[str, Event] | None:
    """The calendar's method and its one event."""
    for part in mail.parsed.iter_attachments():
        assert isinstance(part, EmailMessage)
        if part.get_content_type() == "text/calendar":
            found = Calendar.from_ical(part.get_content())
            (event,) = found.walk("VEVENT")
            return str(found["METHOD"]), event
    return None


def to(world: Inside, who: str) -> list[tuple[str, Event] | None]:
    return [entry(one) for one in world.mail.messages if one.to == who]


async def test_the_end_of_the_time_to_accept_is_brought_updated_and_taken_out(valkey_url: str) -> None:
    async with inside(valkey_url, RELAY_NOTIFY__REMIND_BEFORE='["7d"]') as world:
        await world.to(BEGINS_AT)
        for name in ("contoso", "fabrikam"):
            await world.api.register(name, world.hooks)
        await world.api.post(created("tr-1"))
        await world.sweep()
        await world.to("2026-12-14T01:00:00Z")
        await world.api.ask(
            "PUT", "/v1/partners/contoso/admin-agents",
            {"admin_agents": [{"email": f"{who}@contoso.example", "name": who} for who in ("agent", "new")]},
        )  # fmt: skip
        await world.api.post(step("tr-1", "updated", 2, occurred_at="2026-12-14T02:00:00Z"))
        await world.api.post(step("tr-1", "completed", 3, occurred_at="2026-12-14T03:00:00Z"))
        await world.sweep()
        agent = [one for one in to(world, "agent@contoso.example") if one]
        assert [(method, int(event["SEQUENCE"]), str(event["STATUS"])) for method, event in agent] == [
            ("PUBLISH", 0, "CONFIRMED"), ("PUBLISH", 1, "CONFIRMED"), ("CANCEL", 3, "CANCELLED"),
        ]  # fmt: skip
        assert len({event["UID"] for _, event in agent}) == 1
        assert len({event.end for _, event in agent}) == 1
        assert to(world, "new@contoso.example") == [None], "who never got it has nothing taken out"
        assert set(to(world, CONTACT)) == {None}
        assert not any(to(world, "agent@fabrikam.example"))


async def test_the_entry_can_be_switched_off(valkey_url: str) -> None:
    async with inside(valkey_url, RELAY_MAIL__CALENDAR="false") as world:
        await world.api.register("contoso", world.hooks)
        for event in (created("tr-1"), step("tr-1", "updated", 2), step("tr-1", "completed", 3)):
            await world.api.post(event)
        await world.sweep()
        assert to(world, "agent@contoso.example") == [None, None]
