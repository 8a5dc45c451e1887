"""Is nothing mailed to who cannot be reached or wants no mail, and everything to everybody else?"""

from __future__ import annotations

from typing import Any

from tests.pipeline.events import step
from tests.pipeline.inside import Inside


def customer(*emails: str) -> dict[str, Any]:
    return {"id": "relecloud", "name": "Relecloud", "contacts": [{"email": email} for email in emails]}


async def mails(world: Inside, transfer: str) -> dict[str, Any]:
    found = await world.api.all(f"/v1/transfers/{transfer}/deliveries?channel=email")
    return {one["email"]: one for one in found}


async def test_a_suppressed_address_is_sent_nothing_until_it_is_lifted(world: Inside) -> None:
    people = ["it@relecloud.example", "buyer@relecloud.example"]
    event = step("t-1", "created", 1, customer=customer(*people))
    await world.api.ask("POST", "/v1/suppressions", {"email": people[0].upper()}, expect=201)
    await world.api.post(event)
    await world.sweep()
    assert [mail.to for mail in world.mail.messages] == [people[1]]
    told = await mails(world, "t-1")
    one = told[people[0]]
    assert (one["status"], one["reason"], one["attempt_count"]) == ("canceled", "suppressed", 0)
    assert told[people[1]]["status"] == "delivered"
    # Sent again, it is canceled again; lifted, it goes.
    await world.api.ask("POST", f"/v1/deliveries/{one['id']}/resend", expect=202)
    await world.sweep()
    assert (await mails(world, "t-1"))[people[0]]["reason"] == "suppressed"
    await world.api.ask("DELETE", f"/v1/suppressions/{people[0]}", expect=204)
    await world.api.ask("POST", f"/v1/deliveries/{one['id']}/resend", expect=202)
    await world.sweep()
    assert [mail.to for mail in world.mail.messages] == [people[1], people[0]]
