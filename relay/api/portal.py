"""How does a person of a partner look at what the relay does for them?

The operator makes a link; it signs one person in, once, for a limited time. Then one plain page shows that
partner's endpoints, deliveries and activity: the same views as the API, and nothing can be changed in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Annotated

from aiohttp import web
from pydantic import Field

from relay.api import pages
from relay.api.activity import shown as activity_shown
from relay.api.bodies import Body, read_body
from relay.api.browsers import from_our_page
from relay.api.deliveries import all_shown as deliveries_shown
from relay.api.endpoints import with_health
from relay.api.partners import existing as existing_partner
from relay.api.route import Call, answer
from relay.api.shapes import DeliveryShape, PortalLinkShape
from relay.api.sight import as_seen
from relay.auth import Caller
from relay.model import CancelReason, DeliveryStatus, Endpoint, Partner, TokenHolder
from relay.readers import BOUNCES
from relay.services import SERVICES, Services
from relay.times import format_ms, to_datetime

COOKIE = "relay_portal"
SESSION_S = 8 * 3600
_SHOWN = 25
_ENDPOINTS_READ = 20


class LinkBody(Body):
    """How long the link can be used, in seconds: an hour when absent, a week at most."""

    expires_in_seconds: Annotated[int, Field(ge=60, le=7 * 86_400, strict=True)] = 3600


async def create_link(call: Call) -> web.Response:
    """A link for one sign-in."""
    body = await read_body(call.request, LinkBody)
    partner = await existing_partner(call)
    seconds = body.expires_in_seconds
    url = _base(call.request) + await link_for(call.services, partner, seconds)
    return answer(PortalLinkShape(url=url, expires_at=format_ms(call.now_ms + seconds * 1000)), 201)


async def link_for(services: Services, partner: Partner, seconds: int = 60) -> str:
    """The path of a link that signs one person into a partner's portal, once."""
    return f"/portal/sign-in/{await services.store.registry.sessions.new_link(partner.key, seconds=seconds)}"


def add_pages(app: web.Application) -> None:
    """The portal's pages."""
    app.router.add_get("/portal", show)
    app.router.add_get("/portal/sign-in/{link}", sign_in, allow_head=False)
    app.router.add_post("/portal/sign-out", from_our_page(sign_out))
    app.router.add_get("/static/portal.css", pages.stylesheet)


async def sign_in(request: web.Request) -> web.StreamResponse:
    """Uses up the link and begins a session."""
    sessions = request.app[SERVICES].store.registry.sessions
    partner = await sessions.use_link(request.match_info["link"])
    if partner is None:
        return pages.page(
            "message.html",
            status=403,
            title="This link no longer works",
            text="A sign-in link works once, and for a limited time. Ask for a new one.",
        )
    session = await sessions.new_session(partner, seconds=SESSION_S)
    response = web.Response(status=303, headers={**pages.SECURITY_HEADERS, "Location": "/portal"})
    response.set_cookie(
        COOKIE,
        session,
        max_age=SESSION_S,
        path="/portal",
        httponly=True,
        samesite="Lax",
        secure=_base(request).startswith("https://"),
    )
    return response


async def sign_out(request: web.Request) -> web.StreamResponse:
    """Ends the session."""
    session = request.cookies.get(COOKIE)
    if session:
        await request.app[SERVICES].store.registry.sessions.end_session(session)
    response = pages.page("message.html", title="Signed out", text="You can close this page.")
    response.del_cookie(COOKIE, path="/portal")
    return response


async def show(request: web.Request) -> web.StreamResponse:
    """The page of the partner that is signed in."""
    services = request.app[SERVICES]
    session = request.cookies.get(COOKIE)
    key = await services.store.registry.sessions.session(session) if session else None
    partner = None if key is None else await services.store.registry.get_partner(key)
    if partner is None:
        return pages.page(
            "message.html",
            status=401,
            title="You are not signed in",
            text="Ask whoever runs the relay for a sign-in link.",
        )
    endpoints = await services.store.registry.list_endpoints(partner.key)
    caller = Caller(TokenHolder.PARTNER, partner.key)
    readers = await services.book.several([agent.email for agent in partner.admin_agents])
    stopped = [None if (why := one.suppressed) is None else await as_seen(services, caller, why) for one in readers]
    activity = await services.store.ledger.activity(partner.key, limit=_SHOWN)
    return pages.page(
        "portal.html",
        partner=partner,
        endpoints=await asyncio.gather(*(with_health(services, one) for one in endpoints[:_ENDPOINTS_READ])),
        endpoint_count=len(endpoints),
        people=list(zip(partner.admin_agents, stopped, strict=True)),
        bounces=BOUNCES,
        when_ms=lambda at_ms: _when(format_ms(at_ms)),
        deliveries=await _deliveries(services, endpoints),
        activity=await activity_shown(services.store, partner, activity.data),
        ends=_ENDS,
        reasons=_REASONS,
        when=_when,
    )


_ENDS = {DeliveryStatus.CANCELED: "not sent", DeliveryStatus.EXHAUSTED: "did not arrive"}
_REASONS = {
    CancelReason.SUPPRESSED: "on the suppression list",
    CancelReason.MUTED: "wants no such mail",
    CancelReason.RECIPIENT_REMOVED: "no longer an admin agent",
}
"""Of those that are no word for a person as they are."""


async def _deliveries(services: Services, endpoints: Sequence[Endpoint]) -> list[DeliveryShape]:
    """The newest deliveries to these endpoints."""
    queues = services.store.queues
    lists = await asyncio.gather(
        *(queues.of_endpoint(one.id, limit=_SHOWN) for one in endpoints[:_ENDPOINTS_READ])
    )
    records = chain.from_iterable(listing.data for listing in lists)
    newest = sorted(records, key=lambda record: record.delivery.created_at_ms, reverse=True)
    return await deliveries_shown(services.store, newest[:_SHOWN])


def _when(text: str | None) -> str:
    """A time for a person, UTC."""
    if text is None:
        return ""
    moment: datetime = to_datetime(text)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _base(request: web.Request) -> str:
    """The address people reach the relay at, without a slash at its end."""
    return request.app[SERVICES].config.server.base_url
