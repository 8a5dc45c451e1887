"""Does what was written for Partner Center work unchanged behind a relay?

The consumer is the relay's own source of Partner Center, which proves and reads callbacks as the documentation has
it; the endpoint of format `partner_center` points at it. It is told of what to trust and of nothing else.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.sources.listening import Listening, hearing
from tests.fakes.partner_center import CUSTOMER, SOURCE, TARGET, PartnerCenter, line, transfer
from tests.pipeline.events import step
from tests.pipeline.inside import Inside, inside
from tests.ports import free_port

ID = transfer()["id"]
ORGANISATION = "Microsoft Corporation"
LISTENS = {"name": "fabrikam", "tenant_id": TARGET, "client_id": "c", "client_secret": "s", "partner": "fabrikam"}
SPEAKS = {"name": "contoso", "tenant_id": SOURCE, "client_id": "c", "client_secret": "s", "partner": "contoso"}
STEPS = ["create-transfer", "update-transfer", "complete-transfer"]
TIMES = ["2024-12-12T14:44:18.627854Z", "2024-12-12T14:46:18.627854Z", "2024-12-12T14:47:18.627854Z"]


def have(upstream: PartnerCenter, number: int) -> dict[str, Any]:
    """Partner Center's API has the transfer as it is after that step, for each side as it sees it."""
    sides = [
        ({}, {}),
        ({"status": "InProgress", "lineItems": [line(0)]}, {"status": "InProgress"}),
        ({"status": "Complete", "lineItems": [line(0, "Complete")]},
         {"status": "Complete", "lineItems": [line(0, "Complete", subscriptionId="new-0")]}),
    ][number]  # fmt: skip
    for tenant, changes in zip((SOURCE, TARGET), sides, strict=True):
        upstream.put(transfer(**changes), tenant)
    return transfer(**sides[0])


@dataclass
class Chain:
    """A relay that tells, the consumer behind it, and Partner Center's API, which both may ask."""

    telling: Inside
    hearing: Inside
    sources: Listening
    upstream: PartnerCenter

    async def work(self, seconds: float = 0) -> None:
        """It is so much later; what the one tells the other has heard, asked about and told on."""
        for relay in {id(self.telling): self.telling, id(self.hearing): self.hearing}.values():
            relay.pass_time(seconds)
        for _ in range(3):
            await self.telling.sweep()
            while await self.sources.tick():
                pass
            await self.hearing.sweep()

    def told(self, path: str) -> list[dict[str, Any]]:
        """The standard messages that arrived behind the consumer."""
        return [json.loads(one.body) for one in self.hearing.hooks.requests if one.path == path]

    async def how_they_ended(self) -> list[str]:
        """What became of each callback, by the operator's own view of the consumer."""
        found = await self.hearing.api.ask("GET", "/v1/sources")
        (mine,) = [one for one in found["data"] if one["source"] == "partner-center:fabrikam"]
        assert mine["troubles"] == [] and mine["waiting"] == 0
        return sorted(one["outcome"] for one in mine["past"])


def speaker(port: int) -> dict[str, str]:
    """What the relay that tells is set to."""
    return {
        "RELAY_SERVER__PUBLIC_URL": f"http://127.0.0.1:{port}",
        "RELAY_FORMATS__PARTNER_CENTER__ORGANISATION": ORGANISATION,
    }


async def trusted(telling: Inside, url: str, roots: Path) -> str:
    """Registers the consumer as an endpoint, and writes down the authority that it is to trust; the folder."""
    member = await telling.api.register("fabrikam", admin_agents=[])
    made = await member.caller.ask(
        "POST", "/v1/partners/fabrikam/endpoints", {"url": url, "format": "partner_center"}, expect=201
    )
    async with telling.api.http.get(made["callbacks"]["authority"]) as answer:
        assert answer.status == 200
        with roots.open("ab") as file:
            file.write(await answer.read())
    assert made["callbacks"]["organisation"] == ORGANISATION
    return str(made["callbacks"]["certificates"])


@asynccontextmanager
async def chained(valkey_url: str, folder: Path) -> AsyncIterator[Chain]:
    """Two relays, each with keys of its own; the second has the first one's certificate for Partner Center's."""
    port, heard, roots = free_port(), free_port(), folder / "roots.pem"
    url = f"http://127.0.0.1:{heard}/v1/sources/partner-center/fabrikam"
    first = speaker(port) | {"RELAY_STORE__PREFIX": "first"}
    async with PartnerCenter() as upstream, inside(valkey_url, port=port, **first) as telling:
        pinned = await trusted(telling, url, roots)
        settings = upstream.settings(str(roots), LISTENS, SPEAKS, certificates=json.dumps([pinned]))
        async with inside(valkey_url, port=heard, **settings) as consumer, hearing(consumer.services) as sources:
            yield Chain(telling, consumer, sources, upstream)


def event(number: int) -> dict[str, Any]:
    """The same step as a producer of the telling relay posts it."""
    type_ = STEPS[number].partition("-")[0] + "d"
    made = step(ID, type_, number + 1, occurred_at=TIMES[number], customer={"id": CUSTOMER, "name": "Relecloud"})
    made["transfer"]["source"]["tenant_id"], made["transfer"]["target"]["tenant_id"] = SOURCE, TARGET
    return made


async def test_a_consumer_of_partner_centers_hears_a_whole_life_through_a_relay(
    valkey_url: str, tmp_path: Path
) -> None:
    async with chained(valkey_url, tmp_path) as chain:
        target = await chain.hearing.api.register("fabrikam", chain.hearing.hooks)
        source = await chain.hearing.api.register("contoso", chain.hearing.hooks)
        for number in range(3):
            have(chain.upstream, number)
            await chain.telling.api.post(event(number))
            await chain.work()
        types = ["transfer.created", "transfer.updated", "transfer.completed"]
        assert [one["type"] for one in chain.told(target.path)] == types
        assert [one["type"] for one in chain.told(source.path)] == types
        # Each as its role may see it, and at the time that the first relay was told.
        assert [one["timestamp"][:23] for one in chain.told(target.path)] == [one[:23] for one in TIMES]
        assert chain.told(target.path)[2]["data"]["transfer"]["items"][0]["id"] == "new-0"
        assert "new-0" not in json.dumps(chain.told(source.path))
        assert await chain.how_they_ended() == ["told"] * 3
        settled = await chain.telling.api.settled(ID)
        assert [one["status"] for one in settled if one["channel"] == "webhook"] == ["delivered"] * 3


async def test_what_a_relay_sends_again_is_known_behind_it(valkey_url: str, tmp_path: Path) -> None:
    async with chained(valkey_url, tmp_path) as chain:
        target = await chain.hearing.api.register("fabrikam", chain.hearing.hooks)
        have(chain.upstream, 0)
        await chain.telling.api.post(event(0))
        await chain.work()
        delivery = (await chain.telling.delivery(f"{ID}-1"))["id"]
        for _ in range(2):
            await chain.telling.api.ask("POST", f"/v1/deliveries/{delivery}/resend", expect=202)
            await chain.work(30)
        assert len((await chain.telling.delivery(f"{ID}-1"))["attempts"]) == 3
        assert len(chain.told(target.path)) == 1 and await chain.how_they_ended() == ["told"]


async def test_the_ping_of_a_relay_is_the_validation_event_of_the_consumer(valkey_url: str, tmp_path: Path) -> None:
    async with chained(valkey_url, tmp_path) as chain:
        (endpoint,) = await chain.telling.api.all("/v1/partners/fabrikam/endpoints")
        at = f"/v1/partners/fabrikam/endpoints/{endpoint['id']}/test"
        assert (await chain.telling.api.ask("POST", at))["outcome"] == "accepted"
        await chain.work()
        assert await chain.how_they_ended() == ["test"]


async def test_a_relay_that_tells_itself_tells_each_event_once(valkey_url: str, tmp_path: Path) -> None:
    """One relay hears the source's tenant from Partner Center, and the target's from itself."""
    port, roots = free_port(), tmp_path / "roots.pem"
    base = f"http://127.0.0.1:{port}"
    async with PartnerCenter() as upstream:
        roots.write_text(upstream.signer.root_pem)
        async with inside(valkey_url, port=port, **speaker(port)) as first:
            pinned = await trusted(first, f"{base}/v1/sources/partner-center/fabrikam", roots)
        folders = json.dumps([f"{upstream.url}/cert/", pinned])
        settings = speaker(port) | upstream.settings(str(roots), LISTENS, SPEAKS, certificates=folders)
        async with inside(valkey_url, port=port, **settings) as relay, hearing(relay.services) as sources:
            chain = Chain(relay, relay, sources, upstream)
            source = await relay.api.register("contoso", relay.hooks)
            for number, name in enumerate(STEPS):
                body = upstream.callback(name, have(upstream, number), TIMES[number], partner=SOURCE)
                said = await upstream.call(relay.api.http, f"{base}/v1/sources/partner-center/contoso", body)
                assert said == 200
                await chain.work()
            for _ in range(3):
                await chain.work(60)
            types = ["transfer.created", "transfer.updated", "transfer.completed"]
            assert [one["type"] for one in chain.told(source.path)] == types
            timeline = (await relay.api.ask("GET", f"/v1/transfers/{ID}"))["timeline"]
            assert [one["type"] for one in timeline] == types
            # The second tenant heard all of it, and had nothing to add.
            assert await chain.how_they_ended() == ["known"] * 3
            hooks = [one for one in await relay.api.settled(ID) if one["channel"] == "webhook"]
            assert [one["status"] for one in hooks] == ["delivered"] * 6
