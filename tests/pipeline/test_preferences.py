"""What becomes of a mail that its reader does not want, or wants with all else of the day?"""

from __future__ import annotations

from typing import Any

from tests.pipeline.caller import Member
from tests.pipeline.events import step
from tests.pipeline.inside import Inside

AGENTS = [
    {"email": "aoi@contoso.example", "name": "Aoi", "locale": "ja"},
    {"email": "ben@contoso.example", "name": "Ben"},
]
AOI = "/v1/partners/contoso/admin-agents/aoi@contoso.example/preferences"
CONTACT = {"email": "it@relecloud.example", "name": "Mori", "locale": "fr"}
CUSTOMER = {"id": "relecloud", "name": "Relecloud", "contacts": [CONTACT]}
TO_CONTACT = f"/v1/customer-contacts/{CONTACT['email']}/preferences"


async def contoso(world: Inside) -> Member:
    await world.api.register("fabrikam", admin_agents=[{"email": "f@fabrikam.example", "name": "F"}])
    return await world.api.register("contoso", admin_agents=AGENTS)


def mails(world: Inside) -> list[str]:
    return sorted(message.to for message in world.mail.messages)


async def skips(world: Inside, transfer: str) -> set[tuple[str, str]]:
    seen = await world.api.ask("GET", f"/v1/transfers/{transfer}")
    return {(skip["email"], skip["reason"]) for event in seen["timeline"] for skip in event["skipped"] if skip["email"]}


async def test_who_wants_no_such_mail_is_not_sent_one_and_the_log_says_so(world: Inside) -> None:
    partner = (await contoso(world)).caller
    await partner.ask("PUT", AOI, {"types": {"transfer.created": "never"}})
    await world.api.ask("PUT", TO_CONTACT, {"types": {"transfer.created": "never"}})
    await world.api.post(step("tr-1", "created", 1, customer=CUSTOMER))
    await world.sweep()
    assert mails(world) == ["ben@contoso.example"]
    assert await skips(world, "tr-1") == {("aoi@contoso.example", "muted"), (CONTACT["email"], "muted")}
    (line,) = await partner.all("/v1/partners/contoso/activity?type=transfer.created")
    assert ("aoi@contoso.example", "muted") in {(one["email"], one["reason"]) for one in line["skipped"]}
    (changed,) = await partner.all("/v1/partners/contoso/activity?type=preferences.changed")
    assert changed["note"] == "E-mail to aoi@contoso.example: transfer.created never."
    # What they did not speak of comes as ever, and all of it when they want it again.
    await partner.ask("PUT", AOI, {})
    await world.api.post(step("tr-2", "created", 2, customer=CUSTOMER))
    await world.sweep()
    assert mails(world) == ["aoi@contoso.example", "ben@contoso.example", "ben@contoso.example"]


async def test_what_waits_when_it_is_muted_is_canceled_with_the_reason(world: Inside) -> None:
    await contoso(world)
    world.mail.will("rcpt", "450 4.2.0 later", "450 4.2.0 later", "450 4.2.0 later")
    await world.api.post(step("tr-1", "created", 1, customer=CUSTOMER))
    await world.sweep()
    assert not world.mail.messages
    await world.api.ask("PUT", AOI, {"types": {"transfer.created": "never"}})
    await world.api.ask("PUT", TO_CONTACT, {"types": {"transfer.created": "never"}})
    world.pass_time(60)
    await world.sweep()
    assert mails(world) == ["ben@contoso.example"]
    ended = {d["email"]: (d["status"], d["reason"]) for d in await world.api.all("/v1/deliveries?channel=email")}
    assert ended == {
        "aoi@contoso.example": ("canceled", "muted"), CONTACT["email"]: ("canceled", "muted"),
        "ben@contoso.example": ("delivered", None),
    }  # fmt: skip


async def test_times_are_in_the_zone_that_the_reader_chose(world: Inside) -> None:
    await contoso(world)
    await world.api.ask("PUT", AOI, {"timezone": "America/New_York"})
    await world.api.ask("PUT", TO_CONTACT, {"timezone": "Asia/Kathmandu"})
    await world.api.post(step("tr-1", "created", 1, customer=CUSTOMER))
    await world.sweep()
    texts = {one.to: one.parsed.get_body(("plain",)).get_content() for one in world.mail.messages}
    # 2026-12-21 01:00 UTC, thirty days after the request.
    assert "2026年12月20日(日) 20:00 UTC-5" in texts["aoi@contoso.example"]
    assert "Monday, 21 December 2026, 01:00 UTC" in texts["ben@contoso.example"]
    assert "lundi 21 décembre 2026 à 06:45 UTC+5:45" in texts[CONTACT["email"]]


async def test_what_the_api_says_of_preferences(world: Inside) -> None:
    partner = (await contoso(world)).caller
    unsaid: Any = await partner.ask("GET", AOI)
    assert unsaid["updated_at"] is None and set(unsaid["types"].values()) == {"at_once"}
    assert unsaid["always"] == ["endpoint.warned", "endpoint.disabled"]
    said = await partner.ask(
        "PUT", AOI.replace("aoi@", "AOI@"),
        {"types": {"transfer.completed": "daily"}, "daily_hour": 7, "timezone": "Asia/Tokyo"},
    )  # fmt: skip
    assert await world.api.ask("GET", AOI) == said
    assert said["types"] == unsaid["types"] | {"transfer.completed": "daily"}
    assert (said["email"], said["daily_hour"], said["timezone"]) == ("aoi@contoso.example", 7, "Asia/Tokyo")
    assert said["updated_at"] is not None
    wrong = {"types": {"endpoint.disabled": "never", "x": "never", "transfer.failed": "hourly"}, "daily_hour": 24,
             "timezone": "Mars/Olympus", "hour": 1}  # fmt: skip
    problem = await partner.ask("PUT", AOI, wrong, expect=422)
    assert {one["pointer"] for one in problem["errors"]} == {
        "/types/endpoint.disabled", "/types/x", "/types/transfer.failed", "/daily_hour", "/timezone", "/hour",
    }  # fmt: skip
    for path in (AOI.replace("aoi", "nobody"), AOI.replace("contoso/", "fabrikam/", 1)):
        await partner.ask("GET", path, expect=404)
    await partner.ask("PUT", TO_CONTACT, {}, expect=403)
    await world.api.ask("PUT", TO_CONTACT.replace("@", ""), {}, expect=404)
    # Choices go with the partner they were made for.
    await world.api.ask("DELETE", "/v1/partners/contoso", expect=204)
    await world.api.ask("GET", AOI, expect=404)
    await world.api.register("contoso", admin_agents=AGENTS)
    assert (await world.api.ask("GET", AOI))["updated_at"] is None


async def test_a_batch_is_one_mail_with_counts_and_a_test_is_none(world: Inside) -> None:
    await world.api.register("op-b", admin_agents=[{"email": "b@op-b.example", "name": "B"}])
    member = await world.api.register("op-a", world.hooks, admin_agents=[{"email": "a@op-a.example", "name": "A"}])
    sims = [{"imsi": f"44010{number:010}", "name": f"SIM {number}", "status": "ready"} for number in range(120)]
    await world.api.post(
        step("sim-1", "created", 1, kind="sim", source="op-a", target="op-b", customer=None, items=sims)
    )
    items = [{"id": f"sub-{number}", "name": "E3", "status": "completed", "quantity": 1} for number in range(60)]
    await world.api.post(step("tr-1", "completed", 1, source="op-a", target="op-b", items=items))
    await world.sweep()
    found = sorted((message.to, message.parsed.get_body(("plain",)).get_content()) for message in world.mail.messages)
    assert [to for to, _ in found] == ["a@op-a.example", "b@op-b.example", "b@op-b.example"]
    assert sum("Ready: 120" in text for _, text in found) == 1 and sum("Completed: 60" in text for _, text in found) == 2
    await world.api.ask("POST", f"{member.at}/test")
    await world.sweep()
    assert len(world.mail.messages) == 3
