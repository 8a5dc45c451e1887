"""What if the database, or the lease, goes while a mail is being made?"""

from __future__ import annotations

from typing import Any

import pytest

from relay.errors import StoreFull, StoreUnavailable
from relay.store.passes import Advanced, Mark
from tests.pipeline.events import step
from tests.pipeline.inside import Inside


def disturbed(world: Inside, patch: pytest.MonkeyPatch, disturb: Any) -> None:
    """`disturb` instead of the first time that a mail's bytes are to be kept."""
    queues = world.services.store.queues
    advance, disturbances = queues.advance, [disturb]

    async def advancing(recipient: str, **options: Any) -> Advanced:
        if disturbances and any(one.mark is Mark.KEEP for one in options.get("results", ())):
            await disturbances.pop()(recipient)
        return await advance(recipient, **options)

    patch.setattr(queues, "advance", advancing)


@pytest.mark.parametrize("error", [StoreUnavailable, StoreFull])
async def test_a_database_that_is_away_costs_a_mail_no_attempt(
    world: Inside, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    await world.api.register("contoso")

    async def away(recipient: str) -> None:
        raise error

    disturbed(world, monkeypatch, away)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    assert world.mail.messages == []
    world.pass_time(5)
    await world.sweep()
    (mail,) = await world.api.all("/v1/transfers/tr-1/deliveries?channel=email")
    told = await world.api.ask("GET", f"/v1/deliveries/{mail['id']}")
    assert [one["outcome"] for one in told["attempts"]] == ["accepted"]
    assert len(world.mail.messages) == 1


async def test_a_mail_is_not_sent_by_who_has_lost_its_queue(world: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker took it over while the mail was being made, and sends it."""
    await world.api.register("contoso")
    client = world.services.store.client

    async def taken_over(recipient: str) -> None:
        queue = client.key(f"r:{recipient}", "q")
        await client.ask("HSET", queue, "token", "another", "until", world.services.clock() + 60_000)

    disturbed(world, monkeypatch, taken_over)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    assert world.mail.messages == []
    world.pass_time(120)
    await world.sweep()
    assert len(world.mail.messages) == 1
