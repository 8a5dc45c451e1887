"""Does a browser ask because a person wanted it, or because another site made it?

A form of ours is sent from a page of ours, and not from somebody else's (cross-site request forgery). And
where only some names lead here, a request by another name comes from a page whose name was made to point at
this machine (DNS rebinding); an address cannot be made to point elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from relay.api.problems import Problem
from relay.config import Server

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def from_our_page(handler: Handler) -> Handler:
    """The handler of a form, refusing what another site's page sends: 403."""

    async def checked(request: web.Request) -> web.StreamResponse:
        if not is_from_our_page(request):
            raise Problem(403, "This form can only be sent from a page of the relay.")
        return await handler(request)

    return checked


def is_from_our_page(request: web.Request) -> bool:
    """By `Sec-Fetch-Site` where the browser says it, else by `Origin`. A program sends neither and is let
    through: it has no cookies of a person's that somebody else could use."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get(hdrs.ORIGIN)
    try:
        return origin is None or (urlsplit(origin).netloc or "none") == request.host
    except ValueError:
        return False


def add_host_check(app: web.Application, server: Server) -> None:
    """Answer only to the names that are allowed, if some are set: 421."""
    if server.allowed_hosts:
        app.middlewares.append(_only(server.allowed_hosts, urlsplit(server.public_url).hostname))


def _only(allowed: Sequence[str], ours: str | None) -> Any:
    names = {name.casefold().rstrip(".") for name in (*allowed, ours or "") if name}

    @web.middleware
    async def only(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = host_of(request.headers.get(hdrs.HOST, ""))
        if name not in names and not _is_address(name):
            raise Problem(421, "The relay does not answer to this name; server.allowed_hosts says to which it does.")
        return await handler(request)

    return only


def host_of(text: str) -> str:
    """The name or address in a `Host` header, without the port; empty when there is none."""
    try:
        return (urlsplit(f"//{text}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
