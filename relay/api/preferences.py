"""When does a person want to be told by e-mail, and who may say so for them?

A partner for its admin agents, the operator for them and for the contacts of customers; and each person for
themselves, by the link in a mail (`relay.api.preferences_page`). What is muted is not planned from then on, and what
waits is canceled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from aiohttp import web
from msgspec.structs import replace
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from relay.api.bodies import Body, read_body
from relay.api.partners import existing
from relay.api.problems import not_found
from relay.api.route import Call, answer
from relay.api.shapes import PreferencesShape
from relay.fields import time_zone
from relay.model import Mailbox, When
from relay.preferences import ALWAYS, CHOOSABLE, Preferences, slot
from relay.services import Services
from relay.store.ledger import Line
from relay.store.stored import Activity
from relay.times import format_ms

CHANGED = "preferences.changed"
"""How the activity log calls it."""
_MAILBOX: TypeAdapter[str] = TypeAdapter(Mailbox)


def _type(text: str) -> str:
    if text in ALWAYS:
        raise PydanticCustomError("type", "mails of this type come in any case")
    if text not in CHOOSABLE:
        raise PydanticCustomError("type", f"there is no such type; these may be chosen: {', '.join(CHOOSABLE)}")
    return text


class PreferencesBody(Body):
    """The whole of what a person wants. A type that is not named comes at once; `daily_hour` is the hour of the daily
    mail in `timezone` (IANA), in which all times in their mails are too; null the operator's hour and the zone of the
    person's language."""

    types: dict[Annotated[str, AfterValidator(_type)], When] = Field(default_factory=dict)
    daily_hour: Annotated[int, Field(ge=0, le=23, strict=True)] | None = None
    timezone: Annotated[str, AfterValidator(time_zone)] | None = None


async def get(call: Call) -> web.Response:
    """What an admin agent chose."""
    partner, email = await _agent(call)
    return answer(shown(email, await call.services.store.choices.get(partner, email)))


async def put(call: Call) -> web.Response:
    """Choose for an admin agent."""
    body = await read_body(call.request, PreferencesBody)
    partner, email = await _agent(call)
    return answer(shown(email, await _put(call, partner, email, body)))


async def get_of_contact(call: Call) -> web.Response:
    """What a contact of customers chose."""
    email = _contact(call)
    return answer(shown(email, await call.services.store.choices.get(slot(None, email), email)))


async def put_of_contact(call: Call) -> web.Response:
    """Choose for a contact of customers."""
    body = await read_body(call.request, PreferencesBody)
    email = _contact(call)
    return answer(shown(email, await _put(call, None, email, body)))


async def _put(call: Call, partner: str | None, email: str, body: PreferencesBody) -> Preferences:
    chosen = _chosen(body, call.now_ms)
    return await remember(call.services, partner, email, lambda _: chosen, call.now_ms)


async def remember(
    services: Services,
    partner: str | None,
    email: str,
    change: Callable[[Preferences], Preferences],
    now_ms: int,
) -> Preferences:
    """Keep what a person chose, and note it in their partner's activity log, once. `change` may run several times."""
    before, after = await services.store.choices.change(slot(partner, email), email, change)
    if partner is not None and replace(before, updated_at_ms=0) != replace(after, updated_at_ms=0):
        record_id = f"{CHANGED}-{now_ms}-{email.casefold()}"
        record = Activity(id=record_id, type=CHANGED, at_ms=now_ms, note=_note(email, after))
        await services.store.ledger.append([Line(partner, record_id, record, "", "", 0)])
    return after


def shown(email: str, chosen: Preferences) -> PreferencesShape:
    """What a person chose, as the API shows it: every type, chosen or not."""
    return PreferencesShape(
        email=email,
        types={type_: chosen.types.get(type_, When.AT_ONCE) for type_ in CHOOSABLE},
        always=list(ALWAYS),
        daily_hour=chosen.daily_hour,
        timezone=chosen.timezone,
        updated_at=format_ms(chosen.updated_at_ms) if chosen.updated_at_ms else None,
    )


async def _agent(call: Call) -> tuple[str, str]:
    """The partner's key and the address of its admin agent in the path; 404 when it has no such agent."""
    partner = await existing(call)
    wanted = call.part("email").casefold()
    for agent in partner.admin_agents:
        if agent.email.casefold() == wanted:
            return partner.key, agent.email
    raise not_found("admin agent")


def _contact(call: Call) -> str:
    try:
        return _MAILBOX.validate_python(call.part("email"))
    except ValidationError:
        raise not_found("customer contact") from None  # no address, nobody's


def _chosen(body: PreferencesBody, now_ms: int) -> Preferences:
    said: dict[str, When] = {type_: at for type_, at in body.types.items() if at is not When.AT_ONCE}
    return Preferences(types=said, daily_hour=body.daily_hour, timezone=body.timezone, updated_at_ms=now_ms)


def _note(email: str, chosen: Preferences) -> str:
    said = ", ".join(f"{type_} {at.value}" for type_, at in sorted(chosen.types.items()) if at is not When.AT_ONCE)
    return f"E-mail to {email}: {said or 'everything at once'}."
