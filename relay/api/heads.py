"""Which signed heads has a partner's activity log?

Whoever keeps them can show later that the log was changed since, whoever changed it.
"""

from __future__ import annotations

from aiohttp import web

from relay.api.paging import NUMBER, Listing, Query, cursor
from relay.api.partners import existing as existing_partner
from relay.api.route import Call, answer
from relay.api.shapes import Shape, Time
from relay.chain import Head
from relay.chain_key import chain_key
from relay.times import format_ms

LISTING = Listing("heads", NUMBER)


class HeadShape(Shape):
    """A signed head of the chain over an activity log (docs/security.md says what is hashed and signed):
    positions, hashes in hexadecimal, `signature` in base64 by the Ed25519 key `public_key`."""

    number: int
    first: int
    last: int
    count: int
    before: str
    after: str
    at: Time
    at_ms: int
    signature: str
    public_key: str


async def list_(call: Call) -> web.Response:
    """The heads that are kept, the first first, each with the key that verifies its signature."""
    query = Query(call.request)
    asked = query.page(LISTING)
    query.check()
    partner = await existing_partner(call)
    chains = call.services.store.chains
    found = await chains.heads(partner.key, int(asked.after or 0), asked.limit + 1)
    public = (await chain_key(chains, call.services.vault)).public_text if found else ""
    more = len(found) > asked.limit
    data = [_shown(head, public) for head in found[: asked.limit]]
    return answer({"data": data, "next": cursor(LISTING, str(data[-1].number)) if more else None})


def _shown(head: Head, public: str) -> HeadShape:
    return HeadShape(
        number=head.number,
        first=head.first,
        last=head.last,
        count=head.count,
        before=head.before,
        after=head.after,
        at=format_ms(head.at_ms),
        at_ms=head.at_ms,
        signature=head.signature,
        public_key=public,
    )
