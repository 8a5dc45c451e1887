"""How does the reader of a mail say which mails they want, without signing in?

The link in a mail leads to a page in the reader's language. Opening it changes nothing, whoever opens it, a scanner of
links too; its form does, and so does the one click that a mail service offers (RFC 8058), which ends the kind of mail
that the link came with.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from aiohttp import web
from msgspec.structs import replace
from pydantic_core import PydanticCustomError

from relay.api import pages
from relay.api.filled import read_form
from relay.api.limiting import wait_first
from relay.api.preferences import remember
from relay.config import Notify
from relay.deadlines import REMINDER
from relay.fields import time_zone
from relay.limits import Gcra
from relay.mail.words import Words
from relay.model import Audience, EventType, Kind, When
from relay.plan import PARTNERS
from relay.preference_links import PATH, Holder
from relay.preferences import ALWAYS, BOUNCED, CHOOSABLE, RECOVERED, Preferences, slot, without
from relay.services import SERVICES, Services

ONE_CLICK = ("List-Unsubscribe", "One-Click")
"""The form that a mail service posts (RFC 8058, 3.1)."""
_HOUR = re.compile(r"[01]?[0-9]|2[0-3]")


_MOST_AT_ONCE, _A_MINUTE = 30, 10
"""How often the choices of one reader are changed by a link: whoever was sent the mail on has it."""
_CHANGES: web.AppKey[Gcra] = web.AppKey("preference_changes", Gcra)


def add_page(app: web.Application) -> None:
    """The page and its form."""
    app[_CHANGES] = Gcra(_A_MINUTE / 60, _MOST_AT_ONCE)
    app.router.add_get(PATH + "{token}", show)
    app.router.add_post(PATH + "{token}", choose)


async def show(request: web.Request) -> web.StreamResponse:
    """What this reader chose. Changes nothing."""
    services = request.app[SERVICES]
    holder = await _holder(request, services.clock())
    if holder is None or holder.expired:
        return _no_use(request, holder)
    chosen = await services.store.choices.get(slot(holder.partner, holder.email), holder.email)
    return await _page(services, holder, chosen)


async def choose(request: web.Request) -> web.StreamResponse:
    """Keep what the form says, or end the kind of mail that the link came with."""
    services = request.app[SERVICES]
    now_ms = services.clock()
    holder = await _holder(request, now_ms)
    if holder is None or holder.expired:
        return _no_use(request, holder)
    wait_s = request.app[_CHANGES].take(f"{holder.partner} {holder.email.casefold()}", asyncio.get_running_loop().time())
    wait_first(wait_s, "these choices were changed too often")
    form = await read_form(request)
    if form.get(ONE_CLICK[0]) == ONE_CLICK[1]:
        chosen = await remember(
            services, holder.partner, holder.email, lambda now: without(now, holder.type, now_ms), now_ms
        )
        return await _page(services, holder, chosen, done="stopped")
    chosen = await remember(services, holder.partner, holder.email, lambda now: _said(now, form, now_ms), now_ms)
    return await _page(services, holder, chosen, done="saved")


async def _holder(request: web.Request, now_ms: int) -> Holder | None:
    """Whose link it is; that of a partner's agent who is none any more has expired."""
    services = request.app[SERVICES]
    holder = await services.links.holder(request.match_info["token"], now_ms)
    if holder is None or holder.partner is None or holder.is_root:
        return holder
    partner = await services.store.registry.get_partner(holder.partner)
    agents = () if partner is None else partner.admin_agents
    known = any(agent.email.casefold() == holder.email.casefold() for agent in agents)
    return holder if known else dataclasses.replace(holder, expired=True)


def offered(notify: Notify, holder: Holder) -> list[str]:
    """The types of mails that somebody in this role may get at all, as the operator has set it."""
    audiences = {Audience.CUSTOMER} if holder.partner is None else set(PARTNERS)
    told = {type_.value for kind in Kind for type_ in EventType if audiences & set(notify.row(kind, type_).email)}
    if holder.partner is not None and not holder.is_root:
        told |= {RECOVERED, BOUNCED} | ({REMINDER} if notify.remind_before else set())
    if holder.is_root and not any(Audience.TARGET in notify.row(Kind.SIM, type_).email for type_ in _LATER):
        told.clear()
    return [type_ for type_ in CHOOSABLE if type_ in told and not (holder.is_root and type_ == EventType.CREATED)]


_LATER = [type_ for type_ in EventType if type_ is not EventType.CREATED]


def _said(now: Preferences, form: Mapping[str, str], now_ms: int) -> Preferences:
    """What the form says over what was chosen; a value that no form of ours has leaves it as it was."""
    types = {type_: When(form[type_]) for type_ in CHOOSABLE if form.get(type_) in set(When)}
    hour = form.get("daily_hour", "")
    try:
        zone = time_zone(form["timezone"]) if form.get("timezone") else None
    except PydanticCustomError:
        zone = now.timezone
    return replace(
        now,
        types=now.types | types,
        daily_hour=int(hour) if _HOUR.fullmatch(hour) else None,
        timezone=zone,
        updated_at_ms=now_ms,
    )


async def _page(services: Services, holder: Holder, chosen: Preferences, *, done: str = "") -> web.Response:
    words = services.composer.words(holder.locale)
    partner = None if holder.partner is None else await services.store.registry.get_partner(holder.partner)
    always = (*ALWAYS,) if holder.partner is not None and not holder.is_root else ()
    return pages.page(
        "preferences.html",
        lang=words.locale,
        say=_speaker(words),
        whose=words.one("choice", "customer" if holder.partner is None else "partner").format(
            email=holder.email, partner=holder.partner if partner is None else partner.name
        ),
        done=done,
        types=[(type_, _happening(words, type_), chosen.types.get(type_, When.AT_ONCE).value)
               for type_ in offered(services.config.notify, holder)],
        ways=[When.AT_ONCE.value, When.DAILY.value, When.NEVER.value],
        always=[_happening(words, type_) for type_ in always] + ([words.one("happening", "accept")] if holder.is_root else []),
        hour=chosen.daily_hour,
        usual_hour=services.config.mail.daily_hour,
        zone=chosen.timezone or "",
        usual_zone=words.zone.key,
        zones=_zones(),
    )  # fmt: skip


def _no_use(request: web.Request, holder: Holder | None) -> web.Response:
    """The page of a link that does not work (any more): in the reader's language, or in the browser's."""
    services = request.app[SERVICES]
    asked = request.headers.get("Accept-Language", "").split(",")[0].split(";")[0].strip()
    words = services.composer.words(asked if holder is None else holder.locale)
    what = "unknown" if holder is None else "expired"
    return pages.page(
        "message.html",
        status=404 if holder is None else 410,
        lang=words.locale,
        title=words.one("choice", what),
        text=words.one("choice", f"{what}_more"),
    )


def _speaker(words: Words) -> Any:
    def say(word: str, **values: object) -> str:
        return words.one("choice", word).format(**values)

    return say


def _happening(words: Words, type_: str) -> str:
    return words.one("happening", type_.replace(".", "_"))


@lru_cache(maxsize=1)
def _zones() -> tuple[str, ...]:
    """The time zones that have a place's name."""
    return ("UTC", *sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/")))
