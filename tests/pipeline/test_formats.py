"""Does a consumer that was written for another format work behind the relay, unchanged?"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from relay.sources import callback, signature
from tests.fakes.partner import Answer, Received
from tests.pipeline.caller import Member
from tests.pipeline.events import life
from tests.pipeline.inside import Inside

FORMATS = ["standard", "cloudevents", "partner_center"]


async def told(world: Inside, format: str, *types: str, **more: Any) -> Member:
    """A life of a transfer, told to an endpoint of this format."""
    member = await world.api.register("contoso", world.hooks, format=format, **more)
    for event in life("tr-1", *types):
        await world.api.post(event)
    await world.sweep()
    return member


def folder_of(request: Received) -> str:
    return request.headers["x-ms-certificate-url"].rpartition("/")[0] + "/"


async def certificates(world: Inside, request: Received, member: Member) -> tuple[x509.Certificate, x509.Certificate]:
    """The certificate that a callback names, and the authority that the endpoint is shown to trust."""
    trust = (await member.caller.ask("GET", member.at))["callbacks"]
    url = request.headers["x-ms-certificate-url"]
    assert signature.is_pinned(url, [trust["certificates"]])

    async def fetched(address: str) -> bytes:
        async with world.api.http.get(world.api.base + urlsplit(address).path) as answer:
            assert answer.status == 200
            return await answer.read()

    authority = x509.load_pem_x509_certificate(await fetched(trust["authority"]))
    return x509.load_der_x509_certificate(await fetched(url)), authority


async def test_a_cloud_event_is_read_by_the_official_sdk_and_signed_as_ever(world: Inside) -> None:
    await told(world, "cloudevents")
    got = world.hooks.requests
    events = [from_http_event(HTTPMessage(dict(one.headers), one.body)) for one in got]
    assert [one.get_type() for one in events] == ["transfer.created", "transfer.updated", "transfer.completed"]
    assert [one.get_id() for one in events] == [one.message_id for one in got] == ["tr-1-1", "tr-1-2", "tr-1-3"]
    assert {one.get_subject() for one in events} == {"tr-1"}
    assert {one.headers["content-type"] for one in got} == {"application/cloudevents+json"}


async def test_a_callback_is_proven_as_partner_centers_consumers_prove_it(world: Inside) -> None:
    member = await told(world, "partner_center", "created", "updated", "partially_completed", "completed")
    got = world.hooks.requests
    assert [json.loads(one.body)["EventName"] for one in got] == ["create-transfer", "update-transfer", "complete-transfer"]
    leaf, authority = await certificates(world, got[0], member)
    now = datetime.fromtimestamp(world.clock() / 1000, tz=leaf.not_valid_after_utc.tzinfo)
    for one in got:
        # As the relay itself proves what Partner Center sends …
        proof = signature.proof_of(one.headers, [folder_of(one)])
        signature.check_certificate([leaf], [authority], "Transfer Relay", now)
        signature.verify(one.body, proof.signature, leaf)
        said = callback.read(one.body)
        assert said is not None and said.is_transfer
        # … and with nothing of the relay's.
        leaf.verify_directly_issued_by(authority)
        key = leaf.public_key()
        assert isinstance(key, RSAPublicKey)
        sent = base64.b64decode(one.headers["authorization"].removeprefix("Signature "))
        key.verify(sent, one.body, padding.PKCS1v15(), hashes.SHA256())
        with pytest.raises(InvalidSignature):
            key.verify(sent, one.body + b" ", padding.PKCS1v15(), hashes.SHA256())


async def test_what_the_format_has_no_event_for_is_skipped_with_the_reason(world: Inside) -> None:
    member = await told(world, "partner_center", "created", "canceled")
    assert len(world.hooks.requests) == 1
    timeline = (await world.api.ask("GET", "/v1/transfers/tr-1"))["timeline"]
    skipped = [one for one in timeline[1]["skipped"] if one["endpoint"] == member.endpoint]
    assert [one["reason"] for one in skipped] == ["no_such_event"]
    # Who pulls is told of it all the same, in the standard words.
    feed = await member.caller.all("/v1/partners/contoso/events")
    assert [one["type"] for one in feed] == ["transfer.created", "transfer.canceled"]


async def test_an_authorization_of_the_endpoints_own_stays_and_the_signature_moves(world: Inside) -> None:
    await told(world, "partner_center", "created", headers={"Authorization": "Bearer of-the-gateway"})
    (got,) = world.hooks.requests
    assert got.headers.getall("authorization") == ["Bearer of-the-gateway"]
    assert signature.proof_of(got.headers, [folder_of(got)]).signature


@pytest.mark.parametrize("format", FORMATS)
async def test_a_retry_sends_the_same_bytes_and_the_delivery_shows_them(world: Inside, format: str) -> None:
    member = await world.api.register("contoso", world.hooks, format=format)
    world.hooks.always(Answer(500))
    (event,) = life("tr-1", "created")
    await world.api.post(event)
    await world.sweep()
    # What is planned keeps its words, whatever the endpoint asks for from now on.
    await member.caller.ask("PATCH", member.at, {"format": "standard" if format != "standard" else "cloudevents"})
    world.hooks.always(Answer(200))
    world.pass_time(10)
    await world.sweep()
    first, second = world.hooks.requests
    assert (first.body, first.message_id) == (second.body, second.message_id)
    assert first.headers["content-type"] == second.headers["content-type"]
    shown = await world.delivery("tr-1-1")
    assert [one["request"]["body"].encode() for one in shown["attempts"]] == [first.body, second.body]
    assert shown["attempts"][0]["request"]["signed"].endswith("." + first.body.decode())
    help_ = {"signature": second.headers["webhook-signature"], "id": "tr-1-1", "body": second.body.decode()}
    said = await member.caller.ask("POST", f"{member.at}/verify-help", help_)
    assert said["matches"] and said["signed"] == shown["attempts"][1]["request"]["signed"]


@pytest.mark.parametrize("format", FORMATS)
async def test_the_ping_speaks_the_format(world: Inside, format: str) -> None:
    member = await world.api.register("contoso", world.hooks, format=format)
    said = await member.caller.ask("POST", f"{member.at}/test")
    (got,) = world.hooks.requests
    assert said["outcome"] == "accepted" and said["request"]["body"].encode() == got.body
    if format == "cloudevents":
        assert from_http_event(HTTPMessage(dict(got.headers), got.body)).get_type() == "relay.ping"
    if format == "partner_center":
        leaf, _ = await certificates(world, got, member)
        signature.verify(got.body, base64.b64decode(got.headers["authorization"].partition(" ")[2]), leaf)
        assert json.loads(got.body)["EventName"] == "test-created"
    assert (await member.caller.ask("GET", member.at))["format"] == format
