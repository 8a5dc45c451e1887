"""Who sends this, is it sound, and what is it answered?

The HTTP side of the door for producers, `POST /v1/events` (contract, section 2), in the order the contract
checks: who, what encoding, is there room, how large, is it an event; then the door itself.
"""


from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import hdrs, web
from multidict import istr

from relay.api.limiting import DIGESTED, FAILURES
from relay.auth import AUTH, Caller, NotAuthenticated
from relay.cloud_events import PLAIN, Form, Unsupported, form_of
from relay.door import Answer, Door, problem
from relay.intake import MOST_EVENTS, Invalid, Problem, parse, read_and_write
from relay.model import Scope, TokenHolder
from relay.pressure import Pressure
from relay.record import Recorder

_SPEC_VERSION = istr("ce-specversion")
_PROVE = "prove who you are with a producer token, or with the three Standard Webhooks headers"


class Receiver:
    """The HTTP side of the door. Sizes in bytes, times in seconds."""

    def __init__(
        self,
        door: Door,
        recorder: Recorder,
        clock: Callable[[], int],
        *,
        most_request: int,
        most_event: int,
        body_timeout_s: float,
        pressure: Pressure,
    ) -> None:
        self._door = door
        self._recorder = recorder
        self._clock = clock
        self._most_request = most_request
        self._most_event = most_event
        self._body_timeout_s = body_timeout_s
        self._pressure = pressure

    async def post(self, request: web.Request) -> web.Response:
        """`POST /v1/events`."""
        caller, raw = await self._proven(request)
        if caller.holder is TokenHolder.PARTNER:
            return _respond(problem(HTTPStatus.FORBIDDEN, None, "a partner's token does not post events"))
        if caller.scope is not Scope.ALL:
            return _respond(problem(HTTPStatus.FORBIDDEN, None, "this token may only read"))
        if hdrs.CONTENT_ENCODING in request.headers:
            return _respond(
                problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, None, "send the body without a Content-Encoding")
            )
        try:
            form = _form(request, is_signed=raw is not None)
        except Unsupported as error:
            return _respond(problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, None, str(error)))
        refused = self._pressure.refuses(caller.id)
        if refused is not None:
            return _respond(problem(refused.status, None, refused.detail), refused.retry_after_s)
        if raw is None:
            raw = await self._body(request)
        try:
            value, written = read_and_write(raw)
            is_many = isinstance(value, list) and form.takes != "one"
            if form.takes == "many" and not is_many:
                raise Invalid([Problem("", "a batch is a JSON array of CloudEvents")])
        except Invalid as error:
            self._pressure.took(caller.id, 1)
            self._recorder.invalid()
            return _respond(_invalid(None, error))
        self._pressure.took(caller.id, len(value) if is_many else 1)
        if is_many:
            return await self._many(value, caller, form)
        if len(raw) > self._most_event:
            return _respond(self._too_large(_id_of(value)))
        answer = self._one(value, written, caller, form)
        # Many wait for the disk at once, and what they hold meanwhile has left the processor's caches when its turn
        # comes: letting go of what was read saves a fifth of a request.
        del raw, value, written
        return _respond(await answer)

    async def _proven(self, request: web.Request) -> tuple[Caller, bytes | None]:
        """Who sent this, and the raw body where it had to be read to know."""
        auth = request.app[AUTH]
        if hdrs.AUTHORIZATION in request.headers or "webhook-signature" not in request.headers:
            return await auth.authenticate(request.headers), None
        # A signature costs a digest of the body for each secret there is: not for who fails again and again.
        failures = request.app[FAILURES]
        failures.check(request)
        with failures.room(request, min(request.content_length or self._most_request, self._most_request)):
            raw = await self._body(request)
            caller = await auth.verify_signed(request.headers, raw, self._clock() // 1000)
        if caller is None:
            request[DIGESTED] = len(raw)
            raise NotAuthenticated(_PROVE)
        return caller, raw

    async def _body(self, request: web.Request) -> bytes:
        content = request.content
        if content.is_eof() and (request.content_length or self._most_request + 1) <= self._most_request:
            return content.read_nowait()  # it is all here, and not too large: there is nothing to wait for
        try:
            async with asyncio.timeout(self._body_timeout_s):
                return await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the body came too slowly") from None

    def _one(self, value: Any, written: bytes, caller: Caller, form: Form) -> Awaitable[Answer]:
        """What answers one event, once it is awaited; it holds nothing of what the event was read from."""
        try:
            parsed = parse(value, written) if form is PLAIN else form.event(value)
            return self._door.accept(parsed, caller)
        except Invalid as error:
            self._recorder.invalid()
            return _at_once(_invalid(_id_of(value), error))

    async def _many(self, values: list[Any], caller: Caller, form: Form) -> web.Response:
        if len(values) > MOST_EVENTS:
            error = Invalid([Problem("", f"an array holds at most {MOST_EVENTS} events, this one {len(values)}")])
            return _respond(_invalid(None, error))
        answers: list[Answer | None] = [None] * len(values)
        lanes: defaultdict[str, list[int]] = defaultdict(list)
        for at, value in enumerate(values):
            lanes[_lane(form.holder(value), at)].append(at)

        async def go(positions: list[int]) -> None:
            for at in positions:
                written = orjson.dumps(values[at])
                answers[at] = (
                    self._too_large(_id_of(values[at]))
                    if len(written) > self._most_event
                    else await self._one(values[at], written, caller, form)
                )

        await asyncio.gather(*(go(positions) for positions in lanes.values()))
        body = [{"code": int(answer.code), **answer.body} for answer in answers if answer is not None]
        return web.Response(
            body=orjson.dumps(body), status=HTTPStatus.MULTI_STATUS, content_type="application/json"
        )

    def _too_large(self, event_id: str | None) -> Answer:
        return problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, event_id, f"an event is at most {self._most_event} bytes"
        )


async def _at_once(answer: Answer) -> Answer:
    return answer


def _form(request: web.Request, *, is_signed: bool) -> Form:
    headers = request.headers
    media = headers.get(hdrs.CONTENT_TYPE, "")
    if media == "application/json" and _SPEC_VERSION not in headers:
        return PLAIN  # as nearly every request is
    return form_of(media, headers, is_signed=is_signed)


def _lane(value: Any, at: int) -> str:
    """Events of one array that must keep their order share a lane: the same transfer, or the same id."""
    transfer = value.get("transfer") if isinstance(value, dict) else None
    id_ = transfer.get("id") if isinstance(transfer, dict) else None
    return id_.casefold() if isinstance(id_, str) else f" {at}"


def _id_of(value: Any) -> str | None:
    id_ = value.get("id") if isinstance(value, dict) else None
    return id_ if isinstance(id_, str) and len(id_) <= 64 else None


def _invalid(event_id: str | None, error: Invalid) -> Answer:
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        event_id,
        f"{error} in the body; nothing was accepted",
        error.problems,
    )


def _respond(answer: Answer, retry_after_s: int = 1) -> web.Response:
    good = answer.code < HTTPStatus.BAD_REQUEST
    later = answer.code in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
    headers = {"Retry-After": str(retry_after_s)} if later else None
    return web.Response(
        body=orjson.dumps(answer.body),
        status=answer.code,
        headers=headers,
        content_type="application/json" if good else "application/problem+json",
    )


