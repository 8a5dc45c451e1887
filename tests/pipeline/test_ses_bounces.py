"""Is Amazon SES believed when SNS proves it, for configured topics, and is nobody else asked anything?"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fakes.sns import PEM, TOPIC, Sns, SnsSigner
from tests.pipeline.inside import Inside, inside

SIGNER = SnsSigner.named("sns.amazonaws.com")
OTHER = SnsSigner.named("sns.amazonaws.com")
AGENTS = [{"email": f"{name}@contoso.example", "name": name.title()} for name in ("aoi", "ben")]


@dataclass
class World:
    relay: Inside
    sns: Sns

    async def post(self, message: dict[str, Any], expect: int = 200) -> Any:
        """As SNS posts: JSON, called plain text."""
        headers = {"Content-Type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": str(message.get("Type"))}
        return await self.relay.api.ask(
            "POST", "/v1/bounces/ses", data=json.dumps(message).encode(), headers=headers, expect=expect
        )

    async def suppressed(self) -> list[tuple[str, str, str]]:
        found = await self.relay.api.all("/v1/suppressions")
        return sorted((one["email"], one["reason"], one["source"]) for one in found)


@asynccontextmanager
async def opened(valkey_url: str, **more: str) -> AsyncIterator[World]:
    async with Sns(SIGNER) as sns:
        settings = {"RELAY_BOUNCES__SES_TOPICS": json.dumps([TOPIC]), "RELAY_BOUNCES__SES_URL": sns.url, **more}
        async with inside(valkey_url, **settings) as relay:
            await relay.api.register("contoso", admin_agents=AGENTS)
            yield World(relay, sns)


@pytest.fixture
async def world(valkey_url: str) -> AsyncIterator[World]:
    async with opened(valkey_url) as made:
        yield made


def bounce(kind: str = "notificationType", email: str = "aoi@contoso.example") -> dict[str, Any]:
    """As SES documents it."""
    return {
        kind: "Bounce",
        "mail": {"timestamp": "2026-11-21T05:05:00.000Z", "messageId": "0102-1", "destination": [email]},
        "bounce": {
            "feedbackId": "0102-2", "bounceType": "Permanent", "bounceSubType": "General", "timestamp": "2026-11-21T05:05:01.000Z",
            "bouncedRecipients": [{"emailAddress": email, "action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 no such user"}],
        },
    }  # fmt: skip


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def test_a_permanent_bounce_suppresses_and_the_others_are_told(world: World) -> None:
    for taken in (1, 0):
        assert await world.post(world.sns.message("Notification", bounce())) == {"suppressed": taken}
    assert await world.suppressed() == [("aoi@contoso.example", "hard_bounce", "ses")]
    await world.relay.sweep()
    assert [(mail.to, mail.parsed["Subject"]) for mail in world.relay.mail.messages] == [
        ("ben@contoso.example", "[Undeliverable] Mail to aoi@contoso.example")
    ]
    assert world.sns.asked == [f"/{PEM}"], "the certificate is kept"


async def test_published_events_and_complaints_are_taken_and_what_is_neither_changes_nothing(world: World) -> None:
    complaint = {"complainedRecipients": [{"emailAddress": "it@relecloud.example"}], "feedbackId": "1"}
    for said, taken in (
        (bounce("eventType"), 1),
        ({"notificationType": "Complaint", "complaint": {**complaint, "complaintFeedbackType": "not-spam"}}, 0),
        ({"notificationType": "Complaint", "complaint": {**complaint, "complaintFeedbackType": "abuse"}}, 1),
        ({"notificationType": "Delivery", "delivery": {"recipients": ["x@relecloud.example"]}}, 0),
        ("Successfully validated SNS topic for Amazon SES event publishing.", 0),
    ):
        message = world.sns.message("Notification", said, Subject="Amazon SES Email Event Notification")
        assert await world.post(message) == {"suppressed": taken}, said
    assert await world.suppressed() == [
        ("aoi@contoso.example", "hard_bounce", "ses"), ("it@relecloud.example", "complaint", "ses"),
    ]  # fmt: skip


async def test_what_was_changed_on_the_way_is_refused(world: World) -> None:
    good = world.sns.message("Notification", bounce(), Subject="Bounce")
    changed: list[dict[str, Any]] = [
        {**good, "Message": json.dumps(bounce(email="ben@contoso.example"))}, {**good, "MessageId": "x"},
        {**good, "Subject": "Other"}, {**good, "Subject": None}, {**good, "Timestamp": ago(seconds=30)},
        {**good, "Signature": OTHER.sign(good)["Signature"]}, {**good, "Signature": "!"}, {**good, "Signature": ""},
    ]  # fmt: skip
    confirmation = world.sns.message("SubscriptionConfirmation", "You have chosen to subscribe")
    changed += [{**confirmation, "Token": "x"}, {**confirmation, "SubscribeURL": confirmation["SubscribeURL"] + "0"}]
    for one in changed:
        await world.post(one, expect=401)
    assert await world.suppressed() == []
    assert world.sns.asked == [f"/{PEM}"]
    assert await world.post(good) == {"suppressed": 1}


async def test_what_cannot_be_genuine_costs_no_request(world: World) -> None:
    sns = world.sns
    async with Sns(OTHER) as foreign:
        for more in (
            {"SigningCertURL": foreign.url + PEM}, {"SigningCertURL": f"{sns.url}?x={PEM}"}, {"SigningCertURL": f"{sns.url}a.txt"},
            {"SigningCertURL": f"{sns.url}a/../{PEM}"}, {"SigningCertURL": sns.url.replace("http://", "http://x@") + PEM},
            {"TopicArn": TOPIC + "2"}, {"TopicArn": ""}, {"Timestamp": ago(minutes=61)}, {"Timestamp": ago(minutes=-10)},
            {"Timestamp": "now"}, {"SignatureVersion": "1"},
        ):  # fmt: skip
            for signer in (SIGNER, OTHER):
                await world.post(signer.sign(sns.fields("Notification", bounce(), **more)), expect=401)
        for signer in (SIGNER, OTHER):
            elsewhere = {"SubscribeURL": f"{foreign.url}?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=1"}
            await world.post(signer.sign(sns.fields("SubscriptionConfirmation", "", **elsewhere)), expect=401)
            another = {"SubscribeURL": f"{sns.url}?Action=DeleteTopic&TopicArn={TOPIC}"}
            await world.post(signer.sign(sns.fields("SubscriptionConfirmation", "", **another)), expect=401)
        assert (foreign.asked, sns.asked) == ([], [])
    assert await world.suppressed() == []


async def test_a_message_is_too_old_after_an_hour(world: World) -> None:
    message = world.sns.message("Notification", bounce())
    world.relay.pass_time(3590)
    await world.post(message)
    world.relay.pass_time(20)
    await world.post(message, expect=401)


async def test_sha1_is_taken_where_the_operator_asks_for_it(valkey_url: str) -> None:
    async with opened(valkey_url, RELAY_BOUNCES__SES_SHA1="true") as world:
        message = world.sns.message("Notification", bounce(), SignatureVersion="1")
        await world.post({**message, "SignatureVersion": "2"}, expect=401)
        assert await world.post(message) == {"suppressed": 1}


async def test_the_subscription_of_a_configured_topic_is_confirmed_once(world: World) -> None:
    message = world.sns.message("SubscriptionConfirmation", "You have chosen to subscribe")
    world.sns.status = 500
    await world.post(message, expect=503)
    world.sns.status = 200
    for _ in range(2):
        await world.post(message)
    confirmations = [path for path in world.sns.asked if not path.endswith(".pem")]
    assert confirmations == [f"/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"] * 2, "one failed"
    await world.post(world.sns.message("SubscriptionConfirmation", "", TopicArn=TOPIC + "2"), expect=401)
    await world.post(world.sns.message("UnsubscribeConfirmation", "You have chosen to deactivate"))
    assert len(world.sns.asked) == 3


async def test_a_certificate_that_cannot_be_fetched_has_the_message_come_again(world: World) -> None:
    world.sns.pem_status = 503
    message = world.sns.message("Notification", bounce())
    await world.post(message, expect=503)
    world.sns.pem_status = 200
    assert await world.post(message) == {"suppressed": 1}


async def test_a_certificate_of_another_name_is_refused(world: World) -> None:
    world.sns.signer = SnsSigner.named("sns.amazonaws.com.evil.example")
    await world.post(world.sns.message("Notification", bounce()), expect=401)
    assert await world.suppressed() == []


async def test_it_is_not_there_until_a_topic_is_set_up(valkey_url: str) -> None:
    async with inside(valkey_url) as made:
        await made.api.ask("POST", "/v1/bounces/ses", {}, expect=404)
