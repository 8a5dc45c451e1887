"""Which types of event are there, and what do their bodies look like?"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from aiohttp import web

from relay.api import message
from relay.api.paging import NUMBER, Listing, Query, in_order, listed
from relay.api.route import Call, answer
from relay.api.shapes import EventTypeShape
from relay.model import EventType

LISTING = Listing("event-types", NUMBER)


async def list_(call: Call) -> web.Response:
    """Every type, with its JSON Schema and an example."""
    query = Query(call.request)
    asked = query.page(LISTING)
    query.check()
    page = in_order(_all(), asked)
    return answer(listed(LISTING, page, page.data))


@lru_cache(maxsize=1)
def _all() -> tuple[dict[str, Any], ...]:
    return tuple(
        EventTypeShape(
            type=type_,
            about=message.ABOUT[type_],
            kinds=message.kinds_of(type_),
            schema_=message.schema(type_),
            example=message.example(type_),
        ).model_dump(mode="json", by_alias=True)
        for type_ in EventType
    )
