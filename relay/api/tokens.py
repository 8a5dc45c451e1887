"""With which tokens may a partner, a producer or the operator call?

A holder may have several, so that one is replaced by another without a gap. A token's text is shown once.
"""

from __future__ import annotations

from typing import Annotated, Literal

from aiohttp import web
from pydantic import StringConstraints

from relay.api.bodies import Body, read_body
from relay.api.paging import Listing, Query, listed, page_of
from relay.api.partners import existing
from relay.api.problems import Fault, invalid, not_found
from relay.api.route import Call, answer
from relay.api.shapes import NewTokenShape, TokenShape
from relay.auth import AUTH, new_token
from relay.model import Scope, Timestamp, Token, TokenHolder
from relay.times import format_ms, to_ns

LISTING = Listing("tokens")
_OPERATOR = "operator"


class SpanBody(Body):
    """From when until before when something new is valid; absent: at once, and until it is revoked."""

    not_before: Timestamp | None = None
    expires_at: Timestamp | None = None

    def span_ms(self, now_ms: int) -> tuple[int | None, int | None]:
        """Both in Unix milliseconds. Raises 422 for a span that is over, or that never begins."""
        start, end = (None if at is None else to_ns(at) // 1_000_000 for at in (self.not_before, self.expires_at))
        if end is not None and end <= max(now_ms, start or 0):
            raise invalid([Fault("/expires_at", "give a time that is to come, and after `not_before`")])
        return start, end


class ProducerTokenBody(SpanBody):
    """A producer's new token."""

    name: Annotated[str, StringConstraints(max_length=128)] = ""


class TokenBody(ProducerTokenBody):
    """A partner's new token. With the scope `read` it changes nothing and is shown no secret."""

    scope: Literal[Scope.ALL, Scope.READ] = Scope.ALL


class OperatorTokenBody(ProducerTokenBody):
    """A new token of the operator's, beside the one in the configuration. With the scope `metrics` it is
    good for `/metrics` alone, with `bounces` for handing in what came to the bounce mailbox."""

    scope: Scope = Scope.ALL


async def create(call: Call) -> web.Response:
    """A new token of this partner; its text is shown this once."""
    body = await read_body(call.request, TokenBody)
    partner = await existing(call)
    return await _create(call, TokenHolder.PARTNER, partner.key, body, body.scope)


async def list_(call: Call) -> web.Response:
    """A partner's tokens, without their texts."""
    partner = await existing(call)
    return await _list(call, TokenHolder.PARTNER, partner.key)


async def revoke(call: Call) -> web.Response:
    """The token stops working: here at once, in other processes within half a second."""
    return await _revoke(call, TokenHolder.PARTNER, call.partner)


async def create_for_producer(call: Call) -> web.Response:
    """A new token of this producer, beside those it has."""
    body = await read_body(call.request, ProducerTokenBody)
    return await _create(call, TokenHolder.PRODUCER, await _producer(call), body, Scope.ALL)


async def list_of_producer(call: Call) -> web.Response:
    """A producer's tokens, without their texts."""
    return await _list(call, TokenHolder.PRODUCER, await _producer(call))


async def revoke_of_producer(call: Call) -> web.Response:
    """One of the producer's tokens stops working."""
    return await _revoke(call, TokenHolder.PRODUCER, await _producer(call))


async def create_for_operator(call: Call) -> web.Response:
    """A new token of the operator's."""
    body = await read_body(call.request, OperatorTokenBody)
    return await _create(call, TokenHolder.OPERATOR, _OPERATOR, body, body.scope)


async def list_of_operator(call: Call) -> web.Response:
    """The operator's tokens, without their texts, and without the one in the configuration."""
    return await _list(call, TokenHolder.OPERATOR, _OPERATOR)


async def revoke_of_operator(call: Call) -> web.Response:
    """One of the operator's tokens stops working."""
    return await _revoke(call, TokenHolder.OPERATOR, _OPERATOR)


async def _create(
    call: Call, holder: TokenHolder, holder_id: str, body: ProducerTokenBody, scope: Scope
) -> web.Response:
    start, end = body.span_ms(call.now_ms)
    token, text = new_token(
        holder, holder_id, call.now_ms, name=body.name, scope=scope, not_before_ms=start, expires_at_ms=end
    )
    await call.services.store.registry.create_token(token)
    return answer(NewTokenShape(**_shown(token, None).model_dump(), token=text), 201)


async def _list(call: Call, holder: TokenHolder, holder_id: str) -> web.Response:
    query = Query(call.request)
    asked = query.page(LISTING)
    query.check()
    registry = call.services.store.registry
    tokens = await registry.list_tokens(holder, holder_id)
    page = page_of(tokens, lambda token: f"{token.created_at_ms:013d}:{token.id}", asked)
    used = await registry.last_used([token.id for token in page.data])
    shown = [_shown(token, at) for token, at in zip(page.data, used, strict=True)]
    return answer(listed(LISTING, page, shown))


async def _revoke(call: Call, holder: TokenHolder, holder_id: str) -> web.Response:
    token = call.part("token")
    if not await call.services.store.registry.revoke_token(holder, holder_id, token):
        raise not_found("token")
    call.request.app[AUTH].forget_token(token)
    return web.Response(status=204)


async def _producer(call: Call) -> str:
    id_ = call.part("producer")
    if await call.services.store.registry.get_producer(id_) is None:
        raise not_found("producer")
    return id_


def _shown(token: Token, used_ms: int | None) -> TokenShape:
    return TokenShape(
        id=token.id,
        name=token.name,
        scope=token.scope,
        created_at=format_ms(token.created_at_ms),
        not_before=_time(token.not_before_ms),
        expires_at=_time(token.expires_at_ms),
        last_used_at=_time(used_ms),
    )


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else format_ms(at_ms)
