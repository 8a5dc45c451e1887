"""Why does a receiver not believe a signature?

It sends what it computed, and with it what it verified, as far as it knows; the answer names the usual
mistake that gives this, and the cure. Nothing is sent, and no signature is given out.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints

from relay.advice import CURES
from relay.api.bodies import Body, read_body
from relay.api.check_shapes import MistakeShape, VerifyHelpShape
from relay.api.endpoints import existing
from relay.api.ownership import allow
from relay.api.problems import Fault, invalid, not_found
from relay.api.route import Call, answer
from relay.formats import written
from relay.mistakes import Known, Message, Mistake, compare, diagnose
from relay.model import Attempt, Channel, Endpoint
from relay.people import delivery_id
from relay.signing import ID_HEADER, TIMESTAMP_HEADER
from relay.store.records import DeliveryRecord

_MOST_BODY = 400_000


class VerifyHelpBody(Body):
    """What a receiver computed (`signature`, in base64 or hexadecimal, as it is) and of which message: its
    `id` is the header `webhook-id`. `timestamp` and `body` are what the receiver verified; they are needed only
    of a message that is no delivery, such as a ping. `body_base64` instead, for bytes that are no text.
    `attempt` is the attempt's number, the last when neither it nor a known `timestamp` is given. `clock` is the
    receiver's own time, in Unix seconds."""

    signature: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    id: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    timestamp: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}$")] | None = None
    body: Annotated[str, StringConstraints(max_length=_MOST_BODY)] | None = None
    body_base64: Annotated[str, StringConstraints(max_length=_MOST_BODY * 2)] | None = None
    attempt: Annotated[int, Field(ge=1, strict=True)] | None = None
    clock: Annotated[int, Field(ge=0, le=10**12, strict=True)] | None = None


async def help_(call: Call) -> web.Response:
    """Which mistake it is."""
    asked = await read_body(call.request, VerifyHelpBody)
    endpoint = await existing(call)
    allow(call)
    given = Message(asked.id, asked.timestamp or "", _body(asked))
    record = await _delivery(call, endpoint, asked.id)
    attempt = None if record is None else _attempt(record, asked)
    known = await _known(call, endpoint, asked, given, record, attempt)
    stated = compare(known, given, asked.clock)
    found = await asyncio.to_thread(diagnose, asked.signature, known)
    matches = found == ()
    if found is None and given.body and given.body != known.sent.body:
        # The mistake may be in the key as well: then the signature is of what the receiver took for the body.
        taken = Message(known.sent.id, asked.timestamp or known.sent.timestamp, given.body)
        found = await asyncio.to_thread(diagnose, asked.signature, replace(known, sent=taken))
    named = list(dict.fromkeys([*stated, *(found or ())]))
    if matches and not stated:
        named = [Mistake.COMPARISON]
    return answer(
        VerifyHelpShape(
            matches=matches,
            found=bool(named),
            mistakes=[MistakeShape(mistake=one, explanation=CURES[one]) for one in named],
            signed=known.sent.signed().decode("utf-8", "replace"),
            delivery=None if record is None else record.delivery.id,
            attempt=None if attempt is None else attempt.number,
        )
    )


async def _delivery(call: Call, endpoint: Endpoint, message_id: str) -> DeliveryRecord | None:
    """The endpoint's delivery of this `webhook-id`. Its own id may be given too, as people mix them up."""
    queues = call.services.store.queues
    for id_ in (delivery_id(endpoint.id, message_id), message_id):
        record = await queues.delivery(id_)
        if record is not None and record.delivery.recipient.endpoint == endpoint.id:
            return record if record.delivery.recipient.channel is Channel.WEBHOOK else None
    return None


def _attempt(record: DeliveryRecord, asked: VerifyHelpBody) -> Attempt:
    """The attempt that is meant; 404 when there is none by this number, or none yet."""
    if asked.attempt is not None:
        meant = [one for one in record.attempts if one.number == asked.attempt]
    else:
        at = [one for one in record.attempts if _timestamp(one) == asked.timestamp]
        meant = at or [one for one in record.attempts if _timestamp(one)]
    if not meant or not _timestamp(meant[-1]):
        raise not_found("attempt of this delivery that sent anything")
    return meant[-1]


async def _known(
    call: Call,
    endpoint: Endpoint,
    asked: VerifyHelpBody,
    given: Message,
    record: DeliveryRecord | None,
    attempt: Attempt | None,
) -> Known:
    ids: list[str] = []
    timestamps: list[str] = []
    if record is None or attempt is None:
        missing = [name for name in ("timestamp", "body") if getattr(asked, name) is None]
        if "body" in missing and asked.body_base64 is not None:
            missing.remove("body")
        if missing:
            why = "needed, because there is no delivery to this endpoint by this id"
            raise invalid([Fault(f"/{name}", why) for name in missing])
        sent = given
    else:
        delivery = record.delivery
        body = await call.services.store.transfers.body(
            delivery.transfer_key, delivery.sequence, delivery.recipient.audience
        )
        if body is None:
            raise not_found("body of this delivery any more")
        body = written(delivery.recipient, delivery.event_id, body)
        sent = Message(delivery.event_id, _timestamp(attempt), body)
        ids = [one for one in (delivery.id, delivery.transfer, asked.id) if one != sent.id]
        timestamps = [stamp for one in record.attempts if (stamp := _timestamp(one))]
        timestamps += [str(attempt.at_ms), asked.timestamp or sent.timestamp]
    others = [one for one in await call.services.store.registry.list_endpoints(call.partner) if one.id != endpoint.id]
    current, *previous = _secrets(call, endpoint)
    return Known(
        sent=sent,
        secret=current,
        previous=previous,
        others=[secret for one in others[:20] for secret in _secrets(call, one)[:1]],
        ids=ids,
        timestamps=timestamps,
    )


def _secrets(call: Call, endpoint: Endpoint) -> list[str]:
    """Every secret that is still kept, the current one first; those that have expired are among them."""
    context = f"endpoint:{endpoint.id}:secret"
    return [call.services.vault.open(one.sealed, context=context).decode() for one in endpoint.secrets]


def _timestamp(attempt: Attempt) -> str:
    sent = attempt.request_headers
    return sent.get(TIMESTAMP_HEADER, "") if ID_HEADER in sent else ""


def _body(asked: VerifyHelpBody) -> bytes:
    if asked.body_base64 is None:
        return (asked.body or "").encode()
    try:
        return base64.b64decode(asked.body_base64, validate=True)
    except ValueError:
        raise invalid([Fault("/body_base64", "this is not base64")]) from None
