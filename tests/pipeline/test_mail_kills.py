"""A worker is killed at each step of sending a mail: is one lost, and does one come twice?

The Procfile's own processes, and a mail server that stops at a step so that the worker is killed just there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from relay.embedded import EmbeddedValkey
from tests.fakes.mail_server import HANG, STEPS, Kept, MailServer
from tests.pipeline.caller import eventually
from tests.pipeline.events import step
from tests.pipeline.inside import inside
from tests.pipeline.rig import Rig

KILLED_AT = [*(name for name in STEPS if name != "starttls"), "after the dot"]


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A server of its own, so that the worker's leases are nobody else's."""
    with EmbeddedValkey.start(tmp_path / "data") as made:
        yield made


async def test_a_worker_killed_at_any_step_loses_nothing_and_doubles_only_what_may_have_arrived(
    own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with (
        MailServer() as server,
        Rig(own_valkey, tmp_path, RELAY_WORKER__LEASE_SECONDS="2", RELAY_MAIL__URL=server.url) as rig,
    ):
        copies: dict[str, list[str]] = {}
        for n, killed_at in enumerate(KILLED_AT):
            taken = killed_at == "after the dot"
            name = "dot" if taken else killed_at
            address = f"kill-{n}@reader.example"
            server.hang_up()  # the next message begins with a connection
            server.will(name, dataclasses.replace(HANG, keep=taken))
            before = server.seen[name]
            customer = {"id": "relecloud", "name": "Relecloud", "contacts": [{"email": address}]}
            await rig.api.post(step(f"kill-{n}", "created", 1, customer=customer))
            await server.at(name, before + 1)
            rig.kill("worker")
            rig.bring_back("worker")

            async def arrived(transfer: str = f"kill-{n}") -> str | None:
                (one,) = await rig.api.all(f"/v1/transfers/{transfer}/deliveries?channel=email")
                return None if one["status"] == "pending" else str(one["status"])

            assert await eventually(arrived, f"the mail of {killed_at}") == "delivered"
            copies[killed_at] = [kept.message_id for kept in server.kept if kept.to == address]
    assert {killed_at: len(ids) for killed_at, ids in copies.items()} == {
        killed_at: 2 if killed_at == "after the dot" else 1 for killed_at in KILLED_AT
    }
    assert all(len(set(ids)) == 1 for ids in copies.values()), "a double is known by its Message-ID"


# --- a daily mail -------------------------------------------------------------------------------------------

DAY_MS = 86_400_000
AT_NOON = {"types": {"transfer.created": "daily"}, "daily_hour": 12, "timezone": "UTC"}
HELD_AT = {"rcpt@contoso.example": "rcpt", "data@contoso.example": "data", "body@contoso.example": "body",
           "before@contoso.example": "dot", "after@contoso.example": "dot"}  # fmt: skip
"""At which step of whose daily mail the worker is killed: all of them at once."""
AMBIGUOUS = "after@contoso.example"
"""Here the server has taken the mail, and the worker dies before it hears so."""


async def yesterday(url: str, transfers: list[str]) -> None:
    """What was posted and planned the day before, in the morning: each agent's mail waits for noon."""
    async with inside(url) as world:
        world.clock.offset_ms = -(world.clock() % DAY_MS) - DAY_MS + DAY_MS // 3
        await world.api.register("fabrikam", admin_agents=[])
        await world.api.register("contoso", admin_agents=[{"email": email, "name": email[:4]} for email in HELD_AT])
        for email in HELD_AT:
            await world.api.ask("PUT", f"/v1/partners/contoso/admin-agents/{email}/preferences", AT_NOON)
        for transfer in transfers:
            await world.api.post(step(transfer, "created", 1))
        await world.sweep()
        assert not world.mail.messages


async def test_a_worker_killed_within_daily_mails_loses_nothing_and_doubles_only_what_may_have_arrived(
    own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    transfers = [f"daily-{n}" for n in range(3)]
    await yesterday(own_valkey.url, transfers)
    settings = {"RELAY_WORKER__LEASE_SECONDS": "2", "RELAY_MAIL__CONNECTIONS": str(len(HELD_AT))}
    async with MailServer() as server:
        for email, held_at in HELD_AT.items():
            server.will(held_at, dataclasses.replace(HANG, keep=email == AMBIGUOUS), to=email)
        async with Rig(own_valkey, tmp_path, RELAY_MAIL__URL=server.url, **settings) as rig:

            async def held() -> bool | None:
                return None if any(server.script_of[at, email] for email, at in HELD_AT.items()) else True

            await eventually(held, "each daily mail is held at its step")
            rig.kill("worker")
            rig.bring_back("worker")

            async def settled() -> list[Any] | None:
                found = await rig.api.all("/v1/deliveries?channel=email")
                return found if all(one["status"] != "pending" for one in found) else None

            ended = await eventually(settled, "every delivery of the daily mails has ended", 60)
            whole = [await rig.api.ask("GET", f"/v1/deliveries/{one['id']}") for one in ended]
    assert sorted((one["email"], one["event_id"]) for one in ended) == sorted(
        (email, f"{transfer}-1") for email in HELD_AT for transfer in transfers
    )
    assert {one["status"] for one in ended} == {"delivered"}
    # What was never heard of is no attempt; the one that was is each delivery's own.
    assert {tuple(attempt["number"] for attempt in one["attempts"]) for one in whole} == {(1,)}
    copies: dict[str, list[Kept]] = {email: [one for one in server.kept if one.to == email] for email in HELD_AT}
    assert {email: len(kept) for email, kept in copies.items()} == {
        email: 2 if email == AMBIGUOUS else 1 for email in HELD_AT
    }
    for kept in copies.values():
        assert len({one.raw for one in kept}) == 1, "a double is the same mail, known by its Message-ID"
        mail = message_from_bytes(kept[0].raw, policy=policy.default)
        text = mail.get_body(("plain",)).get_content()  # type: ignore[attr-defined]
        assert [text.count(transfer) for transfer in transfers] == [1, 1, 1]
