"""With which public keys does a receiver verify, without a secret that both know?

Each endpoint that signs with a key pair too (`asymmetric`) has a key set of its own, open to anybody who knows
where it is: a JSON Web Key Set (RFC 7517, RFC 8037). One pair for all would let a partner send on what it
was sent, and another would find it genuine. The installation's own set has the key by which exported activity
logs are verified.
"""

from __future__ import annotations

from typing import Annotated

import orjson
from aiohttp import web
from pydantic import Field

from relay.api.problems import not_found
from relay.api.shapes import Shape
from relay.chain_key import chain_key
from relay.config import Config
from relay.model import Endpoint
from relay.services import SERVICES
from relay.signing import Ed25519Key

PATH = "/.well-known/webhook-keys/{partner}/{endpoint}"
MEDIA = "application/jwk-set+json"
_KEPT_S = 300


class JwkShape(Shape):
    """A public key; `whpk` is the same in the text form of Standard Webhooks."""

    kty: str
    crv: str
    x: str
    use: str
    alg: str
    kid: str
    whpk: Annotated[str, Field(pattern="^whpk_")]


class KeySetShape(Shape):
    """The keys that sign now, the newest first: a message is genuine when any one verifies."""

    keys: list[JwkShape]


OWN_PATH = "/.well-known/jwks.json"


def url_of(config: Config, endpoint: Endpoint) -> str | None:
    """Where an endpoint's key set is; None when it has no key pair."""
    if endpoint.signing_key is None:
        return None
    return config.server.base_url + PATH.format(partner=endpoint.partner, endpoint=endpoint.id)


async def get(request: web.Request) -> web.Response:
    """An endpoint's key set; 404 when there is no such endpoint or it has no key pair."""
    services = request.app[SERVICES]
    partner, endpoint_id = request.match_info["partner"].casefold(), request.match_info["endpoint"]
    endpoint = await services.store.registry.get_endpoint(partner, endpoint_id)
    if endpoint is None or endpoint.signing_key is None:
        raise not_found("key set")
    now_ms = services.clock()
    context = f"endpoint:{endpoint.id}:secret"
    keys = [
        Ed25519Key.parse(services.vault.open(pair.sealed, context=context).decode()).jwk()
        for pair in endpoint.signing_keys
        if pair.expires_at_ms is None or pair.expires_at_ms > now_ms
    ]
    return _answer(keys)


async def get_own(request: web.Request) -> web.Response:
    """The installation's key set: what it signs the heads of activity logs with."""
    services = request.app[SERVICES]
    return _answer([(await chain_key(services.store.chains, services.vault)).jwk()])


def _answer(keys: list[dict[str, str]]) -> web.Response:
    headers = {"Cache-Control": f"public, max-age={_KEPT_S}", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=orjson.dumps({"keys": keys}), content_type=MEDIA, headers=headers)
