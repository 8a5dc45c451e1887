"""What is a route, and who may take it?

One `Route` says all that the router, the door and the OpenAPI document need to know of one operation,
so that the three cannot disagree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel

from relay.api.problems import Problem, not_found
from relay.auth import Caller, NotAllowed, authenticate
from relay.model import Scope, TokenHolder
from relay.services import SERVICES, Services

_STEP_S = 0.05


class Access(StrEnum):
    """Who may take a route. The operator may take them all."""

    PUBLIC = "public"
    OPERATOR = "operator"
    PARTNER = "partner"  # the partner whose id is in the path; to another one it is not there
    MEMBER = "member"  # any partner; the handler shows each its own only
    PRODUCER = "producer"  # whoever posts events; the receiver proves it itself


@dataclass(frozen=True, slots=True)
class Call:
    """One request, proven and allowed."""

    request: web.Request
    services: Services
    caller: Caller

    def part(self, name: str) -> str:
        """A variable part of the path."""
        return self.request.match_info[name]

    @property
    def partner(self) -> str:
        """The key of the partner in the path."""
        return self.part("partner").casefold()

    @property
    def now_ms(self) -> int:
        """The time, Unix milliseconds."""
        return self.services.clock()


Handler = Callable[[Call], Awaitable[web.StreamResponse]]
Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter; `schema` is its JSON Schema."""

    name: str
    schema: dict[str, Any]
    about: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One way a route answers. `many` wraps the shape as a page of a list; `media` when it is not JSON,
    `table` when it can be had as text/csv too."""

    status: int
    about: str
    shape: type[BaseModel] | None = None
    many: bool = False
    media: str = "application/json"
    table: bool = False


def one_of(values: type[StrEnum]) -> dict[str, object]:
    """The JSON Schema of a closed list."""
    return {"type": "string", "enum": [value.value for value in values]}


PAGE = (
    Param("after", {"type": "string"}, "The `next` of the page before."),
    Param("limit", {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}, "How many at most."),
)
"""The parameters of every list."""
GONE = Answer(204, "Done.")


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `handler` is None where another module adds the route to the router. `refuses`: with
    which problems it answers besides those that follow from its access, path, query and body. `reveals`: it
    shows secrets, which a token that may only read is not shown. `raw`: the media type of a body that is not JSON."""

    method: str
    path: str
    name: str
    tag: str
    access: Access
    summary: str
    handler: Handler | None
    answers: tuple[Answer, ...]
    body: type[BaseModel] | None = None
    query: tuple[Param, ...] = ()
    about: str = ""
    refuses: tuple[int, ...] = ()
    reveals: bool = False
    raw: str = ""


def guarded(route: Route) -> Page:
    """The aiohttp handler of a route: proves the caller, asks whether it may, then calls the handler."""
    handler = route.handler
    assert handler is not None

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = await authenticate(request)
        if caller.scope is not Scope.ALL:
            _within(route, caller.scope)
        if not caller.is_operator:
            _allow(route, request, caller)
        began = asyncio.get_running_loop().time()
        try:
            response = await handler(Call(request, request.app[SERVICES], caller))
        except Problem as problem:
            if problem.status == 404 and not caller.is_operator:
                await _as_long_as_any(began)
            raise
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        return response

    return handle


def _within(route: Route, scope: Scope) -> None:
    """Returns when a token of this scope may take this route."""
    if scope is Scope.BOUNCES:
        if route.path != "/v1/bounces":
            raise NotAllowed("this token hands in bounces and does nothing else")
        return
    if scope is Scope.METRICS and route.path != "/metrics":
        raise NotAllowed("this token is for the metrics and nothing else")
    if route.method != "GET" or route.reveals:
        raise NotAllowed("this token may only read, and is shown no secrets")


async def _as_long_as_any(began: float) -> None:
    """Wait for the next full step: to find another's thing takes longer than to find nothing, and the time
    of the answer must not tell which it was."""
    passed = asyncio.get_running_loop().time() - began
    await asyncio.sleep(_STEP_S - passed % _STEP_S)


def _allow(route: Route, request: web.Request, caller: Caller) -> None:
    """Returns when this caller may take this route."""
    if caller.holder is not TokenHolder.PARTNER:
        raise NotAllowed("a producer's token posts events and does nothing else")
    match route.access:
        case Access.OPERATOR:
            raise NotAllowed("only the operator may do this")
        case Access.PARTNER if request.match_info["partner"].casefold() != caller.id:
            raise not_found("partner")


def answer(
    shape: BaseModel | dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """A JSON answer."""
    if isinstance(shape, BaseModel):
        body = shape.model_dump_json().encode()
    else:
        body = orjson.dumps(shape, default=_json)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _json(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(type(value).__name__)
