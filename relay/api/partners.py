"""Which organisations are registered, and who of them is told by e-mail?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from aiohttp import web
from msgspec.structs import replace
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from relay import recovery
from relay.api.bodies import Body, read_body
from relay.api.paging import Listing, Query, listed
from relay.api.problems import Fault, invalid, not_found
from relay.api.route import Call, answer
from relay.api.shapes import AdminAgentShape, BouncedShape, PartnerShape
from relay.api.sight import as_seen
from relay.model import AdminAgent, Identifier, Locale, Mailbox, Partner, Text
from relay.readers import BOUNCES, Reader
from relay.times import format_ms

LISTING = Listing("partners")
_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)


class AgentBody(Body):
    """A person who is told by e-mail, in `locale` or else in the partner's."""

    email: Mailbox
    name: Text
    locale: Locale | None = None


class AgentsBody(Body):
    """The whole list; it replaces the one before."""

    admin_agents: Annotated[tuple[AgentBody, ...], Field(max_length=100)]


class PartnerBody(Body):
    """A partner as the operator registers it. The id in the path is the one that transfers name."""

    name: Text
    locale: Locale | None = None
    tenant_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    admin_agents: Annotated[tuple[AgentBody, ...], Field(max_length=100)] = ()


async def put(call: Call) -> web.Response:
    """Register a partner, or replace what is registered of it: 201 or 200. It is then told what was
    kept for it while it was not registered."""
    try:
        id_ = _IDENTIFIER.validate_python(call.part("partner"))
    except ValidationError:
        raise invalid([Fault("", "a partner's id has 1 to 128 characters, none of them a space")]) from None
    body = await read_body(call.request, PartnerBody)
    now_ms = call.now_ms
    partner, new = await call.services.store.registry.put_partner(
        Partner(
            id=id_,
            name=body.name,
            locale=body.locale,
            tenant_id=body.tenant_id,
            admin_agents=_agents(body.admin_agents),
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
    )
    await recovery.registered(call.services, partner.key)
    return answer(await known(call, partner), 201 if new else 200)


async def get(call: Call) -> web.Response:
    """One partner."""
    return answer(await known(call, await existing(call)))


async def list_(call: Call) -> web.Response:
    """All partners, newest first."""
    query = Query(call.request)
    asked = query.page(LISTING)
    query.check()
    page = await call.services.store.registry.list_partners(asked.after, asked.limit)
    readers = await call.services.book.several([agent.email for one in page.data for agent in one.admin_agents])
    left = iter(readers)
    return answer(
        listed(LISTING, page, [shown(one, [next(left) for _ in one.admin_agents]) for one in page.data])
    )


async def put_agents(call: Call) -> web.Response:
    """Replace the list of people who are told by e-mail."""
    body = await read_body(call.request, AgentsBody)
    partner = await call.services.store.registry.set_admin_agents(
        call.partner, _agents(body.admin_agents), call.now_ms
    )
    if partner is None:
        raise not_found("partner")
    return answer(await known(call, partner))


async def remove(call: Call) -> web.Response:
    """Remove a partner with its endpoints and tokens; what is owed to it is canceled."""
    if not await call.services.store.registry.remove_partner(call.partner):
        raise not_found("partner")
    return web.Response(status=204)


async def existing(call: Call) -> Partner:
    """The partner in the path; 404 when it is not registered."""
    partner = await call.services.store.registry.get_partner(call.partner)
    if partner is None:
        raise not_found("partner")
    return partner


async def known(call: Call, partner: Partner) -> PartnerShape:
    """A partner with how things stand with its admin agents."""
    readers = await call.services.book.several([agent.email for agent in partner.admin_agents])
    seen = [
        one if one.suppressed is None else replace(one, suppressed=await as_seen(call.services, call.caller, one.suppressed))
        for one in readers
    ]
    return shown(partner, seen)


def shown(partner: Partner, readers: Sequence[Reader]) -> PartnerShape:
    """A partner as the API shows it; `readers` are its admin agents', in order."""
    return PartnerShape(
        id=partner.id,
        name=partner.name,
        locale=partner.locale,
        tenant_id=partner.tenant_id,
        admin_agents=[
            AdminAgentShape(**agent.model_dump(), bounced=bounced(reader))
            for agent, reader in zip(partner.admin_agents, readers, strict=True)
        ],
        created_at=format_ms(partner.created_at_ms),
        updated_at=format_ms(partner.updated_at_ms),
    )


def bounced(reader: Reader) -> BouncedShape | None:
    """That mail to an address came back, where nothing is sent there because of it."""
    why = reader.suppressed
    if why is None or why.reason not in BOUNCES:
        return None
    return BouncedShape(
        at=format_ms(why.at_ms), reason=why.reason, status=why.status or None, detail=why.detail or None
    )


def _agents(bodies: tuple[AgentBody, ...]) -> tuple[AdminAgent, ...]:
    """One mailbox once, however often it was named."""
    by_address = {body.email.casefold(): body for body in reversed(bodies)}
    return tuple(AdminAgent(**by_address[key].model_dump()) for key in reversed(by_address))
