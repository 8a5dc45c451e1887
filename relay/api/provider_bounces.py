"""What does a mail provider's webhook tell of bounces and complaints?

Each is off, and then not there, until its password or key is in the configuration. What it says is believed because it
proves itself; the same event again changes nothing. Who fails to prove it again and again is not listened to for a while:
a password cannot be guessed at, and no digest is made of what strangers send.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from aiohttp import web

from relay.api.bodies import read_raw
from relay.api.limiting import DIGESTED, FAILURES
from relay.api.problems import Fault, invalid, not_found
from relay.api.route import answer
from relay.api.shapes import Shape
from relay.auth import NotAuthenticated
from relay.bounced import bounces_of
from relay.bounces import Report
from relay.mail import providers
from relay.services import SERVICES, Services


class HeardShape(Shape):
    """How many addresses are suppressed because of it."""

    suppressed: int


async def postmark(request: web.Request) -> web.StreamResponse:
    """Postmark's webhook."""
    services = request.app[SERVICES]
    password = services.config.bounces.postmark_password
    if not password:
        raise not_found("webhook")
    request.app[FAILURES].check(request)
    if not providers.proves_postmark(request.headers.get("Authorization", ""), password):
        raise NotAuthenticated("give the password of bounces.postmark_password (Basic)")
    return await take_all(services, providers.postmark(_json(await read_raw(request))))


async def sendgrid(request: web.Request) -> web.StreamResponse:
    """SendGrid's event webhook."""
    services = request.app[SERVICES]
    text = services.config.bounces.sendgrid_key
    if not text:
        raise not_found("webhook")
    raw = await read_unproven(request, services)
    signature, timestamp = (
        request.headers.get(name, "") for name in (providers.SENDGRID_SIGNATURE, providers.SENDGRID_TIMESTAMP)
    )
    if not providers.proves_sendgrid(providers.sendgrid_key(text), signature, timestamp, raw, services.clock()):
        raise NotAuthenticated("this is not signed with the key of bounces.sendgrid_key, or very long ago")
    return await take_all(services, providers.sendgrid(_json(raw)))


async def take_all(services: Services, reports: Iterable[Report]) -> web.Response:
    """Draw the consequences of what was proven, and answer. StoreError and Contended: it is to come again."""
    bounces, _ = bounces_of(services)
    done = [await bounces.take(report, services.clock()) for report in reports]
    return answer(HeardShape(suppressed=sum(done)))


async def read_unproven(request: web.Request, services: Services) -> bytes:
    """The body of which it is not known yet who sent it. TooMany when its address has sent too much of that."""
    failures, most = request.app[FAILURES], services.config.server.max_request_bytes
    failures.check(request)
    with failures.room(request, min(request.content_length or most, most)):
        raw = await read_raw(request)
    request[DIGESTED] = len(raw)
    return raw


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid([Fault("", f"this is not JSON: {error.msg}")]) from None
