"""How is a request answered that cannot be done?

As `application/problem+json` (RFC 9457), whatever went wrong: what a handler raises, what the router or
aiohttp itself refuses, and what breaks on our side. Invalid input names every fault at once, each with
a JSON pointer (RFC 6901). A stack trace goes to the log, never to the caller.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import orjson
import structlog
from aiohttp import web

from relay.api.limiting import FAILURES, TooMany
from relay.auth import NotAllowed, NotAuthenticated
from relay.errors import StoreFull, StoreUnavailable
from relay.store.registry import Contended, NoSuchPartner, RegistryFull

_log = structlog.get_logger("relay.api")

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the input. `pointer` is a JSON pointer into the body, `""` for the
    whole of it, or `/<name>` of a query parameter."""

    pointer: str
    detail: str


class Problem(Exception):
    """The answer to a request that cannot be done. Raise it anywhere under the `problems` middleware."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    @property
    def title(self) -> str:
        """The status in words."""
        return _title(self.status)

    def as_json(self) -> dict[str, object]:
        """The members of the problem object."""
        members: dict[str, object] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            members["errors"] = [{"pointer": e.pointer, "detail": e.detail} for e in self.errors]
        return members

    def response(self) -> web.Response:
        """The HTTP answer."""
        return web.Response(
            status=self.status,
            body=orjson.dumps(self.as_json()),
            content_type=CONTENT_TYPE,
            headers={"Cache-Control": "no-store", **self.headers},
        )


def invalid(faults: Sequence[Fault]) -> Problem:
    """422 with everything that is wrong."""
    count = "One thing is" if len(faults) == 1 else f"{len(faults)} things are"
    return Problem(422, f"{count} wrong with the request; see errors.", errors=faults)


def not_found(what: str) -> Problem:
    """404, the same for what is absent and for what belongs to somebody else."""
    return Problem(404, f"There is no such {what}.")


@web.middleware
async def problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turns what the handler raises into a problem."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _from_aiohttp(request, error).response()
    except Exception as error:  # the last door: whatever it is, it is answered and logged
        return told(error, request).response()


def told(error: Exception, request: web.Request) -> Problem:
    """The problem that an exception of ours is to the caller. What is not foreseen is logged."""
    match error:
        case Problem():
            return error
        case NotAuthenticated() | TooMany():
            return _unproven(error, request)
        case NotAllowed():
            return Problem(403, _sentence(error))
        case NoSuchPartner():
            return not_found("partner")
        case RegistryFull():
            return Problem(409, _sentence(error))
        case StoreFull():
            return Problem(503, "The relay cannot take anything just now.", headers={"Retry-After": "30"})
        case StoreUnavailable() | Contended():
            return Problem(503, "The relay is busy just now; try again.", headers={"Retry-After": "1"})
        case ConnectionResetError():
            return Problem(400, "The connection was closed before the request was whole.")
    incident = secrets.token_hex(6)
    _log.error(
        "request.failed",
        incident=incident,
        method=request.method,
        path=request.match_info.route.resource.canonical if request.match_info.route.resource else "",
        exc_info=error,
    )
    return Problem(500, f"Something went wrong in the relay. The log has it under {incident}.")


def _unproven(error: NotAuthenticated | TooMany, request: web.Request) -> Problem:
    if isinstance(error, TooMany):
        return Problem(429, _sentence(error), headers={"Retry-After": str(error.retry_after_s)})
    failures = request.app.get(FAILURES)
    try:
        if failures is not None:
            failures.note(request)
    except TooMany as many:
        return _unproven(many, request)
    return Problem(401, _sentence(error), headers={"WWW-Authenticate": "Bearer"})


def _from_aiohttp(request: web.Request, error: web.HTTPException) -> Problem:
    headers = {name: value for name, value in error.headers.items() if name in ("Allow", "Retry-After")}
    match error:
        case web.HTTPNotFound():
            return Problem(404, "There is nothing at this address.")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return Problem(405, f"{request.method} is not possible here; {allowed} is.", headers=headers)
        case web.HTTPRequestEntityTooLarge():
            return Problem(413, "The request is larger than the relay takes.")
    return Problem(error.status, f"{_title(error.status)}.", headers=headers)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Problem"


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
