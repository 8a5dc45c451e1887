"""Are providers' webhooks believed when they prove themselves, and for what they say alone?"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.errors import ConfigError
from tests.pipeline.inside import Inside, inside

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
PASSWORD = "correct-horse-battery"
AGENTS = [{"email": f"{name}@contoso.example", "name": name.title()} for name in ("aoi", "ben")]


@pytest.fixture
async def world(valkey_url: str) -> AsyncIterator[Inside]:
    settings = {"RELAY_BOUNCES__POSTMARK_PASSWORD": PASSWORD, "RELAY_BOUNCES__SENDGRID_KEY": PUBLIC}
    async with inside(valkey_url, **settings) as made:
        await made.api.register("contoso", admin_agents=AGENTS)
        yield made


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"relay:{password}".encode()).decode()}


def signed(body: bytes, at: int | None = None) -> dict[str, str]:
    stamp = str(int(time.time()) if at is None else at)
    signature = KEY.sign(stamp.encode() + body, ec.ECDSA(SHA256()))
    return {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
    }


async def suppressed(world: Inside) -> list[tuple[str, str, str]]:
    return [(one["email"], one["reason"], one["source"]) for one in await world.api.all("/v1/suppressions")]


def bounce(type_: str, **more: Any) -> dict[str, Any]:
    """As Postmark documents it."""
    return {
        "RecordType": "Bounce", "MessageStream": "outbound", "ID": 4323372036854775807, "Type": type_, "TypeCode": 1,
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "Details": "smtp;550 5.1.1 no such user",
        "Email": "aoi@contoso.example", "From": "transfers@relay.example", "BouncedAt": "2026-11-21T05:05:00Z", **more,
    }  # fmt: skip


async def test_postmark_tells_of_a_hard_bounce_and_the_others_are_told(world: Inside) -> None:
    headers = basic(PASSWORD)
    for taken in (1, 0):
        said = await world.api.ask("POST", "/v1/bounces/postmark", bounce("HardBounce"), headers=headers)
        assert said == {"suppressed": taken}
    assert await suppressed(world) == [("aoi@contoso.example", "hard_bounce", "postmark")]
    await world.sweep()
    assert [(mail.to, mail.parsed["Subject"]) for mail in world.mail.messages] == [
        ("ben@contoso.example", "[Undeliverable] Mail to aoi@contoso.example")
    ]
    # Lifted, it stays so when Postmark posts the same again, until it bounces anew.
    await world.api.ask("DELETE", "/v1/suppressions/aoi@contoso.example", expect=204)
    for number, taken in ((4323372036854775807, 0), (12, 1)):
        said = await world.api.ask("POST", "/v1/bounces/postmark", bounce("HardBounce", ID=number), headers=headers)
        assert said == {"suppressed": taken}


@pytest.mark.parametrize("type_", ["AutoResponder", "Blocked", "SoftBounce", "AddressChange", "Unsubscribe"])
async def test_postmarks_other_types_suppress_nobody(world: Inside, type_: str) -> None:
    await world.api.ask("POST", "/v1/bounces/postmark", bounce(type_), headers=basic(PASSWORD))
    assert await suppressed(world) == []


async def test_sendgrid_tells_of_bounces_and_complaints(world: Inside) -> None:
    event = {"timestamp": 1795222923, "smtp-id": "<x>", "sg_event_id": "1", "email": "aoi@contoso.example"}
    body = json.dumps(
        [
            {**event, "event": "delivered"},
            {**event, "event": "bounce", "type": "blocked", "status": "5.7.1", "reason": "blocked"},
            {**event, "event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 unknown"},
            {**event, "event": "spamreport", "email": "it@relecloud.example", "sg_event_id": "2"},
            {**event, "event": "dropped", "reason": "Bounced Address", "email": "old@relecloud.example"},
            {**event, "event": "dropped", "reason": "Invalid SMTPAPI header", "email": "x@relecloud.example"},
        ]
    ).encode()
    said = await world.api.ask("POST", "/v1/bounces/sendgrid", data=body, headers=signed(body))
    assert said == {"suppressed": 3}
    assert sorted(await suppressed(world)) == [
        ("aoi@contoso.example", "hard_bounce", "sendgrid"),
        ("it@relecloud.example", "complaint", "sendgrid"),
        ("old@relecloud.example", "hard_bounce", "sendgrid"),
    ]


async def test_what_is_not_proven_is_refused(world: Inside) -> None:
    good, hard = json.dumps([]).encode(), json.dumps(bounce("HardBounce")).encode()
    postmark, sendgrid = "/v1/bounces/postmark", "/v1/bounces/sendgrid"
    long_ago = signed(good, int(time.time()) - 2 * 86_400)
    other = signed(b"[1]")
    for path, data, headers in (
        (postmark, hard, basic("wrong")), (postmark, hard, {"Authorization": "Basic é"}), (postmark, hard, {}),
        (postmark, hard, {"Authorization": f"Bearer {PASSWORD}"}), (sendgrid, good, {}), (sendgrid, good, other),
        (sendgrid, good, long_ago), (sendgrid, good, {**signed(good), "X-Twilio-Email-Event-Webhook-Signature": "!"}),
        (sendgrid, good, {**signed(good), "X-Twilio-Email-Event-Webhook-Timestamp": "soon"}),
    ):  # fmt: skip
        status, _ = await world.api.raw("POST", path, data=data, headers=headers)
        assert status == 401, headers
    assert await suppressed(world) == []
    for body in (b"{", b'"x"', b"[1, null]"):
        status, _ = await world.api.raw("POST", sendgrid, data=body, headers=signed(body))
        assert status == (422 if body == b"{" else 200)


async def test_a_key_that_is_none_is_told_at_the_start(valkey_url: str) -> None:
    for wrong in ("x", base64.b64encode(b"no key").decode()):
        with pytest.raises(ConfigError, match="sendgrid_key"):
            async with inside(valkey_url, RELAY_BOUNCES__SENDGRID_KEY=wrong):
                pass


async def test_they_are_not_there_until_they_are_set_up(valkey_url: str) -> None:
    async with inside(valkey_url) as made:
        for name in ("postmark", "sendgrid"):
            await made.api.ask("POST", f"/v1/bounces/{name}", {}, expect=404)


async def test_who_proves_nothing_again_and_again_is_not_listened_to_for_a_while(valkey_url: str) -> None:
    settings = {"RELAY_BOUNCES__POSTMARK_PASSWORD": PASSWORD, "RELAY_BOUNCES__SENDGRID_KEY": PUBLIC}
    async with inside(valkey_url, RELAY_LIMITS__FAILURES_PER_MINUTE="3", **settings) as world:

        async def post(path: str, data: bytes, headers: dict[str, str]) -> int:
            return (await world.api.raw("POST", path, data=data, headers=headers))[0]

        postmark = json.dumps(bounce("HardBounce")).encode()
        guessed = [await post("/v1/bounces/postmark", postmark, basic(f"guess-{number:016}")) for number in range(4)]
        assert guessed == [401, 401, 401, 429]
        assert await post("/v1/bounces/postmark", postmark, basic(PASSWORD)) == 429, "nobody learns that this was it"
        assert await suppressed(world) == []
    async with inside(valkey_url, RELAY_LIMITS__FAILURES_PER_MINUTE="3", **settings) as world:
        # Each large body that was looked at in vain counts as several.
        forged = signed(b"another body")
        assert [await post("/v1/bounces/sendgrid", b" " * 300_000, forged) for _ in range(3)] == [401, 429, 429]
