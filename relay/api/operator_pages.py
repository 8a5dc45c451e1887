"""Is the person at a browser the operator?

Signed in with the operator's token, or with the link that `relay up` prints, once for all of the operator's
pages: the mailbox and the sandbox. The session is kept by the store; the cookie is only its name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from relay.api import pages
from relay.api.browsers import from_our_page
from relay.api.filled import read_form
from relay.api.limiting import FAILURES
from relay.auth import AUTH, NotAuthenticated
from relay.model import Scope
from relay.services import SERVICES

COOKIE = "relay_operator"
SESSION_S = 24 * 3600
SIGNED_IN = "the operator"
"""Whose session it is. A partner's id has no space, so no partner's link or session opens these pages."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class OperatorPage:
    """A page of the operator's at `path`, with its title."""

    path: str
    title: str

    def add(self, app: web.Application, show: Handler) -> None:
        """The page, and the form by which one signs in to see it."""
        app.router.add_get(self.path, self.guarded(show), allow_head=False)
        app.router.add_post(f"{self.path}/sign-in", from_our_page(self._sign_in))

    def guarded(self, handler: Handler) -> Handler:
        """The handler for who is signed in, or comes with a link; else the form."""

        async def seen(request: web.Request) -> web.StreamResponse:
            link = request.query.get("key") if request.method == "GET" else None
            if link:
                who = await request.app[SERVICES].store.registry.sessions.use_link(link)
                if who == SIGNED_IN:
                    return await self._signed_in(request)
            if not await is_signed_in(request):
                return self._form(403 if link else 401, "This link was used before." if link else "")
            return await handler(request)

        return seen

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        request.app[FAILURES].check(request)
        try:
            caller = await request.app[AUTH].caller_of((await read_form(request)).get("token", "").strip())
        except NotAuthenticated:
            request.app[FAILURES].note(request)
            return self._form(403, "That is not the operator's token.")
        if not caller.is_operator or caller.scope is not Scope.ALL:
            return self._form(403, "That is not the operator's token.")
        return await self._signed_in(request)

    async def _signed_in(self, request: web.Request) -> web.StreamResponse:
        services = request.app[SERVICES]
        session = await services.store.registry.sessions.new_session(SIGNED_IN, seconds=SESSION_S)
        response = web.Response(status=303, headers={**pages.SECURITY_HEADERS, "Location": self.path})
        response.set_cookie(
            COOKIE,
            session,
            max_age=SESSION_S,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=services.config.server.base_url.startswith("https://"),
        )
        return response

    def _form(self, status: int, problem: str) -> web.Response:
        return pages.page("operator-sign-in.html", status=status, problem=problem, title=self.title, path=self.path)


async def is_signed_in(request: web.Request) -> bool:
    """Whether the request carries a session of the operator's."""
    session = request.cookies.get(COOKIE)
    if not session:
        return False
    return await request.app[SERVICES].store.registry.sessions.session(session) == SIGNED_IN
