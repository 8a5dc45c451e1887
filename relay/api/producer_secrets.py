"""With which secrets may a producer sign what it posts?

Several may be valid at a time, each from when until before when it says, so that a secret is replaced
without a moment in which neither works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from aiohttp import web
from pydantic import Field

from relay.api.bodies import read_body
from relay.api.endpoints import maybe_time
from relay.api.paging import Listing, Query, listed, page_of
from relay.api.problems import Problem, not_found
from relay.api.route import Call, answer
from relay.api.shapes import NewProducerSecretShape, ProducerSecretShape
from relay.api.tokens import SpanBody
from relay.auth import AUTH, random_text
from relay.model import Producer, Secret
from relay.signing import new_secret
from relay.times import format_ms

LISTING = Listing("secrets")
MOST_LIVE = 10
"""As many secrets may a producer have: each costs one digest of the body of a request that it did not sign."""


class SecretBody(SpanBody):
    """A producer's new secret. With `previous_expires_in_seconds` the ones before it end after so long."""

    previous_expires_in_seconds: Annotated[int, Field(ge=0, le=30 * 86_400, strict=True)] | None = None


def seal(call: Call, producer: str, text: str, id_: str, start: int | None, end: int | None) -> Secret:
    """A producer's secret as it is stored."""
    sealed = call.services.vault.seal(text.encode(), context=f"producer:{producer}:secret")
    return Secret(sealed=sealed, created_at_ms=call.now_ms, id=id_, not_before_ms=start, expires_at_ms=end)


def new_id() -> str:
    """The id of a new secret."""
    return f"sec_{random_text(12)}"


async def create(call: Call) -> web.Response:
    """A new secret, shown this once."""
    body = await read_body(call.request, SecretBody)
    now_ms, text = call.now_ms, new_secret()
    start, end = body.span_ms(now_ms)
    fresh = seal(call, call.part("producer"), text, new_id(), start, end)

    def apply(now: Producer) -> Producer:
        kept = [secret for secret in now.secrets if (secret.expires_at_ms or now_ms + 1) > now_ms]
        if body.previous_expires_in_seconds is not None:
            over = now_ms + body.previous_expires_in_seconds * 1000
            ends = [min(secret.expires_at_ms or over, over) for secret in kept]
            kept = [
                one.model_copy(update={"expires_at_ms": at}) for one, at in zip(kept, ends, strict=True) if at > now_ms
            ]
        if len(kept) >= MOST_LIVE:
            raise Problem(409, f"this producer has {MOST_LIVE} secrets, which is as many as it may have; remove one.")
        return now.model_copy(update={"secrets": (fresh, *kept)})

    await _change(call, apply)
    return answer(NewProducerSecretShape(**_shown(fresh).model_dump(), secret=text), 201)


async def list_(call: Call) -> web.Response:
    """A producer's secrets, without their texts."""
    query = Query(call.request)
    asked = query.page(LISTING)
    query.check()
    producer = await call.services.store.registry.get_producer(call.part("producer"))
    if producer is None:
        raise not_found("producer")
    page = page_of(producer.secrets, lambda one: f"{one.created_at_ms:013d}:{one.id}", asked)
    return answer(listed(LISTING, page, [_shown(one) for one in page.data]))


async def remove(call: Call) -> web.Response:
    """The secret signs no more: here at once, in other processes within half a second."""
    id_ = call.part("secret")

    def apply(now: Producer) -> Producer:
        rest = tuple(one for one in now.secrets if one.id != id_)
        if len(rest) == len(now.secrets):
            raise not_found("secret")
        return now.model_copy(update={"secrets": rest})

    await _change(call, apply)
    return web.Response(status=204)


async def _change(call: Call, apply: Callable[[Producer], Producer]) -> None:
    if await call.services.store.registry.change_producer(call.part("producer"), apply) is None:
        raise not_found("producer")
    call.request.app[AUTH].forget_producers()


def _shown(secret: Secret) -> ProducerSecretShape:
    return ProducerSecretShape(
        id=secret.id,
        created_at=format_ms(secret.created_at_ms),
        not_before=maybe_time(secret.not_before_ms),
        expires_at=maybe_time(secret.expires_at_ms),
    )
