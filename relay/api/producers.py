"""Which systems may post events?"""

from __future__ import annotations

from aiohttp import web

from relay.api import producer_secrets
from relay.api.bodies import Body, read_body
from relay.api.paging import Listing, Query, listed, page_of
from relay.api.problems import not_found
from relay.api.route import Call, answer
from relay.api.shapes import NewProducerShape, ProducerShape
from relay.auth import AUTH, new_token, random_text
from relay.model import Producer, Text, TokenHolder
from relay.signing import new_secret
from relay.times import format_ms

LISTING = Listing("producers")


class ProducerBody(Body):
    """A producer. `all_transfers`: it may post about transfers that another producer named first."""

    name: Text
    all_transfers: bool = False


async def create(call: Call) -> web.Response:
    """A new producer; its token and its signing secret are shown this once."""
    body = await read_body(call.request, ProducerBody)
    now_ms = call.now_ms
    id_, secret = f"pr_{random_text(16)}", new_secret()
    token, text = new_token(TokenHolder.PRODUCER, id_, now_ms)
    producer = Producer(
        id=id_,
        name=body.name,
        secrets=(producer_secrets.seal(call, id_, secret, producer_secrets.new_id(), None, None),),
        all_transfers=body.all_transfers,
        created_at_ms=now_ms,
    )
    await call.services.store.registry.create_producer(producer, token)
    call.request.app[AUTH].forget_producers()
    return answer(NewProducerShape(**shown(producer).model_dump(), token=text, secret=secret), 201)


async def list_(call: Call) -> web.Response:
    """All producers, newest first."""
    query = Query(call.request)
    asked = query.page(LISTING)
    query.check()
    producers = await call.services.store.registry.list_producers()
    page = page_of(producers, lambda one: f"{one.created_at_ms:013d}:{one.id}", asked)
    return answer(listed(LISTING, page, [shown(producer) for producer in page.data]))


async def revoke(call: Call) -> web.Response:
    """The producer's token and secret stop working. What it posted stays."""
    tokens = await call.services.store.registry.revoke_producer(call.part("producer"))
    if tokens is None:
        raise not_found("producer")
    for token in tokens:
        call.request.app[AUTH].forget_token(token)
    call.request.app[AUTH].forget_producers()
    return web.Response(status=204)


def shown(producer: Producer) -> ProducerShape:
    """A producer as the API shows it."""
    return ProducerShape(
        id=producer.id,
        name=producer.name,
        all_transfers=producer.all_transfers,
        created_at=format_ms(producer.created_at_ms),
    )
