"""With which tokens may a partner call?"""

from __future__ import annotations

from aiohttp import web

from relay.api.bodies import Body, read_body
from relay.api.paging import Query, listed, page_of
from relay.api.partners import existing
from relay.api.problems import not_found
from relay.api.route import Call, answer
from relay.api.shapes import NewTokenShape, TokenShape
from relay.auth import AUTH, new_token
from relay.model import TokenHolder
from relay.times import format_ms

LISTING = "tokens"


class TokenBody(Body):
    """Nothing is asked of a new token."""


async def create(call: Call) -> web.Response:
    """A new token of this partner; its text is shown this once."""
    await read_body(call.request, TokenBody)
    partner = await existing(call)
    token, text = new_token(TokenHolder.PARTNER, partner.key, call.now_ms)
    await call.services.store.registry.create_token(token)
    return answer(NewTokenShape(id=token.id, created_at=format_ms(token.created_at_ms), token=text), 201)


async def list_(call: Call) -> web.Response:
    """A partner's tokens, without their texts."""
    query = Query(call.request)
    asked = query.page(LISTING)
    query.check()
    partner = await existing(call)
    tokens = await call.services.store.registry.list_tokens(TokenHolder.PARTNER, partner.key)
    page = page_of(tokens, lambda token: f"{token.created_at_ms:013d}:{token.id}", asked)
    shown = [TokenShape(id=token.id, created_at=format_ms(token.created_at_ms)) for token in page.data]
    return answer(listed(LISTING, page, shown))


async def revoke(call: Call) -> web.Response:
    """The token stops working: here at once, in other processes within half a second."""
    token = call.part("token")
    if not await call.services.store.registry.revoke_token(TokenHolder.PARTNER, call.partner, token):
        raise not_found("token")
    call.request.app[AUTH].forget_token(token)
    return web.Response(status=204)
