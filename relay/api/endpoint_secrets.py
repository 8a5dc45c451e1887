"""With which secret does a partner verify what it is sent, and how is it replaced without a gap?

After a rotation the relay signs with the new secret and, for the overlap, with the previous ones too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from relay.api.bodies import Body, read_body
from relay.api.endpoints import existing, maybe_time, seal_secret
from relay.api.problems import Problem, not_found
from relay.api.route import Call, answer
from relay.api.shapes import RotatedShape, SecretShape
from relay.model import Endpoint, Secret
from relay.signing import Ed25519Key, new_secret, new_signing_key
from relay.times import format_ms

MOST_LIVE = 10
"""As many secrets may sign at a time, the new one included: each adds a signature to every request."""


class RotateBody(Body):
    """For how long the previous secret signs too, in seconds; a day when absent, a month at most. `what`: the
    secret, or the key pair of an endpoint that has one."""

    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 86_400, strict=True)] = 86_400
    what: Literal["secret", "key_pair"] = "secret"


async def get(call: Call) -> web.Response:
    """The current secret."""
    endpoint = await existing(call)
    secret, public = _shown(call, endpoint)
    live = _previous(endpoint.secrets, call.now_ms)
    return answer(
        SecretShape(
            secret=secret,
            created_at=format_ms(endpoint.secrets[0].created_at_ms),
            previous_expires_at=maybe_time(max((_end(one) for one in live), default=None)),
            public_key=public,
        )
    )


async def rotate(call: Call) -> web.Response:
    """A new secret, or a new key pair; 409 when ten are still valid, or there is no pair."""
    body = await read_body(call.request, RotateBody)
    now_ms, registry = call.now_ms, call.services.store.registry
    end_ms = now_ms + body.overlap_seconds * 1000
    text = new_secret() if body.what == "secret" else new_signing_key()[0]
    fresh = Secret(sealed=seal_secret(call.services, call.part("endpoint"), text), created_at_ms=now_ms)

    def apply(now: Endpoint) -> Endpoint:
        kept = now.secrets if body.what == "secret" else now.signing_keys
        if not kept:
            raise Problem(409, "The endpoint has no key pair; set `asymmetric` first.")
        live = _previous(kept, now_ms)
        if body.overlap_seconds:
            live = (kept[0].model_copy(update={"expires_at_ms": end_ms}), *live)
        if len(live) >= MOST_LIVE:
            raise Problem(409, f"{MOST_LIVE} of them are still valid; wait until one expires.")
        if body.what == "secret":
            update: dict[str, object] = {"secrets": (fresh, *live)}
        else:
            update = {"signing_key": fresh, "previous_signing_keys": live}
        return now.model_copy(update={**update, "updated_at_ms": now_ms})

    changed = await registry.change_endpoint(call.partner, call.part("endpoint"), apply)
    if changed is None:
        raise not_found("endpoint")
    secret, public = _shown(call, changed)
    previous = format_ms(end_ms) if body.overlap_seconds else None
    return answer(RotatedShape(secret=secret, previous_expires_at=previous, public_key=public))


def _shown(call: Call, endpoint: Endpoint) -> tuple[str, str | None]:
    """The current secret, and the public half of the current pair."""
    context = f"endpoint:{endpoint.id}:secret"
    secret = call.services.vault.open(endpoint.secrets[0].sealed, context=context).decode()
    if endpoint.signing_key is None:
        return secret, None
    pair = call.services.vault.open(endpoint.signing_key.sealed, context=context).decode()
    return secret, Ed25519Key.parse(pair).public_text


def _previous(kept: Sequence[Secret], now_ms: int) -> tuple[Secret, ...]:
    """Those before the current one that are still valid."""
    return tuple(secret for secret in kept[1:] if _end(secret) > now_ms)


def _end(secret: Secret) -> int:
    return secret.expires_at_ms or 0
