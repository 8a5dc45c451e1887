"""What would a partner's webhooks have told it, asked for instead of sent?

Oldest first. A partner that polls with the cursor of the last item it saw misses nothing.
"""

from __future__ import annotations

import asyncio

import orjson
from aiohttp import web

from relay.api.paging import NUMBER, Listing, Query, cursor
from relay.api.partners import existing as existing_partner
from relay.api.problems import Problem
from relay.api.route import Call, answer
from relay.store.records import FeedEntry

LISTING = Listing("events", NUMBER)


async def list_(call: Call) -> web.Response:
    """The events behind `after`. `next` is the last one's cursor, null when there is nothing new: then
    ask again with the cursor you have. 410 when some behind it have left by retention: then what is missed is told by
    starting again without a cursor, not passed over."""
    query = Query(call.request)
    asked = query.page(LISTING)
    query.check()
    partner = await existing_partner(call)
    store = call.services.store
    if asked.after is not None and int(asked.after) < await store.ledger.feed_taken(partner.key):
        raise Problem(410, "Some events behind this cursor are no longer kept. Start again without `after`, and compare.")
    entries = await store.ledger.feed(partner.key, after=asked.after, limit=asked.limit)
    bodies = await asyncio.gather(
        *(store.transfers.body(entry.transfer_key, entry.sequence, entry.audience) for entry in entries)
    )
    data = [_item(entry, body) for entry, body in zip(entries, bodies, strict=True) if body is not None]
    return answer({"data": data, "next": cursor(LISTING, entries[-1].cursor) if entries else None})


def _item(entry: FeedEntry, body: bytes) -> dict[str, object]:
    return {"id": entry.event_id, **orjson.loads(body), "cursor": cursor(LISTING, entry.cursor)}
