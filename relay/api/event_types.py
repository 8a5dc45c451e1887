"""Which types of event are there, and what do their bodies look like?"""

from __future__ import annotations

from functools import lru_cache

import orjson
from aiohttp import web

from relay.api import message
from relay.api.route import Call
from relay.api.shapes import EventTypeShape
from relay.model import EventType


async def list_(call: Call) -> web.Response:
    """Every type, with its JSON Schema and an example."""
    return web.Response(body=_all(), content_type="application/json")


@lru_cache(maxsize=1)
def _all() -> bytes:
    types = [
        EventTypeShape(
            type=type_,
            about=message.ABOUT[type_],
            kinds=message.kinds_of(type_),
            schema_=message.schema(type_),
            example=message.example(type_),
        ).model_dump(mode="json", by_alias=True)
        for type_ in EventType
    ]
    return orjson.dumps({"data": types, "next": None})
