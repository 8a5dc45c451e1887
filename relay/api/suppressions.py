"""To whom is nothing mailed any more, and who takes somebody off that list?

The operator sees and changes the whole list. A partner sees those of its own admin agents, and takes off who is
there because mail bounced: it knows its own people, and what bounces again is put on the list again. Who called a
message spam, and whom the operator put there, the operator takes off.
"""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from relay.api.bodies import Body, read_body
from relay.api.paging import Listing, Query, listed, page_of
from relay.api.partners import existing as existing_partner
from relay.api.problems import not_found
from relay.api.route import Call, answer
from relay.api.shapes import SuppressionShape
from relay.api.sight import as_seen
from relay.auth import NotAllowed
from relay.closed import SuppressionReason, SuppressionSource
from relay.model import Mailbox, Partner
from relay.readers import BOUNCES, Reader, Suppression, lifted, normalised, suppressed

LISTING, OF_PARTNER = Listing("suppressions"), Listing("partner-suppressions")
_MAILBOX: TypeAdapter[str] = TypeAdapter(Mailbox)


class SuppressionBody(Body):
    """An address to put on the list; `note` says why, for whoever reads it."""

    email: Mailbox
    note: Annotated[str, StringConstraints(max_length=512)] = Field(default="")


async def list_(call: Call) -> web.Response:
    """The whole list, newest first; `reason` limits it, `email` asks for one."""
    query = Query(call.request)
    asked = query.page(LISTING)
    reason, email = query.choice("reason", SuppressionReason), query.text("email")
    query.check()
    book = call.services.book
    if email is not None:
        found = (await book.get(email)).suppressed
        data = [SuppressionShape.of(normalised(email), found)] if found is not None and reason in (None, found.reason) else []
        return answer({"data": data, "next": None})
    page = await book.suppressed(asked.after, asked.limit, reason)
    return answer(listed(LISTING, page, [SuppressionShape.of(one.email, one.suppression) for one in page.data]))


async def add(call: Call) -> web.Response:
    """Put an address on the list: 201, or 200 with what is there already."""
    body = await read_body(call.request, SuppressionBody)
    new = Suppression(
        reason=SuppressionReason.MANUAL, source=SuppressionSource.OPERATOR, at_ms=call.now_ms, detail=body.note
    )
    before, after = await call.services.book.change(body.email, lambda now: suppressed(now, new))
    assert after.suppressed is not None
    return answer(SuppressionShape.of(normalised(body.email), after.suppressed), 201 if before.suppressed is None else 200)


async def remove(call: Call) -> web.Response:
    """Take an address off the list."""
    before, _ = await call.services.book.change(_address(call), lifted)
    if before.suppressed is None:
        raise not_found("suppression")
    return web.Response(status=204)


async def of_partner(call: Call) -> web.Response:
    """Which of a partner's admin agents are on the list."""
    query = Query(call.request)
    asked = query.page(OF_PARTNER)
    query.check()
    found = [(email, one.suppressed) for email, one in await of_agents(call, await existing_partner(call))]
    held = [(email, await as_seen(call.services, call.caller, one)) for email, one in found if one is not None]
    page = page_of(held, lambda pair: f"{pair[1].at_ms:013}:{pair[0]}", asked)
    return answer(listed(OF_PARTNER, page, [SuppressionShape.of(email, one) for email, one in page.data]))


async def remove_of_partner(call: Call) -> web.Response:
    """Take one of a partner's admin agents off the list."""
    partner, email = await existing_partner(call), normalised(_address(call))
    if email not in {normalised(agent.email) for agent in partner.admin_agents}:
        raise not_found("suppression")

    def change(now: Reader) -> Reader:
        if now.suppressed is not None and not (call.caller.is_operator or now.suppressed.reason in BOUNCES):
            raise NotAllowed("only the operator lifts this: it is no bounce")
        return lifted(now)

    before, _ = await call.services.book.change(email, change)
    if before.suppressed is None:
        raise not_found("suppression")
    return web.Response(status=204)


async def of_agents(call: Call, partner: Partner) -> list[tuple[str, Reader]]:
    """How things stand with each of a partner's admin agents."""
    emails = [agent.email for agent in partner.admin_agents]
    return list(zip(emails, await call.services.book.several(emails), strict=True))


def _address(call: Call) -> str:
    try:
        return _MAILBOX.validate_python(call.part("email"))
    except ValidationError:
        raise not_found("suppression") from None
