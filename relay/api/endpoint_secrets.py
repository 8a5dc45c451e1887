"""With which secret does a partner verify what it is sent, and how is it replaced without a gap?

After a rotation the relay signs with the new secret and, for the overlap, with the previous ones too.
"""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from relay.api.bodies import Body, read_body
from relay.api.endpoints import existing, maybe_time, seal_secret
from relay.api.problems import Problem, not_found
from relay.api.route import Call, answer
from relay.api.shapes import RotatedShape, SecretShape
from relay.model import Endpoint, Secret
from relay.signing import Ed25519Key, new_secret
from relay.times import format_ms

MOST_LIVE = 10
"""As many secrets may sign at a time, the new one included: each adds a signature to every request."""


class RotateBody(Body):
    """For how long the previous secret signs too, in seconds; a day when absent, a month at most."""

    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 86_400, strict=True)] = 86_400


async def get(call: Call) -> web.Response:
    """The current secret."""
    endpoint = await existing(call)
    current = endpoint.secrets[0]
    context = f"endpoint:{endpoint.id}:secret"
    opened = call.services.vault.open(current.sealed, context=context)
    private = None
    if endpoint.signing_key is not None:
        private = call.services.vault.open(endpoint.signing_key.sealed, context=context).decode()
    live = _previous(endpoint, call.now_ms)
    return answer(
        SecretShape(
            secret=opened.decode(),
            created_at=format_ms(current.created_at_ms),
            previous_expires_at=maybe_time(max((_end(one) for one in live), default=None)),
            public_key=None if private is None else Ed25519Key.parse(private).public_text,
        )
    )


async def rotate(call: Call) -> web.Response:
    """A new secret; 409 when ten are still valid."""
    body = await read_body(call.request, RotateBody)
    now_ms = call.now_ms
    secret = new_secret()
    sealed = seal_secret(call.services, call.part("endpoint"), secret)
    end_ms = now_ms + body.overlap_seconds * 1000

    def apply(now: Endpoint) -> Endpoint:
        current, *_ = now.secrets
        kept = _previous(now, now_ms)
        if body.overlap_seconds:
            kept = [current.model_copy(update={"expires_at_ms": end_ms}), *kept]
        if len(kept) >= MOST_LIVE:
            raise Problem(409, f"{MOST_LIVE} secrets are still valid; wait until one expires.")
        fresh = Secret(sealed=sealed, created_at_ms=now_ms)
        return now.model_copy(update={"secrets": (fresh, *kept), "updated_at_ms": now_ms})

    registry = call.services.store.registry
    changed = await registry.change_endpoint(call.partner, call.part("endpoint"), apply)
    if changed is None:
        raise not_found("endpoint")
    return answer(
        RotatedShape(secret=secret, previous_expires_at=format_ms(end_ms) if body.overlap_seconds else None)
    )


def _previous(endpoint: Endpoint, now_ms: int) -> list[Secret]:
    """The secrets before the current one that are still valid."""
    return [secret for secret in endpoint.secrets[1:] if _end(secret) > now_ms]


def _end(secret: Secret) -> int:
    return secret.expires_at_ms or 0
