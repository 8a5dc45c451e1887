"""Does what comes back by e-mail stop the mails to who cannot be reached, and nothing else?"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.reports import EVERY, OUT_OF_OFFICE, PERSON, QMAIL, TO, arf, dsn
from tests.pipeline.events import step
from tests.pipeline.inside import Inside, inside

AGENTS = [{"email": f"{name}@contoso.example", "name": name.title()} for name in ("aoi", "ben")]
FULL = dsn(status="5.2.2", said="smtp; 552 5.2.2 mailbox full")


@pytest.fixture
async def world(valkey_url: str) -> AsyncIterator[Inside]:
    async with inside(valkey_url, RELAY_BOUNCES__RETURN_ADDRESS="bounces@relay.example") as made:
        await made.api.register("contoso", admin_agents=AGENTS)
        yield made


async def sent(world: Inside, number: int = 1, to: str = "aoi@contoso.example") -> str:
    """The return path of a mail about a new transfer."""
    await world.api.post(step(f"t-{number}", "created", 1))
    await world.sweep()
    return next(mail.sender for mail in reversed(world.mail.messages) if mail.to == to)


async def come_back(world: Inside, raw: bytes, path: str, expect: int = 200, recipient: str = "") -> Any:
    """What is answered to a report about the mail with this return path."""
    query = f"?recipient={recipient.replace('+', '%2B')}" if recipient else ""
    data = raw.replace(TO.encode(), path.encode())
    headers = {"Content-Type": "message/rfc822"}
    return await world.api.ask("POST", f"/v1/bounces{query}", expect=expect, data=data, headers=headers)


async def suppressed(world: Inside) -> list[tuple[str, str, str]]:
    found = await world.api.all("/v1/suppressions")
    return [(one["email"], one["reason"], one["source"]) for one in found]


async def test_a_mail_that_comes_back_suppresses_its_address_and_the_others_are_told(world: Inside) -> None:
    path = await sent(world)
    assert path.startswith("bounces+") and path.endswith("@relay.example")
    assert {mail.parsed["From"] for mail in world.mail.messages} == {"Transfer Relay <transfers@relay.example>"}
    told = await world.api.all("/v1/transfers/t-1/deliveries?channel=email")
    mine = next(one for one in told if one["email"] == "aoi@contoso.example")
    said = await come_back(world, dsn(), path)
    assert said == {"outcome": "suppressed", "delivery": mine["id"], "status": "5.1.1"}
    assert await suppressed(world) == [("aoi@contoso.example", "hard_bounce", "report")]
    await world.sweep()
    assert [mail.to for mail in world.mail.messages if "aoi@" in mail.parsed["Subject"]] == ["ben@contoso.example"]
    partner = await world.api.ask("GET", "/v1/partners/contoso")
    assert [agent["bounced"] and agent["bounced"]["detail"] for agent in partner["admin_agents"]] == [
        "550 5.1.1 User unknown", None,
    ]  # fmt: skip
    # The mail server hands it in twice: nothing more happens.
    assert (await come_back(world, dsn(), path))["outcome"] == "counted"
    await world.sweep()
    assert len([mail for mail in world.mail.messages if "aoi@" in mail.parsed["Subject"]]) == 1
    # Nor when somebody lifted it in between; what came back later does.
    await world.api.ask("DELETE", "/v1/suppressions/aoi@contoso.example", expect=204)
    assert (await come_back(world, dsn(), path))["outcome"] == "counted"
    assert await suppressed(world) == []
    assert (await come_back(world, dsn() + b"later\r\n", path))["outcome"] == "suppressed"
    # The delivery stays what it was, and says how its address stands now.
    shown = await world.api.ask("GET", f"/v1/deliveries/{mine['id']}")
    assert (shown["status"], shown["suppression"]["reason"]) == ("delivered", "hard_bounce")


async def test_a_complaint_suppresses_and_only_the_operator_lifts_it(world: Inside) -> None:
    path = await sent(world)
    assert (await come_back(world, arf(), path))["outcome"] == "suppressed"
    assert await suppressed(world) == [("aoi@contoso.example", "complaint", "report")]
    await world.sweep()
    assert not [mail for mail in world.mail.messages if "aoi@" in mail.parsed["Subject"]]  # it is nobody's business


async def test_soft_bounces_suppress_when_there_are_enough_of_different_mails(world: Inside) -> None:
    for number in range(1, 6):
        path = await sent(world, number)
        for _ in range(2):
            said = await come_back(world, FULL, path)
        assert said["outcome"] == "counted"
    assert await suppressed(world) == [("aoi@contoso.example", "soft_bounces", "report")]


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("delayed", "delayed"),
        ("delivered", "arrived"),
        ("policy", "not_the_address"),
        ("out-of-office", "automatic"),
        ("old-out-of-office", "automatic"),
        ("read-receipt", "automatic"),
    ],
)
async def test_what_says_nothing_about_the_address_is_taken_and_changes_nothing(
    world: Inside, name: str, outcome: str
) -> None:
    assert (await come_back(world, EVERY[name][0], await sent(world)))["outcome"] == outcome
    assert await suppressed(world) == []


async def test_what_is_forged_expired_or_no_report_is_refused(world: Inside) -> None:
    path = await sent(world)
    token = path.partition("+")[2].partition("@")[0]
    forged = path.replace(token, token[:-1] + ("a" if token[-1] != "a" else "b"))

    async def why(raw: bytes, path: str) -> str:
        said = await come_back(world, raw, path, expect=422)
        return str(said["errors"][0]["detail"])

    assert "not signed" in await why(dsn(), forged)
    assert "no return path" in await why(dsn(), "bounces@relay.example")
    assert "person" in await why(PERSON, path)
    # Without a return path of ours an absence note is only ignored.
    assert (await come_back(world, OUT_OF_OFFICE, "bounces@relay.example"))["outcome"] == "automatic"
    world.pass_time(16 * 86_400)
    assert "longer" in await why(dsn(), path)
    assert await suppressed(world) == []
    # What is sent again later can be reported again.
    (again,) = [one for one in await world.api.all("/v1/transfers/t-1/deliveries") if one["email"] == "aoi@contoso.example"]
    await world.api.ask("POST", f"/v1/deliveries/{again['id']}/resend", expect=202)
    await world.sweep()
    assert (await come_back(world, dsn(), world.mail.messages[-1].sender))["outcome"] == "suppressed"


async def test_where_the_headers_do_not_have_it_the_mail_server_says_to_whom_it_came(world: Inside) -> None:
    path = await sent(world)
    await come_back(world, dsn(), "bounces@relay.example", expect=422)
    said = await come_back(world, dsn(), "bounces@relay.example", recipient=path)
    assert said["outcome"] == "suppressed"


async def test_a_token_for_bounces_does_nothing_else(world: Inside) -> None:
    made = await world.api.ask("POST", "/v1/tokens", {"name": "postfix", "scope": "bounces"}, expect=201)
    pipe = world.api.of(made["token"])
    path = await sent(world)
    raw = dsn().replace(TO.encode(), path.encode())
    assert (await pipe.ask("POST", "/v1/bounces", data=raw))["outcome"] == "suppressed"
    for method, where in (
        ("GET", "/v1/suppressions"), ("DELETE", "/v1/suppressions/a@x.example"), ("GET", "/v1/partners"),
        ("GET", "/metrics"), ("POST", "/v1/events"), ("GET", "/v1/bounces"),
    ):  # fmt: skip
        status, _ = await pipe.raw(method, where)
        assert status in (403, 405), (method, where)


async def test_a_partner_and_a_producer_hand_in_nothing(world: Inside) -> None:
    member = await world.api.register("fabrikam")
    producer = await world.api.ask("POST", "/v1/producers", {"name": "p"}, expect=201)
    for token in (member.caller.token, producer["token"]):
        status, _ = await world.api.of(token).raw("POST", "/v1/bounces", data=dsn())
        assert status == 403


async def test_a_pipe_of_a_mail_server_is_told_what_to_do_by_the_exit_code(world: Inside, tmp_path: Path) -> None:
    path = await sent(world)

    async def piped(raw: bytes, *words: str, token: str = world.api.token, url: str = world.api.base) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "relay", "bounce", "-", *words, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "RELAY_TOKEN": token, "RELAY_URL": url}, cwd=tmp_path,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(raw), 60)
        return process.returncode or 0, out.decode()

    code, said = await piped(QMAIL.replace(TO.encode(), b"x@y.example"), "--recipient", path)
    assert (code, said.split()[0]) == (0, "suppressed")
    assert (await piped(OUT_OF_OFFICE))[0] == 0
    assert (await piped(PERSON))[0] == 65
    code, said = await piped(dsn(), token="x" * 40)
    assert (code, "401" in said) == (75, True)
    assert (await piped(dsn(), url="http://127.0.0.1:9"))[0] == 75


async def test_without_a_bounce_mailbox_mails_are_from_the_sender(valkey_url: str) -> None:
    async with inside(valkey_url) as made:
        await made.api.register("contoso", admin_agents=AGENTS)
        assert await sent(made) == "transfers@relay.example"
        await come_back(made, dsn(), "x@y.example", expect=409)
