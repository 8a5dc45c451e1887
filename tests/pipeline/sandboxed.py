"""How does a test run the relay against the sandbox?

The relay inside this process, listening to a sandbox inside this process too, each over its own sockets.
Nothing happens by itself: `work` lets both do what is due, `later` moves both clocks.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.config import load
from relay.logs import open_log
from relay.sandbox.serve import Sandbox, opened, serving, settings_of
from relay.sandbox.subscriptions.world import SOURCE, TARGET
from relay.sources.listening import Listening, hearing
from tests.fakes.csp import Csp
from tests.pipeline.caller import Member
from tests.pipeline.inside import Inside, inside
from tests.pipeline.rig import environment
from tests.ports import free_port

NAME = "partner-center"
WRITTEN = {"source": ("kaiyo-cloud", SOURCE), "target": ("fabrikam", TARGET)}
CONTACT = "it@relecloud.example"


@dataclass
class World:
    """The relay with its two partners, and the sandbox with the same two."""

    relay: Inside
    sources: Listening
    sandbox: Sandbox
    url: str
    members: dict[str, Member]

    async def drive(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
        """A request to the sandbox's control."""
        headers = {"Authorization": f"Bearer {self.relay.api.token}"}
        async with self.relay.api.http.request(method, self.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == expect, f"{method} {path}: {answer.status} {text}"
            return json.loads(text) if text else None

    async def fault(self, kind: str, **more: Any) -> None:
        await self.drive("POST", f"/sandbox/{NAME}/faults", {"kind": kind, **more})

    async def person(self, name: str, role: str = "admin_agent") -> Csp:
        """Somebody of a partner (by its id with the relay) who speaks with Partner Center; role "": its
        application alone."""
        known = (await self.drive("GET", f"/sandbox/{NAME}/credentials"))["data"]
        partner = next(one for one in known if name in (one["id"], one["tenant"]))
        refresh = next((one["refresh_token"] for one in partner["people"] if one["role"] == role), "")
        base = f"{self.url}/{NAME}"
        return Csp(
            self.relay.api.http, base, f"{base}/login", partner["tenant"], partner["client_id"],
            partner["client_secret"], refresh,
        )  # fmt: skip

    async def customer(self, *bought: tuple[str, str, int], consents_to: str = "fabrikam") -> tuple[str, list[Any]]:
        """A new customer of the source's who is ready for a transfer: its id, and what it has bought."""
        items = [{"name": name, "product": product, "quantity": quantity} for name, product, quantity in bought]
        body = {"name": "Relecloud", "email": CONTACT, "owner": "kaiyo-cloud", "bought": items}
        made = await self.drive("POST", f"/sandbox/{NAME}/customers", body, expect=201)
        if consents_to:
            target = await self.person(consents_to)
            link = await target.relationship_link()
            async with self.relay.api.http.post(link, json={"customer": made["customerTenantId"]}) as answer:
                assert answer.status == 200, await answer.text()
            assert (await target.confirm_agreement(made["customerTenantId"])).status == 201
        return made["customerTenantId"], made["subscriptions"]

    async def work(self) -> None:
        """Both do all that is due."""
        for _ in range(30):
            made, _ = await self.sandbox.turn()
            ticked = await self.sources.tick()
            if not made and not ticked:
                break
        await self.relay.sweep()

    async def later(self, seconds: float, *, relay: bool = True) -> None:
        """It is later in the sandbox, and for the relay too; both have worked."""
        await self.drive("POST", "/sandbox/clock", {"jump_seconds": round(seconds)})
        if relay:
            self.relay.pass_time(seconds)
        await self.work()
        # What is only found by looking is found a little later.
        self.relay.pass_time(6)
        await self.work()

    def told(self, side: str, transfer: str) -> list[dict[str, Any]]:
        """The webhooks of one side about a transfer, as they came."""
        found = [json.loads(one.body) for one in self.relay.hooks.requests if one.path == self.members[side].path]
        return [one for one in found if one["data"]["transfer"]["id"] == transfer]

    def types(self, side: str, transfer: str) -> list[str]:
        return [one["type"].removeprefix("transfer.") for one in self.told(side, transfer)]

    def mails(self, transfer: str) -> list[tuple[str, str]]:
        """Whom mails about a transfer went to, with their subjects."""
        found = []
        for one in self.relay.mail.messages:
            body = one.parsed.get_body(("plain",))
            if body is not None and transfer in body.get_content():
                found.append((one.to, str(one.parsed["Subject"])))
        return found

    async def audits(self, side: str, transfer: str) -> list[str]:
        """The types of a side's audit records about a transfer, oldest first."""
        lines = await self.relay.api.all(f"/v1/partners/{self.members[side].id}/activity?transfer={transfer}")
        return [one["type"].removeprefix("transfer.") for one in reversed(lines) if one["audit"]]

    async def troubles(self, tenant: str = "fabrikam") -> dict[str, str]:
        """What is wrong with a tenant's source, as the operator is told."""
        found = await self.relay.api.ask("GET", "/v1/sources")
        return {
            one["kind"]: one["detail"]
            for source in found["data"] if source["source"] == f"{NAME}:{tenant}" for one in source["troubles"]
        }  # fmt: skip


@asynccontextmanager
async def sandboxed(valkey_url: str, folder: Path, **settings: str) -> AsyncIterator[World]:
    """Opens all of it; `folder` keeps the sandbox's keys, so that a second one there starts faster."""
    async with AsyncExitStack() as stack:
        own = {"RELAY_SANDBOX__PORT": str(free_port()), "RELAY_SANDBOX__FOLDER": str(folder)}
        config = load(None, environment(valkey_url, **own))
        listens = settings_of(config) | settings
        relay = await stack.enter_async_context(inside(valkey_url, **listens))
        sources = await stack.enter_async_context(hearing(relay.services))
        sandbox = await stack.enter_async_context(opened(config, open_log(config.log)))
        await stack.enter_async_context(serving(sandbox, config))
        # The address that callbacks go to is the relay's as it is, not as it is set.
        for registrar in sources.registrars.values():
            name = registrar.url.rpartition("/")[2]
            registrar.url = f"{relay.api.base}/v1/sources/partner-center/{name}"
        members = {side: await relay.api.register(name, relay.hooks) for side, (name, _) in WRITTEN.items()}
        world = World(relay, sources, sandbox, config.sandbox.base_url, members)
        await sources.start()
        relay.pass_time(6)
        await world.work()
        yield world
