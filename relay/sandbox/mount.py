"""Where does a system of the sandbox stand, and what does it bring along?

A system brings its model, the application that answers as its API does (mounted at `/<name>`), what a person
may do in it beside that (under `/sandbox/<name>`), and how its calls are signed. Where it stands it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from relay.sandbox.box import Box
from relay.sandbox.system import Answer, Call, Model


@dataclass(frozen=True, slots=True)
class Place:
    """`url` is the sandbox's own, without a slash at the end; `folder` keeps keys and certificates; `secret`
    is the sandbox's own, from which systems may derive their clients' secrets."""

    url: str
    folder: Path
    secret: bytes


@dataclass(frozen=True, slots=True)
class System:
    """A system as it is mounted. `relay` has what the relay must be set to, to listen to this system: names
    of the environment to values."""

    model: Model[Any]
    api: Callable[[Box[Any]], web.Application]
    control: Callable[[Box[Any]], Sequence[web.RouteDef]]
    sign: Callable[[Call, bytes], Mapping[str, str]]
    relay: Mapping[str, str]


def respond(answer: Answer) -> web.Response:
    """An answer over HTTP."""
    if answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    headers = {"Content-Type": "application/json", **answer.headers}
    return web.Response(status=answer.status, body=orjson.dumps(answer.body), headers=headers)
