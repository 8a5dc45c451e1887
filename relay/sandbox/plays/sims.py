"""Which lives does a transfer of SIMs have, and how is each played?

つばめIoT offers SIMs that nobody has used to Northwind Sensors by a token, through the relay's façade; and then
what the life is about. An Event Handler tells the relay of any SIM whose status changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from relay.sandbox.plays.cast import OPERATORS
from relay.sandbox.plays.parties import Operator
from relay.sandbox.plays.stage import Stage
from relay.sandbox.plays.watching import Watch
from relay.sources.sims import transfer_id
from relay.times import format_ms

SYSTEM: Final = "soracom"
_SOURCE, _TARGET = OPERATORS
_LONGEST_MONTHS_S: Final = 62 * 86_400
_BODY: Final = '{"imsi":"${imsi}","simId":"${simId}","oldStatus":"${oldStatus}","newStatus":"${newStatus}"}'


@dataclass
class Offer:
    """One token's SIMs. The token is known to the two programs only."""

    stage: Stage
    watch: Watch
    source: Operator
    target: Operator
    sims: list[str]
    token: str

    async def accept(self, text: str = "accepts with the token") -> None:
        """The destination takes what is still ready."""
        await self.stage.step(_TARGET, text)
        await self.target.tokens("POST", "verify", {"token": self.token})

    async def use(self, imsi: str) -> None:
        """A device connects: the SIM leaves the procedure."""
        await self.stage.step("a device", f"with {imsi} connects: that SIM is in use now")
        await self.stage.drive("POST", f"/{SYSTEM}/sims/{imsi}/connect", {})
        await self.watch.called()


async def _offered(stage: Stage, watch: Watch, count: int = 3) -> Offer:
    source, target = await Operator.of(stage, _SOURCE), await Operator.of(stage, _TARGET)
    await _watched(stage, source)
    sims = (await stage.drive("POST", f"/{SYSTEM}/sims", {"owner": _SOURCE, "count": count}))["imsis"]
    await stage.step(_SOURCE, f"offers {count} SIMs to {_TARGET}, by the relay's façade")
    body = {
        "transferDestinationOperatorEmail": target.email, "transferDestinationOperatorId": _TARGET, "transferImsi": sims,
    }  # fmt: skip
    token = str((await source.tokens("POST", "issue", body))["token"])
    stage.play.transfer = transfer_id(token)
    await watch.told("created")
    return Offer(stage, watch, source, target, sims, token)


async def completed(stage: Stage, watch: Watch) -> None:
    """All goes well."""
    offer = await _offered(stage, watch)
    await offer.accept()
    await watch.told("completed")


async def partially_completed(stage: Stage, watch: Watch) -> None:
    """A device connects with one of the SIMs before the destination accepts."""
    offer = await _offered(stage, watch)
    await offer.use(offer.sims[1])
    await offer.accept("accepts with the token: two of three can still come over")
    await watch.told("partially_completed")


async def canceled(stage: Stage, watch: Watch) -> None:
    """The source calls it off: the whole batch."""
    offer = await _offered(stage, watch)
    await stage.step(_SOURCE, "cancels with the token: every SIM of this start stays")
    await offer.source.tokens("DELETE", offer.token, expect=204)
    await watch.told("canceled")


async def failed(stage: Stage, watch: Watch) -> None:
    """Every SIM is used before the destination accepts: none can come over."""
    offer = await _offered(stage, watch, 2)
    for imsi in offer.sims:
        await offer.use(imsi)
    await watch.told("failed")


async def assisted(stage: Stage, watch: Watch) -> None:
    """A SIM that is in use moves by a form. The platform tells no program: the source's own posts events."""
    target = await Operator.of(stage, _TARGET)
    (imsi,) = (await stage.drive("POST", f"/{SYSTEM}/sims", {"owner": _SOURCE, "count": 1}))["imsis"]
    await stage.step("a device", f"with {imsi} connects: the SIM is in use")
    await stage.drive("POST", f"/{SYSTEM}/sims/{imsi}/connect", {})
    await stage.step(_SOURCE, f"applies by the form, and its own system posts that to the relay; {_TARGET} gets a mail")
    form = {"source": _SOURCE, "target": _TARGET, "email": target.email, "imsis": [imsi]}
    applied = await stage.drive("POST", f"/{SYSTEM}/assisted", form)
    stage.play.transfer = applied["id"]
    about = {
        "id": stage.play.transfer, "kind": "sim", "created_at": format_ms(stage.clock()),
        "source": {"id": _SOURCE, "name": "つばめIoT"},
        "target": {"id": _TARGET, "name": "Northwind Sensors KK", "email": target.email},
    }  # fmt: skip
    await _post(stage, about, "created", "pending", imsi)
    await watch.told("created")
    await stage.step(_TARGET, "accepts; it is done at the beginning of a month")
    accepted = await stage.drive("POST", f"/{SYSTEM}/assisted/{applied['id']}/accept", {})
    await _post(stage, {**about, "effective_on": accepted["starts_on"]}, "updated", "in_progress", imsi)
    await watch.told("updated")
    await stage.later(f"it is {accepted['starts_on']}", _LONGEST_MONTHS_S)
    await watch.notes()
    await target.api("GET", f"/subscribers/{imsi}")
    await _post(stage, {**about, "effective_on": accepted["starts_on"]}, "completed", "completed", imsi)
    await watch.told("completed")


async def _post(stage: Stage, about: dict[str, Any], step: str, status: str, imsi: str) -> None:
    event = {
        "id": f"assisted-{stage.play.transfer}-{step}", "type": f"transfer.{step}", "occurred_at": format_ms(stage.clock()),
        "transfer": {**about, "status": status, "items": [{"imsi": imsi, "status": "active"}]},
    }  # fmt: skip
    await stage.relay("POST", "/v1/events", event)


async def _watched(stage: Stage, source: Operator) -> None:
    """The source's Event Handler tells the relay, at its address of today."""
    url = f"{source.facade}/sim-status"
    for one in await source.api("GET", "/event_handlers"):
        action = one["actionConfigList"][0]["properties"]
        if action["url"] == url:
            return
        await source.api("DELETE", f"/event_handlers/{one['handlerId']}", expect=204)
    handler = {
        "targetOperatorId": _SOURCE, "status": "active", "name": "Tell the relay of SIMs that are used",
        "ruleConfig": {"type": "SimStatusAttributeRule", "properties": {"inactiveTimeoutDateConst": "NEVER", "sourceStatus": "ready"}},
        "actionConfigList": [
            {
                "type": "ExecuteWebRequestAction",
                "properties": {
                    "executionDateTimeConst": "IMMEDIATELY", "httpMethod": "POST", "url": url,
                    "contentType": "application/json", "body": _BODY,
                },
            }
        ],
    }  # fmt: skip
    await source.api("POST", "/event_handlers", handler, expect=201)
