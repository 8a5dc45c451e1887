"""Does a failed delivery say what happened, what to do, and why a signature is not believed?"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from relay.times import to_ns
from tests.fakes.partner import Answer
from tests.pipeline.caller import Member
from tests.pipeline.events import step
from tests.pipeline.inside import Inside
from tests.ports import free_port


def mac(key: bytes, content: str) -> str:
    return base64.b64encode(hmac.new(key, content.encode(), hashlib.sha256).digest()).decode()


async def failed(world: Inside, answer: Answer) -> tuple[Member, Any]:
    member = await world.api.register("contoso", world.hooks)
    world.hooks.always(answer)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    (listed,) = (await member.caller.ask("GET", f"{member.at}/deliveries"))["data"]
    return member, await member.caller.ask("GET", f"/v1/deliveries/{listed['id']}")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(401), "401. The receiver does not believe who sent this. Most often its signature check fails"),
        (Answer(404), "404. The receiver has nothing at this path"),
        (Answer(308, headers={"Location": "https://new.contoso.com/in"}), "308, to https://new.contoso.com/in."),
        (Answer(500), "500. The receiver's own code failed"),
        (Answer(502), "502. A gateway in front of the receiver"),
        (Answer(599), "599. The receiver, or what stands in front of it, failed"),
        (Answer(drop=True), "The connection was closed before an answer came"),
        (Answer(raw=b"SSH-2.0-OpenSSH\r\n"), "not an answer of the expected protocol"),
    ],
)
async def test_a_failed_attempt_says_what_happened_and_what_to_do(
    world: Inside, answer: Answer, says: str
) -> None:
    _, delivery = await failed(world, answer)
    explanation = delivery["attempts"][0]["explanation"]
    assert says in explanation
    assert explanation.endswith(".")


async def test_the_exact_bytes_that_were_signed_are_given(world: Inside) -> None:
    member, delivery = await failed(world, Answer(401))
    ((attempt,), request) = delivery["attempts"], world.hooks.requests[0]
    signed = attempt["request"]["signed"]
    assert signed.encode() == b".".join(
        (request.message_id.encode(), request.headers["webhook-timestamp"].encode(), request.body)
    )
    key = base64.b64decode(member.secret.removeprefix("whsec_"))
    assert f"v1,{mac(key, signed)}" == request.headers["webhook-signature"]


async def test_verify_help_names_the_mistake_of_a_real_delivery(world: Inside) -> None:
    member, delivery = await failed(world, Answer(401))
    world.pass_time(to_ns(delivery["next_attempt_at"]) / 1e9 - world.clock() / 1000 + 1)
    await world.sweep()
    first, second = world.hooks.requests
    key, text = base64.b64decode(member.secret[6:]), member.secret[6:]
    ts = second.headers["webhook-timestamp"]
    body = second.body.decode()
    wide = json.dumps(json.loads(body))

    async def help_(signature: str, **more: object) -> tuple[bool, list[str]]:
        asked = {"signature": signature, "id": "tr-1-1", **more}
        said = await member.caller.ask("POST", f"{member.at}/verify-help", asked)
        assert said["delivery"] == delivery["id"]
        assert said["attempt"] == more.get("attempt", 2)
        assert said["found"] == bool(said["mistakes"])
        assert all(one["explanation"] for one in said["mistakes"])
        assert signature not in json.dumps(said)
        return said["matches"], [one["mistake"] for one in said["mistakes"]]

    right = mac(key, f"tr-1-1.{ts}.{body}")
    assert await help_(right) == (True, ["comparison"])
    assert await help_(mac(text.encode(), f"tr-1-1.{ts}.{body}")) == (False, ["secret_undecoded"])
    assert await help_(mac(member.secret.encode(), f"tr-1-1.{ts}.{body}")) == (False, ["prefix_kept"])
    assert await help_(mac(key, f"tr-1-1.{ts}.{wide}")) == (False, ["json_reserialised"])
    assert await help_(mac(key, f"{ts}.{body}")) == (False, ["id_missing"])
    old = first.headers["webhook-timestamp"]
    assert await help_(mac(key, f"tr-1-1.{old}.{body}")) == (False, ["wrong_timestamp"])
    assert await help_(mac(key, f"tr-1-1.{old}.{body}"), attempt=1) == (True, ["comparison"])
    assert await help_(base64.b64decode(right).hex()) == (False, ["hex"])
    assert await help_(mac(key, "something else")) == (False, [])
    # What the receiver says it verified helps where two things are wrong that nobody would guess.
    mine = '{"mine": true}'
    both = mac(text.encode(), f"tr-1-1.{ts}.{mine}")
    assert await help_(both, body=mine) == (False, ["other_body", "secret_undecoded"])
    assert await help_(right, clock=int(ts) + 4000) == (True, ["clock"])

    rotated = await member.caller.ask("POST", f"{member.at}/secret/rotate", {})
    assert rotated["secret"] != member.secret
    assert await help_(right) == (False, ["old_secret"])


async def test_verify_help_of_a_ping_takes_what_the_receiver_has(world: Inside) -> None:
    member = await world.api.register("contoso", world.hooks)
    world.hooks.answers(Answer(401))
    ping = await member.caller.ask("POST", f"{member.at}/test", {})
    assert ping["request"]["signed"].endswith(world.hooks.requests[0].body.decode())
    request = world.hooks.requests[0]
    asked = {"signature": mac(member.secret.encode(), ping["request"]["signed"]), "id": request.message_id}
    problem = await member.caller.ask("POST", f"{member.at}/verify-help", asked, expect=422)
    assert {one["pointer"] for one in problem["errors"]} == {"/timestamp", "/body"}
    asked |= {"timestamp": request.headers["webhook-timestamp"], "body": request.body.decode()}
    said = await member.caller.ask("POST", f"{member.at}/verify-help", asked)
    assert [one["mistake"] for one in said["mistakes"]] == ["prefix_kept"]
    asked["body_base64"] = base64.b64encode(request.body).decode()
    said = await member.caller.ask("POST", f"{member.at}/verify-help", asked)
    assert [one["mistake"] for one in said["mistakes"]] == ["prefix_kept"]


async def test_verify_help_shows_nothing_of_anothers_delivery(world: Inside) -> None:
    member, delivery = await failed(world, Answer(401))
    other = await world.api.register("northwind", world.hooks)
    asked = {"signature": "AAAA", "id": "tr-1-1"}
    await other.caller.ask("POST", f"{member.at}/verify-help", asked, expect=404)
    # To its own endpoint nothing of this event went: the same as of an event that never was.
    theirs = await other.caller.ask("POST", f"{other.at}/verify-help", asked, expect=422)
    never = await other.caller.ask("POST", f"{other.at}/verify-help", asked | {"id": "evt-never"}, expect=422)
    by_id = await other.caller.ask("POST", f"{other.at}/verify-help", asked | {"id": delivery["id"]}, expect=422)
    assert theirs == never == by_id
    own = await member.caller.ask("POST", f"{member.at}/verify-help", asked | {"id": delivery["id"]})
    assert own["delivery"] == delivery["id"]


async def test_who_was_asked_for_consent_is_told_with_every_delivery_who_sends(world: Inside) -> None:
    world.hooks.answers(Answer(200, headers={"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "600"}))
    member = await world.api.register("contoso", world.hooks, handshake=True)
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    asked, told = world.hooks.requests
    assert (asked.method, told.method) == ("OPTIONS", "POST")
    assert told.headers["webhook-request-origin"] == asked.headers["webhook-request-origin"]
    assert (await member.caller.ask("GET", member.at))["rate_limit"] == 600
    (delivery,) = (await member.caller.ask("GET", f"{member.at}/deliveries"))["data"]
    assert delivery["status"] == "delivered"


async def test_of_who_is_not_reached_the_activity_log_says_the_outcome_alone(world: Inside) -> None:
    port = free_port()
    member = await world.api.register("contoso", world.hooks)
    await member.caller.ask("PATCH", member.at, {"url": f"http://127.0.0.1:{port}/"})
    await world.api.post(step("tr-1", "created", 1))
    await world.sweep()
    seen: list[Any] = []
    while not seen:
        (delivery,) = (await member.caller.ask("GET", f"{member.at}/deliveries"))["data"]
        assert delivery["status"] == "pending"
        await world.to(delivery["next_attempt_at"])
        seen = (await member.caller.ask("GET", "/v1/partners/contoso/activity?type=endpoint.warned"))["data"]
    assert seen[0]["note"].startswith("No connection could be made.")
    assert str(port) not in seen[0]["note"]
