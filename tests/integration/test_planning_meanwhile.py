"""Does it matter what happens elsewhere while an event is planned?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest

from relay.engine.fanout import FanOut
from relay.engine.registered import Registrations
from relay.plan import Registered
from relay.services import Services
from relay.store.client import Call, Client
from relay.store.hints import Hint
from tests.calling import Api
from tests.events import least

DEADLINE_S = 30


class Together(Registrations):
    """Lets nobody go on before `both` have read what is to be planned."""

    both: asyncio.Barrier
    one_came: asyncio.Event

    async def fresh(self, partners: Iterable[str]) -> dict[str, Registered]:
        self.one_came.set()
        async with asyncio.timeout(DEADLINE_S):
            await self.both.wait()
        return await super().fresh(partners)


async def test_an_event_that_two_plan_at_once_is_counted_once(operator: Api, services: Services) -> None:
    store, event = services.store, least()
    source = await operator.partner("contoso")
    await source.ask(
        "POST", "/v1/partners/contoso/endpoints", {"url": "https://hooks.partner-webhooks.com/in"}, expect=201
    )
    await operator.ask("POST", "/v1/events", event, expect=202)
    slow = Together(store.registry)
    slow.both, slow.one_came = asyncio.Barrier(2), asyncio.Event()
    planning = []
    for _ in range(2):
        await store.hints.make_due(Hint.PLAN, [(event["transfer"]["id"], services.clock())])
        fan_out = FanOut(
            store, services.config, slow, services.clock, services.log, wake=lambda channel, to: None
        )
        planning.append(asyncio.create_task(fan_out.run()))
        await slow.one_came.wait()
    await asyncio.gather(*planning)
    counted = await store.counters.read()
    assert counted["relay_deliveries_pending|channel=webhook"] == 1


class Meanwhile(Registrations):
    """Something is registered right after it was asked what is."""

    register: Callable[[], Awaitable[object]]

    async def seen(self, partners: Iterable[str]) -> dict[str, tuple[int, Registered]]:
        found = await super().seen(partners)
        await self.register()
        return found


async def test_what_is_registered_while_an_event_is_planned_is_told(operator: Api, services: Services) -> None:
    store, event = services.store, least()
    source = await operator.partner("contoso")
    await operator.ask("POST", "/v1/events", event, expect=202)
    late = Meanwhile(store.registry)
    late.register = lambda: source.ask(
        "POST", "/v1/partners/contoso/endpoints", {"url": "https://hooks.partner-webhooks.com/in"}, expect=201
    )
    told: list[str] = []
    fan_out = FanOut(store, services.config, late, services.clock, services.log, wake=lambda _, to: told.extend(to))
    await fan_out.run()
    (endpoint,) = await store.registry.list_endpoints("contoso")
    assert told == [endpoint.id]
    listed = await source.ask("GET", f"/v1/partners/contoso/endpoints/{endpoint.id}/deliveries")
    assert [one["event_id"] for one in listed["data"]] == [event["id"]]


async def test_a_planner_that_is_to_stop_leaves_the_rest_to_others(
    operator: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finishes what it has taken: nobody waits until its claims are over."""
    store, chain = services.store, Client.chain
    events = [least(id=f"evt-{n}") for n in range(1000)]
    for n, event in enumerate(events):
        event["transfer"]["id"] = f"tr-{n}"
    for part in (events[:500], events[500:]):
        await operator.ask("POST", "/v1/events", part, expect=207)

    def planner() -> FanOut:
        return FanOut(
            store, services.config, Registrations(store.registry), services.clock, services.log, wake=lambda *_: None
        )

    first, second = planner(), planner()

    async def stops(self: Client, calls: Sequence[Call]) -> list[list[Any]] | None:
        first.stopping = True
        return await chain(self, calls)

    monkeypatch.setattr(Client, "chain", stops)
    await first.run()
    assert 0 < await store.hints.count(Hint.PLAN) < len(events)
    await second.run()
    assert await store.hints.count(Hint.PLAN) == 0
