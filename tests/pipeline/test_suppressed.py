"""Is nothing mailed to who cannot be reached or wants no mail, and everything to everybody else?"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from relay.store.queues import recipient_of
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


AGENTS = [
    {"email": "aoi@contoso.example", "name": "Aoi"},
    {"email": "ben@contoso.example", "name": "Ben"},
    {"email": "chi@contoso.example", "name": "Chi", "locale": "ja"},
]


async def bounced_agent(world: Inside, answer: str) -> Any:
    """The source's first admin agent is refused with this answer; the partner, and who was mailed what."""
    await world.api.register("contoso", admin_agents=AGENTS)
    # The mailboxes of a transfer are drained at once: who is refused is said by the fake, not by order.
    world.mail.refuse["aoi@contoso.example"] = answer
    await world.api.post(step("t-1", "created", 1))
    await world.sweep()
    return await world.api.ask("GET", "/v1/partners/contoso")


async def test_a_hard_bounce_of_an_admin_agent_is_shown_and_the_others_are_told_once(world: Inside) -> None:
    partner = await bounced_agent(world, "550 5.1.1 <aoi@contoso.example>: user unknown")
    shown = {agent["email"]: agent["bounced"] for agent in partner["admin_agents"]}
    gone = shown.pop("aoi@contoso.example")
    assert (gone["reason"], gone["status"], set(shown.values())) == ("hard_bounce", "5.1.1", {None})
    (listed,) = (await world.api.ask("GET", "/v1/suppressions"))["data"]
    told = await mails(world, "t-1")
    assert (listed["email"], listed["source"]) == ("aoi@contoso.example", "smtp")
    assert listed["delivery"] == told["aoi@contoso.example"]["id"]
    assert (told["aoi@contoso.example"]["status"], told["aoi@contoso.example"]["reason"]) == ("exhausted", "bounced")
    subjects = {mail.to: mail.parsed["Subject"] for mail in world.mail.messages if "aoi@" in mail.parsed["Subject"]}
    assert subjects == {
        "ben@contoso.example": "[Undeliverable] Mail to aoi@contoso.example",
        "chi@contoso.example": "[配信不能] aoi@contoso.example 宛てのメール",
    }
    # What comes next is not even tried, and nobody is told again.
    before = len(world.mail.messages)
    await world.api.post(step("t-2", "created", 1))
    await world.sweep()
    assert (await mails(world, "t-2"))["aoi@contoso.example"]["reason"] == "suppressed"
    assert len(world.mail.messages) == before + 2
    log = await world.api.ask("GET", "/v1/partners/contoso/activity?type=agent.bounced")
    assert [line["note"] for line in log["data"]] == [
        "Mail to aoi@contoso.example does not arrive. 5.1.1 <aoi@contoso.example>: user unknown"
    ]
    # Lifted by the partner, it bounces again, which is another incident.
    await world.api.ask("DELETE", "/v1/partners/contoso/suppressions/aoi@contoso.example", expect=204)
    await world.api.post(step("t-3", "created", 1))
    await world.sweep()
    assert len([mail for mail in world.mail.messages if "aoi@" in mail.parsed["Subject"]]) == 4


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("550 no such user here", "exhausted"),  # no enhanced status: it may be a policy
        ("550 5.7.1 message refused", "exhausted"),
        ("452 4.2.2 mailbox full", "pending"),
        ("450 4.7.1 come back later", "pending"),
    ],
)
async def test_what_is_no_proof_suppresses_nobody(world: Inside, answer: str, status: str) -> None:
    partner = await bounced_agent(world, answer)
    assert [agent["bounced"] for agent in partner["admin_agents"]] == [None, None, None]
    assert (await mails(world, "t-1"))["aoi@contoso.example"]["status"] == status
    assert len(world.mail.messages) == 2


async def test_many_messages_that_fail_in_a_row_suppress(world: Inside) -> None:
    await world.api.register("contoso", admin_agents=AGENTS[:2])
    world.mail.refuse["aoi@contoso.example"] = "550 no such user here"
    for number in range(1, 6):
        await world.api.post(step(f"t-{number}", "created", 1))
        await world.sweep()
    partner = await world.api.ask("GET", "/v1/partners/contoso")
    assert partner["admin_agents"][0]["bounced"]["reason"] == "soft_bounces"
    told = [mail for mail in world.mail.messages if "aoi@" in mail.parsed["Subject"]]
    assert [mail.to for mail in told] == ["ben@contoso.example"]


async def test_the_log_and_the_timeline_say_who_was_not_told_after_all_and_why(world: Inside) -> None:
    member = await world.api.register("contoso", admin_agents=AGENTS)
    other = await world.api.register("fabrikam", admin_agents=[{"email": "f@fabrikam.example", "name": "F"}])
    contact = "it@relecloud.example"
    for gone in ("ben@contoso.example", contact):
        await world.api.ask("POST", "/v1/suppressions", {"email": gone}, expect=201)
    world.mail.refuse["chi@contoso.example"] = "550 5.1.1 user unknown"
    await world.api.post(step("t-1", "created", 1, customer=customer(contact)))
    await world.sweep()
    became = {
        "aoi@contoso.example": ("delivered", None),
        "ben@contoso.example": ("canceled", "suppressed"),
        "chi@contoso.example": ("exhausted", "bounced"),
    }

    def of(line: Any) -> dict[str, Any]:
        return {one["email"]: (one["status"], one["reason"]) for one in line["told"] if one["channel"] == "email"}

    (line,) = await member.caller.all("/v1/partners/contoso/activity?type=transfer.created")
    assert of(line) == became
    (entry,) = (await member.caller.ask("GET", "/v1/transfers/t-1"))["timeline"]
    assert of(entry) == became
    (entry,) = (await world.api.ask("GET", "/v1/transfers/t-1"))["timeline"]
    assert of(entry) == became | {contact: ("canceled", "suppressed")}
    # Who is not theirs is nobody's to know: not the other partner's agents, and no contact.
    (entry,) = (await other.caller.ask("GET", "/v1/transfers/t-1"))["timeline"]
    assert of(entry) == {}
    path = "/v1/partners/contoso/activity?format=csv&type=transfer.created"
    _, table = await member.caller.raw("GET", path)
    (row,) = csv.DictReader(io.StringIO(table))
    assert row["told"].split() == ["aoi@contoso.example", "chi@contoso.example"]
    assert "email:suppressed" in row["skipped"].split()
    # It is what is so by now; who is told of who bounced has no say in it.
    await world.api.ask("DELETE", "/v1/suppressions/ben@contoso.example", expect=204)
    told = await mails(world, "t-1")
    await world.api.ask("POST", f"/v1/deliveries/{told['ben@contoso.example']['id']}/resend", expect=202)
    await world.sweep()
    (line,) = await member.caller.all("/v1/partners/contoso/activity?type=transfer.created")
    assert of(line)["ben@contoso.example"] == ("delivered", None)
    # Its records are gone: then it is not said.
    client: Any = world.services.store.client
    one = told["aoi@contoso.example"]["id"]
    assert await client.redis.delete(client.key(f"r:{recipient_of(one)}", f"d:{one}")) == 1
    (line,) = await member.caller.all("/v1/partners/contoso/activity?type=transfer.created")
    assert of(line)["aoi@contoso.example"] == (None, None)


async def portal(world: Inside, partner: str) -> str:
    """The page of a partner's person."""
    link = await world.api.ask("POST", f"/v1/partners/{partner}/portal-links", expect=201)
    path = "/portal/" + link["url"].partition("/portal/")[2]
    async with world.api.http.get(world.api.base + path, allow_redirects=False) as answer:
        session = answer.cookies["relay_portal"].value
    _, page = await world.api.raw("GET", "/portal", headers={"Cookie": f"relay_portal={session}"})
    return str(page)


async def test_the_portal_shows_who_is_not_reached(world: Inside) -> None:
    await bounced_agent(world, "550 5.1.1 user unknown")
    await world.api.ask("POST", "/v1/suppressions", {"email": "ben@contoso.example", "note": "between us"}, expect=201)
    page = await portal(world, "contoso")
    assert "5.1.1 user unknown" in " ".join(page.split())
    assert page.count(">bounced</span>") == page.count(">stopped</span>") == 1
    assert page.count(">sent</span>") == len(AGENTS) - 2 and "between us" not in page
    assert "did not arrive: bounced" in page and "not sent" not in page, "ben was told before it was stopped"
    await world.api.post(step("t-2", "created", 1))
    await world.sweep()
    page = await portal(world, "contoso")
    assert page.count("not sent: on the suppression list") == 2


async def test_a_bounced_customer_address_is_corrected_and_the_message_sent_again(world: Inside) -> None:
    people = customer("it@relecloud.example", "wrong@relecloud.example")
    world.mail.refuse["wrong@relecloud.example"] = "550 5.1.1 user unknown"
    await world.api.register("contoso", admin_agents=AGENTS[:1])
    await world.api.post(step("t-1", "created", 1, customer=people))
    await world.sweep()
    told = await mails(world, "t-1")
    wrong = told["wrong@relecloud.example"]
    assert (wrong["status"], wrong["reason"]) == ("exhausted", "bounced")
    path = f"/v1/deliveries/{wrong['id']}/correct"
    made = await world.api.ask("POST", path, {"email": "right@relecloud.example"}, expect=201)
    again = await world.api.ask("POST", path, {"email": "right@relecloud.example"}, expect=201)
    assert (made["id"], made["email"], made["audience"]) == (again["id"], "right@relecloud.example", "customer")
    await world.sweep()

    def came(to: str = "right@relecloud.example") -> list[str]:
        return [mail.parsed["Subject"] for mail in world.mail.messages if mail.to == to]

    assert came() == came("it@relecloud.example")
    told = await mails(world, "t-1")
    ended = [told[f"{name}@relecloud.example"]["status"] for name in ("right", "wrong")]
    assert ended == ["delivered", "exhausted"]
    # What comes later for the wrong address in this transfer goes to the right one too, and in another not.
    await world.api.post(step("t-1", "completed", 2, customer=people))
    await world.api.post(step("t-2", "created", 1, customer=people))
    await world.sweep()
    assert len(came()) == 2
    assert (await mails(world, "t-2"))["wrong@relecloud.example"]["reason"] == "suppressed"
    # And all of it is accounted for.
    world.pass_time(6)
    await world.sweep()
    states = (await world.api.ask("GET", "/v1/accounts"))["last"]["states"]
    assert (states["unaccounted"], states["scheduled"]) == (0, 0)


async def test_only_what_came_back_and_is_the_transfers_own_is_corrected(world: Inside) -> None:
    await world.api.register("contoso", admin_agents=AGENTS[:1])
    await world.api.post(step("t-1", "created", 1, customer=customer("it@relecloud.example")))
    await world.sweep()
    told = await mails(world, "t-1")
    right = {"email": "right@relecloud.example"}
    customers, agents = (
        f"/v1/deliveries/{told[who]['id']}/correct" for who in ("it@relecloud.example", "aoi@contoso.example")
    )
    await world.api.ask("POST", customers, right, expect=409)  # nothing says that it is wrong
    await world.api.ask("POST", agents, right, expect=409)  # the partner keeps its own list
    await world.api.ask("POST", "/v1/suppressions", {"email": "it@relecloud.example"}, expect=201)
    await world.api.ask("POST", customers, {"email": "IT@relecloud.example"}, expect=422)
    await world.api.ask("POST", customers, {"email": "no address"}, expect=422)
    member = await world.api.register("fabrikam")
    for caller, status in ((member.caller, 403), (world.api, 201)):
        await caller.ask("POST", customers, right, expect=status)


async def test_what_came_back_of_a_partners_mail_is_told_to_no_other_who_names_the_address(world: Inside) -> None:
    """Whoever makes somebody else's person an admin agent of its own learns that nothing is mailed there, and no more."""
    secret = "PlantedInTheAnswer0001"
    agent = {"email": "aoi@contoso.example", "name": "Aoi"}
    contoso = await world.api.register("contoso", admin_agents=[agent])
    fabrikam = await world.api.register("fabrikam", admin_agents=[])
    world.mail.refuse[agent["email"]] = f"550 5.1.1 {secret}"
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    (mine,) = (await contoso.caller.ask("GET", "/v1/partners/contoso/suppressions"))["data"]
    assert secret in mine["detail"] and mine["delivery"]
    planted = [secret, mine["delivery"]]
    await world.api.ask("POST", "/v1/suppressions", {"email": "ben@contoso.example", "note": "PlantedNote0002"}, expect=201)
    agents = [agent, {"email": "ben@contoso.example", "name": "Ben"}]
    await fabrikam.caller.ask("PUT", "/v1/partners/fabrikam/admin-agents", {"admin_agents": agents})
    told = [json.dumps(await fabrikam.caller.ask("GET", f"/v1/partners/fabrikam{path}")) for path in ("", "/suppressions")]
    told.append(await portal(world, "fabrikam"))
    assert "ben@contoso.example" in told[-1]
    await world.api.post(step("tr-2", "created", 1))
    await world.sweep()
    for one in await fabrikam.caller.all("/v1/transfers/tr-2/deliveries"):
        told.append(json.dumps(await fabrikam.caller.ask("GET", f"/v1/deliveries/{one['id']}")))
    assert any("aoi@contoso.example" in text for text in told)
    for text in told:
        for one in (*planted, "PlantedNote0002"):
            assert one not in text
