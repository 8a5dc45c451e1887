"""Is the body of a request what it should be?

Parses JSON into a pydantic model and tells everything that is wrong with it at once, by JSON pointer.
Unknown members are refused: a misspelled `event_types` must not subscribe somebody to everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from relay.api.problems import Fault, Problem, invalid
from relay.services import SERVICES

M = TypeVar("M", bound="Body")


class Body(BaseModel):
    """What a caller may send."""

    model_config = ConfigDict(frozen=True, extra="forbid")


async def read_body(request: web.Request, model: type[M]) -> M:
    """The request's body as `model`. An empty body is an empty object.

    Raises 413 (too large), 415 (any Content-Encoding), 408 (the body did not come in time), 422.
    """
    refuse_encoded(request)
    return parse(await read_raw(request), model)


def refuse_encoded(request: web.Request) -> None:
    """Problem 415 for a body with any Content-Encoding."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "Send the body as it is, without a Content-Encoding.")


async def read_raw(request: web.Request) -> bytes:
    """The body, as it came. Problem 408 when it comes too slowly."""
    try:
        async with asyncio.timeout(request.app[SERVICES].config.server.body_timeout_seconds):
            return await request.read()
    except TimeoutError:
        raise Problem(408, "The body did not arrive in time.") from None


def parse(raw: bytes, model: type[M]) -> M:
    """`raw` as `model`; 422 with every fault."""
    try:
        value = orjson.loads(raw) if raw.strip() else {}
    except orjson.JSONDecodeError as error:
        raise invalid([Fault("", f"this is not JSON: {error.msg} (character {error.pos})")]) from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(faults_of(error)) from None


def faults_of(error: ValidationError) -> list[Fault]:
    """What pydantic found, each with its pointer."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [Fault(pointer_of(one["loc"]), _sentence(one["type"], one["msg"])) for one in found]


def pointer_of(loc: Sequence[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a pydantic location; of a member whose name is wrong, its own."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in loc if part != "[key]")


def _sentence(kind: str, message: str) -> str:
    match kind:
        case "missing":
            return "required"
        case "extra_forbidden":
            return "there is no such member; is it misspelled?"
        case "model_type" | "dict_type":
            return "give a JSON object"
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
