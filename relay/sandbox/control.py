"""How does a person drive the sandbox?

Over HTTP under `/sandbox`, with the operator's token: look at the systems and at what happened, set the
clock, have something go wrong, begin anew. What one system offers beside this it adds itself
(`System.control`). The command line and the page say nothing but these requests.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from relay.errors import StoreError
from relay.model import Record
from relay.sandbox import clock
from relay.sandbox.box import Box, Busy, Time, read_note
from relay.sandbox.clock import Dial
from relay.sandbox.faults import COMMON
from relay.sandbox.mount import respond
from relay.sandbox.system import Answer, Fault, Refusal
from relay.times import format_ms

B = TypeVar("B")
_MOST_BODY: Final = 65_536
_MOST_NOTES: Final = 500
_LONGEST_JUMP_S: Final = 10 * 366 * 86_400


class ClockBody(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`rate`: how many seconds of the sandbox pass in one of the world's, 0 stops it; `jump_seconds`: it is
    so much later at once."""

    rate: float | None = None
    jump_seconds: int = 0


class FaultBody(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault as it is asked for."""


class Control:
    """The requests about every system alike."""

    def __init__(self, boxes: Mapping[str, Box[Any]], time: Time) -> None:
        self._boxes = boxes
        self._time = time

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.get("/sandbox", self._show),
            web.get("/sandbox/clock", self._show_clock),
            web.post("/sandbox/clock", self._set_clock),
            web.post("/sandbox/reset", self._reset),
            web.get("/sandbox/{system}/faults", self._show_faults),
            web.post("/sandbox/{system}/faults", self._add_fault),
            web.delete("/sandbox/{system}/faults", self._clear_faults),
            web.get("/sandbox/{system}/notes", self._notes),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        systems = {}
        for name, box in self._boxes.items():
            summary = await box.look(box.model.summary)
            systems[name] = {**summary, "faults": await _waiting(box), "known_faults": _known(box)}
        return web.json_response({"clock": await _clock(self._time), "systems": systems})

    async def _show_clock(self, request: web.Request) -> web.Response:
        return web.json_response(await _clock(self._time))

    async def _set_clock(self, request: web.Request) -> web.Response:
        body = await read_body(request, ClockBody)
        rate, by_s = body.rate, body.jump_seconds
        if not 0 <= by_s <= _LONGEST_JUMP_S:
            raise refused("jump_seconds: give 0 to ten years; time never goes back")
        if rate is not None:
            if not 0 <= rate <= clock.FASTEST:
                raise refused(f"rate: give 0 to {clock.FASTEST:.0f}")
            await self._time.set(lambda dial, real: clock.run(dial, real, rate), f"it goes at {rate:g}")
        if by_s:
            await self._time.set(lambda dial, real: clock.jump(dial, real, by_s * 1000), f"it jumps {by_s} s ahead")
        # Whoever was told that the time has changed finds everything happened that was due by then.
        for box in self._boxes.values():
            await box.work()
        return web.json_response(await _clock(self._time))

    async def _show_faults(self, request: web.Request) -> web.Response:
        box = self._box(request)
        return web.json_response({"data": await _waiting(box), "known": _known(box)})

    async def _add_fault(self, request: web.Request) -> web.Response:
        box = self._box(request)
        body = await read_body(request, FaultBody)
        if body.kind not in _known(box):
            raise refused(f"kind: there is no fault {body.kind!r}; there are {', '.join(_known(box))}")
        return respond(await box.fault(Fault(**msgspec.structs.asdict(body))))

    async def _clear_faults(self, request: web.Request) -> web.Response:
        await self._box(request).forgive()
        return web.json_response({"data": []})

    async def _notes(self, request: web.Request) -> web.Response:
        source = self._time if request.match_info["system"] == "clock" else self._box(request)
        after, most = _number(request, "after", 0), min(_number(request, "limit", 100), _MOST_NOTES)
        page = await source.notes(after=after, most=most)
        return web.json_response({"data": [_shown(raw) for raw in page.notes], "next": page.next})

    async def _reset(self, request: web.Request) -> web.Response:
        await self._time.set(lambda dial, real: Dial(), "it is the world's own time again")
        for box in self._boxes.values():
            await box.reset()
        return web.json_response({"status": "new"})

    def _box(self, request: web.Request) -> Box[Any]:
        name = request.match_info["system"]
        if name not in self._boxes:
            raise refused(f"there is no system {name!r}; there are {', '.join(self._boxes)}", 404)
        return self._boxes[name]


def guarded(token: str) -> Any:
    """A middleware: what is under `/sandbox` is the operator's, and what goes wrong is said in JSON."""

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path == "/sandbox" or request.path.startswith("/sandbox/"):
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode()):
                return problem(401, "give the operator's token: Authorization: Bearer …")
        try:
            return await handler(request)
        except Refusal as refusal:
            return respond(refusal.answer)
        except Busy as busy:
            return problem(409, str(busy))
        except StoreError as error:
            return problem(503, f"the database: {error}")

    return guard


async def read_body(request: web.Request, kind: type[B]) -> B:
    """The JSON of a request as this record. Raises Refusal with what is wrong."""
    raw = await request.content.read(_MOST_BODY + 1)
    while len(raw) <= _MOST_BODY and (more := await request.content.read(_MOST_BODY)):
        raw += more
    if len(raw) > _MOST_BODY:
        raise refused("the body is too long")
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise refused(str(error)) from None


def refused(detail: str, status: int = 422) -> Refusal:
    """What a person asked of the sandbox cannot be done."""
    return Refusal(_problem(status, detail), detail)


def problem(status: int, detail: str) -> web.Response:
    """The same as an answer (RFC 9457)."""
    return respond(_problem(status, detail))


def _problem(status: int, detail: str) -> Answer:
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Answer(status, body, {"Content-Type": "application/problem+json"})


def _known(box: Box[Any]) -> dict[str, str]:
    return {**COMMON, **box.model.faults}


async def _waiting(box: Box[Any]) -> list[Any]:
    return [msgspec.to_builtins(one) for one in await box.faults()]


def _number(request: web.Request, name: str, otherwise: int) -> int:
    text = request.query.get(name, str(otherwise))
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise refused(f"{name}: give a whole number")
    return int(text)


def _shown(raw: bytes) -> dict[str, Any]:
    note = read_note(raw)
    return {**note, "at": format_ms(note["at_ms"])}


async def _clock(time: Time) -> dict[str, Any]:
    dial = await time.dial()
    return {"now": format_ms(clock.shown(dial, time.real())), "rate": dial.rate}
