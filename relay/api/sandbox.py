"""How does a person play transfers in a browser?

The page `/sandbox`, where `[sandbox] page` is on: what `relay sandbox` does at a terminal, with buttons. The
sandbox is another process; everything here is a request to it in the operator's name. A page that shows a play
asks for itself again every two seconds until the play is over: no script.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from aiohttp import ClientSession, ClientTimeout, web

from relay.api import pages, sandbox_view
from relay.api.browsers import from_our_page
from relay.api.filled import read_form
from relay.api.operator_pages import OperatorPage
from relay.api.portal import link_for
from relay.api.problems import Problem, not_found
from relay.dialer import open_session
from relay.services import SERVICES, policy_of

_PAGE: Final = OperatorPage("/sandbox", "Sandbox")
_TIMEOUT: Final = ClientTimeout(total=10)
_TRANSFERS: Final = 25
_CONNECTIONS: Final = 8
_REFRESH_S: Final = 2
_PARTNERS: Final = ("kaiyo-cloud", "fabrikam", "OP0012345678", "OP0099999999")
_SESSION: web.AppKey[ClientSession] = web.AppKey("sandbox_session", ClientSession)


class Away(Exception):
    """The sandbox does not answer."""


def add_pages(app: web.Application) -> None:
    """The page and its buttons, where it is on; SERVICES and AUTH must be set."""
    if not app[SERVICES].config.sandbox.page:
        return
    app.cleanup_ctx.append(_session)
    _PAGE.add(app, show)
    for path, handler in (
        ("play", play), ("clock", set_clock), ("fault", add_fault), ("forgive", forgive), ("reset", reset),
        ("portal/{partner}", to_portal),
    ):  # fmt: skip
        app.router.add_post(f"/sandbox/{path}", from_our_page(_PAGE.guarded(handler)))


async def show(request: web.Request) -> web.StreamResponse:
    """All of it, and the play that is asked for, or the newest."""
    try:
        world, lives, plays = await asyncio.gather(
            _asked(request, "GET", ""), _asked(request, "GET", "/lives"), _asked(request, "GET", "/plays")
        )
        wanted = request.query.get("play") or next((one["id"] for one in plays["data"]), "")
        chosen = await _maybe(request, f"/plays/{quote(wanted, safe='')}") if wanted else None
    except Away as why:
        return pages.page(
            "message.html", status=503, title="The sandbox does not answer", text=f"{why}. `relay up` starts it."
        )
    playing = any(one["state"] == "playing" for one in plays["data"])
    still = "still" in request.query
    return pages.page(
        "sandbox.html",
        clock=world["clock"],
        systems=world["systems"],
        transfers=sandbox_view.transfers(world["systems"], _TRANSFERS),
        lives=lives["data"],
        chosen=chosen,
        stops=sandbox_view.came_through(chosen) if chosen else [],
        words=sandbox_view.WORDS,
        playing=playing,
        refresh_s=_REFRESH_S if chosen and chosen["state"] == "playing" and not still else 0,
        partners=_PARTNERS,
        problem=request.query.get("problem", ""),
        mailbox=request.app[SERVICES].config.mailbox.enabled,
    )


async def play(request: web.Request) -> web.StreamResponse:
    """Begin one."""
    form = await read_form(request)
    return await _done(request, "POST", "/plays", {"life": form.get("life", ""), "fast": "fast" in form})


async def set_clock(request: web.Request) -> web.StreamResponse:
    """Run, pause or jump."""
    form = await read_form(request)
    body: dict[str, float] = {}
    if "rate" in form:
        body["rate"] = _whole(form.get("rate"))
    if "jump" in form:
        body["jump_seconds"] = _whole(form.get("jump"))
    return await _done(request, "POST", "/clock", body)


async def add_fault(request: web.Request) -> web.StreamResponse:
    """Have something go wrong."""
    form = await read_form(request)
    system, _, kind = form.get("fault", "").partition(" ")
    body = {"kind": kind, "item": _whole(form.get("item")), "seconds": 60 * _whole(form.get("minutes"))}
    return await _done(request, "POST", f"/{quote(system, safe='')}/faults", body)


async def forgive(request: web.Request) -> web.StreamResponse:
    """No fault waits any more."""
    world = await _maybe(request, "") or {"systems": {}}
    for system in world["systems"]:
        await _said(request, "DELETE", f"/{system}/faults")
    return _back()


async def reset(request: web.Request) -> web.StreamResponse:
    """Begin anew."""
    return await _done(request, "POST", "/reset", {})


async def to_portal(request: web.Request) -> web.StreamResponse:
    """The operator goes to a partner's portal, as that partner's person."""
    services = request.app[SERVICES]
    partner = await services.store.registry.get_partner(request.match_info["partner"])
    if partner is None:
        raise not_found("partner; play something first, which registers it")
    return web.Response(status=303, headers={**pages.SECURITY_HEADERS, "Location": await link_for(services, partner)})


# --- the sandbox ------------------------------------------------------------------------------------------


async def _session(app: web.Application) -> AsyncIterator[None]:
    config = app[SERVICES].config
    app[_SESSION] = open_session(
        policy_of(config),
        connect_timeout_s=config.worker.connect_timeout_seconds,
        total_timeout_s=_TIMEOUT.total or 10,
        keepalive_s=config.worker.keepalive_seconds,
        limit=_CONNECTIONS,
    )
    yield
    await app[_SESSION].close()


async def _said(request: web.Request, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """The status and the JSON of the sandbox's answer. Raises Away."""
    config = request.app[SERVICES].config
    headers = {"Authorization": f"Bearer {config.secrets.operator_token}"}
    url = f"{config.sandbox.base_url}/sandbox{path}"
    try:
        async with request.app[_SESSION].request(
            method, url, json=body, headers=headers, timeout=_TIMEOUT, allow_redirects=False
        ) as answer:
            raw = await answer.read()
            return answer.status, json.loads(raw) if raw else None
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise Away(f"{config.sandbox.base_url} does not answer ({type(error).__name__})") from None


async def _asked(request: web.Request, method: str, path: str) -> Any:
    status, said = await _said(request, method, path)
    if status != 200:
        raise Away(f"it answers {status}")
    return said


async def _maybe(request: web.Request, path: str) -> Any:
    status, said = await _said(request, "GET", path)
    return said if status == 200 else None


async def _done(request: web.Request, method: str, path: str, body: object) -> web.StreamResponse:
    """What was asked for, and back to the page, which says what was refused."""
    try:
        status, said = await _said(request, method, path, body)
    except Away as why:
        raise Problem(503, f"The sandbox: {why}.") from None
    if status >= 400:
        detail = said.get("detail") or said.get("description") or said.get("message") if isinstance(said, dict) else ""
        return _back(f"?problem={quote(str(detail or status)[:300])}")
    return _back(f"?play={said['id']}" if path == "/plays" else "")


def _back(query: str = "") -> web.Response:
    return web.Response(status=303, headers={**pages.SECURITY_HEADERS, "Location": f"/sandbox{query}"})


def _whole(value: str | None) -> int:
    text = value or "0"
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
