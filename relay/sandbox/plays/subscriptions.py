"""Which lives does a transfer of subscriptions have, and how is each played?

A customer of Kaiyo Cloud goes to Fabrikam: the customer consents, Fabrikam asks, Kaiyo Cloud chooses what is
moved and submits, or does not; and then what the life is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from relay.sandbox.plays.parties import AGREEMENT, Agent
from relay.sandbox.plays.stage import Stage
from relay.sandbox.plays.watching import Watch

SYSTEM: Final = "partner-center"
_SOURCE, _TARGET = "kaiyo-cloud", "fabrikam"
_BOUGHT: Final = (("Microsoft 365 E3", 25), ("Microsoft 365 Business Premium", 10), ("Exchange Online (Plan 1)", 40))
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@dataclass
class Case:
    """One request for a transfer, with everybody who has a part in it."""

    stage: Stage
    watch: Watch
    source: Agent
    target: Agent
    customer: str
    items: list[dict[str, Any]]

    @property
    def path(self) -> str:
        """Of the transfer."""
        return f"/v1/customers/{self.customer}/transfers/{self.stage.play.transfer}"

    async def submit(self, text: str = "accepts, chooses what is moved, and submits it") -> None:
        """The source submits everything."""
        await self.stage.step(_SOURCE, text)
        lines = [{"subscriptionId": one["id"], "productType": one["productType"]} for one in self.items]
        await self.source.ask("PATCH", self.path, {"id": self.stage.play.transfer, "lineItems": lines})
        await self.watch.told("updated")

    async def fault(self, kind: str, **more: Any) -> None:
        """Something is to go wrong."""
        await self.stage.drive("POST", f"/{SYSTEM}/faults", {"kind": kind, **more})


async def _asked(stage: Stage, watch: Watch, count: int = 2, *, wait: bool = True) -> Case:
    """Up to the moment when the target has asked."""
    for one in (await stage.drive("GET", ""))["systems"][SYSTEM]["partners"]:
        if one["id"] in (_SOURCE, _TARGET) and not (one["registered"] or "").startswith(stage.where.relay):
            await stage.relay("POST", f"/v1/sources/partner-center/{one['id']}/registration", {"replace": True})
    source, target = await Agent.of(stage, _SOURCE), await Agent.of(stage, _TARGET)
    bought = [{"name": name, "quantity": quantity} for name, quantity in _BOUGHT[:count]]
    await stage.step("Relecloud", f"has bought {count} subscriptions from {_SOURCE}, and wants to go to {_TARGET}")
    body = {"name": "Relecloud", "email": "it@relecloud.example", "owner": _SOURCE, "bought": bought}
    made = await stage.drive("POST", f"/{SYSTEM}/customers", body)
    customer = made["customerTenantId"]
    await stage.step("Relecloud", f"consents to a relationship with {_TARGET}, and accepts the customer agreement")
    link = (await target.ask("GET", "/v1/customers/relationshiprequests"))["url"]
    await stage.ask("POST", link, {"customer": customer}, {})
    await target.ask("POST", f"/v1/customers/{customer}/agreements", AGREEMENT, expect=201)
    await stage.step(_TARGET, f"asks {_SOURCE} for Relecloud's subscriptions")
    body = {
        "sourcePartnerTenantId": source.tenant, "sourcePartnerName": "海洋クラウド株式会社", "customerName": "Relecloud",
        "customerEmailId": "it@relecloud.example", "targetProductTypes": ["OnlineServicesNCE"],
    }  # fmt: skip
    asked = await target.ask("POST", f"/v1/customers/{customer}/transfers", body, expect=201)
    stage.play.transfer = asked["id"]
    if wait:
        await watch.told("created")
    return Case(stage, watch, source, target, customer, made["subscriptions"])


async def completed(stage: Stage, watch: Watch) -> None:
    """All goes well."""
    case = await _asked(stage, watch)
    await case.submit()
    await stage.later("twenty minutes later", 20 * _MINUTE)
    await watch.told("completed")


async def failed(stage: Stage, watch: Watch) -> None:
    """Its only item cannot be moved."""
    case = await _asked(stage, watch, 1)
    await case.fault("fail_item", item=1)
    await case.submit()
    await stage.later("twenty minutes later", 20 * _MINUTE)
    await watch.told("failed")


async def partially_completed(stage: Stage, watch: Watch) -> None:
    """One of three items fails; nobody is told so by the system."""
    case = await _asked(stage, watch, 3)
    await case.fault("fail_item", item=2)
    await case.submit()
    await stage.later("twenty minutes later; the system tells nobody of a partial outcome", 20 * _MINUTE)
    await watch.told("partially_completed")


async def retried(stage: Stage, watch: Watch) -> None:
    """One of three items fails, and is moved when the source tries it again."""
    await partially_completed(stage, watch)
    customer = await _customer(stage)
    source = await Agent.of(stage, _SOURCE)
    await stage.step(_SOURCE, "submits what has failed once more")
    path = f"/v1/customers/{customer}/transfers/{stage.play.transfer}"
    await source.ask("PATCH", path, {"id": stage.play.transfer, "lineItems": []})
    await stage.later("twenty minutes later", 20 * _MINUTE)
    await watch.told("completed")


async def expired(stage: Stage, watch: Watch) -> None:
    """The source does not answer."""
    await _asked(stage, watch)
    await stage.later("thirty days later; the source has not answered", 30 * _DAY + _HOUR)
    await watch.told("expired")


async def canceled(stage: Stage, watch: Watch) -> None:
    """The target calls it off; the system has no event for that."""
    case = await _asked(stage, watch)
    await stage.step(_TARGET, "cancels; the system tells nobody, and the relay finds it by looking")
    await case.target.ask("PATCH", case.path, {"id": stage.play.transfer, "status": "Cancel"})
    await watch.told("canceled")


async def held_up(stage: Stage, watch: Watch) -> None:
    """It is held up for 71 hours, and then completes."""
    case = await _asked(stage, watch)
    await case.fault("stall", seconds=71 * _HOUR, then="complete")
    await case.submit()
    await stage.later("a day later: still in progress", _DAY)
    await stage.later("another two days later", 2 * _DAY)
    await watch.told("completed")


async def garbled(stage: Stage, watch: Watch) -> None:
    """Callbacks come twice, badly signed and out of order; each partner is told each fact once, in order."""
    case = await _asked(stage, watch)
    for kind in ("twice", "bad_signature"):
        await case.fault(kind, event="update-transfer")
    await case.submit()
    await case.fault("twice", count=2, event="complete-transfer")
    await stage.later("twenty minutes later", 20 * _MINUTE)
    await watch.told("completed")


async def _customer(stage: Stage) -> str:
    summary = (await stage.drive("GET", ""))["systems"][SYSTEM]
    found = next(one for one in summary["transfers"] if one["id"] == stage.play.transfer)
    return str(found["customerTenantId"])
