"""Is this callback Partner Center's, and is it on disk?

`POST /v1/sources/partner-center/{tenant}`: proven before anything else, kept before it is answered, worked
on afterwards by a worker (`relay.sources.worker`). 200 for every genuine callback, wanted or not, new or
repeated: anything else would have it sent again, ten times and then no more. 401 for what is not genuine;
503, with Retry-After, only while the certificate or the database cannot be reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import orjson
from aiohttp import web

from relay.config_sources import PartnerCenter, Tenant
from relay.model import Record
from relay.sources.callback import MAX_CALLBACK_BYTES, dedupe_key
from relay.sources.certificates import CertificateAway, Certificates, TooManyAsked
from relay.sources.partner_api import source_of
from relay.sources.signature import Forged, Untrusted, proof_of, verify
from relay.sources.trouble import Health
from relay.store.sources import Sources

CALLBACK: Final = "c:"
"""What the task of a callback begins with; its key follows."""
_AGAIN_S = "30"


class Heard(Record, frozen=True, kw_only=True):
    """A callback as it is kept: its body, when it came, how often it was worked on."""

    raw: str
    at_ms: int
    tries: int = 0


dump = msgspec.json.Encoder().encode
heard = msgspec.json.Decoder(Heard)


class PartnerCenterDoor:
    """The HTTP side of the source. `asker` is the address that a request comes from."""

    def __init__(
        self,
        settings: PartnerCenter,
        certificates: Certificates,
        store: Sources,
        healths: dict[str, Health],
        nudge: Callable[[], None],
        clock: Callable[[], int],
        *,
        asker: Callable[[web.Request], str],
        body_timeout_s: float,
    ) -> None:
        self._settings = settings
        self._certificates = certificates
        self._store = store
        self._healths = healths
        self._nudge = nudge
        self._clock = clock
        self._asker = asker
        self._body_timeout_s = body_timeout_s

    async def post(self, request: web.Request) -> web.Response:
        """One callback."""
        tenant = self._settings.tenant(request.match_info["tenant"])
        if tenant is None:
            raise web.HTTPNotFound
        health = self._healths[tenant.name]
        try:
            proof = proof_of(request.headers, self._settings.certificates)
            raw = await self._body(request)
            certificate = await self._certificates.signer(proof.certificate_url, self._asker(request))
            verify(raw, proof.signature, certificate)
        except Forged as forged:
            health.count("callbacks", "refused")
            if isinstance(forged, Untrusted):
                await health.wrong("certificate", str(forged))
            return _problem(401, str(forged))
        except CertificateAway as away:
            health.count("callbacks", "unproven")
            if not isinstance(away, TooManyAsked):  # strangers can have us ask too often
                await health.wrong("certificate", str(away))
            return _problem(503, str(away))
        await health.right("certificate")
        return await self._keep(tenant, health, raw)

    async def _keep(self, tenant: Tenant, health: Health, raw: bytes) -> web.Response:
        now = self._clock()
        text = dump(Heard(raw=raw.decode("utf-8", "replace"), at_ms=now))
        new = await self._store.put(source_of(tenant), CALLBACK + dedupe_key(raw), text, now, once_at_ms=now)
        health.count("callbacks", "kept" if new else "repeated")
        if new:
            self._nudge()
        return web.Response(
            body=orjson.dumps({"status": "kept" if new else "known"}), content_type="application/json"
        )

    async def _body(self, request: web.Request) -> bytes:
        if (request.content_length or 0) > MAX_CALLBACK_BYTES:
            raise web.HTTPRequestEntityTooLarge(MAX_CALLBACK_BYTES, request.content_length or 0)
        if "Content-Encoding" in request.headers:
            raise Forged("the body must come without a Content-Encoding")
        try:
            async with asyncio.timeout(self._body_timeout_s):
                raw = await request.content.read(MAX_CALLBACK_BYTES + 1)
                while len(raw) <= MAX_CALLBACK_BYTES and (more := await request.content.read(MAX_CALLBACK_BYTES)):
                    raw += more
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the body came too slowly") from None
        if len(raw) > MAX_CALLBACK_BYTES:
            raise web.HTTPRequestEntityTooLarge(MAX_CALLBACK_BYTES, len(raw))
        return raw


def _problem(status: int, detail: str) -> web.Response:
    body = {"type": "about:blank", "title": "Unauthorized" if status == 401 else "Service Unavailable",
            "status": status, "detail": detail}  # fmt: skip
    headers = {"Retry-After": _AGAIN_S} if status == 503 else {}
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/problem+json", headers=headers
    )
