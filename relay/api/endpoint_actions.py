"""What can be done about an endpoint: try it, let it go on, send again what it missed?"""

from __future__ import annotations

import asyncio
from typing import Annotated

from aiohttp import web
from pydantic import Field

from relay import recovery
from relay.advice import reached_nobody
from relay.api import attempts, ownership
from relay.api.bodies import Body, read_body
from relay.api.check_shapes import PreflightShape
from relay.api.endpoints import existing, with_health
from relay.api.problems import Fault, invalid, not_found
from relay.api.route import Call, answer
from relay.api.shapes import ReplayShape
from relay.model import EventType, Outcome, Timestamp
from relay.store.replays import Replay
from relay.times import format_ms, to_ns


class NoBody(Body):
    """Nothing is asked."""


class PreflightBody(Body):
    """With `forgery` a second ping is sent, whose signature is false: a receiver that verifies refuses it."""

    forgery: bool = False


class ReplayBody(Body):
    """Which deliveries: those of events accepted from `since` until before `until` (now when absent)."""

    since: Timestamp
    until: Timestamp | None = None
    event_types: Annotated[tuple[EventType, ...], Field(min_length=1)] | None = None


async def test(call: Call) -> web.Response:
    """Send `relay.ping` now, and answer with the attempt, whatever came of it. One that is accepted ends
    the wait of an open breaker."""
    await read_body(call.request, NoBody)
    endpoint = await existing(call)
    ownership.allow(call)
    began = asyncio.get_running_loop().time()
    made = await recovery.ping(call.services, endpoint, call.now_ms)
    if reached_nobody(made.attempt):
        await ownership.unhurried(call, began)
    if made.attempt.outcome is Outcome.ACCEPTED:
        await recovery.try_now(call.services, endpoint, call.now_ms)
    return answer(
        attempts.shown(
            made.attempt, for_operator=call.caller.is_operator, url=endpoint.url, body=made.body.decode()
        )
    )


async def preflight(call: Call) -> web.Response:
    """Look where the endpoint's URL leads, and ping it."""
    body = await read_body(call.request, PreflightBody)
    endpoint = await existing(call)
    report = await ownership.check(call, endpoint, forgery=body.forgery)
    ping = report.ping
    return answer(
        PreflightShape(
            ok=not report.problems,
            findings=ownership.shown(report),
            attempt=None
            if ping is None
            else attempts.shown(
                ping.attempt, for_operator=call.caller.is_operator, url=endpoint.url, body=ping.body.decode()
            ),
        )
    )


async def enable(call: Call) -> web.Response:
    """Enable the endpoint and release, in order, what was held back."""
    await read_body(call.request, NoBody)
    await recovery.enable(call.services, await existing(call), call.now_ms)
    return answer(await with_health(call.services, await existing(call)))


async def replay(call: Call) -> web.Response:
    """Open the deliveries of a span of time again, the same ones, with all their tries: 202."""
    body = await read_body(call.request, ReplayBody)
    endpoint, now_ms = await existing(call), call.now_ms
    since_ms = to_ns(body.since) // 1_000_000
    until_ms = now_ms if body.until is None else to_ns(body.until) // 1_000_000
    if since_ms >= until_ms:
        raise invalid([Fault("/since", "give a time before `until`, or before now when that is absent")])
    types = None if body.event_types is None else tuple(str(name) for name in body.event_types)
    made = await recovery.replay(call.services, endpoint, since_ms, until_ms, types, now_ms)
    return answer(shown(made), 202)


async def get_replay(call: Call) -> web.Response:
    """How far a replay has come."""
    endpoint = await existing(call)
    found = await call.services.store.replays.get(endpoint.id, call.part("replay"))
    if found is None:
        raise not_found("replay")
    return answer(shown(found))


def shown(replay: Replay) -> ReplayShape:
    """A replay as the API shows it."""
    return ReplayShape(
        id=replay.id,
        endpoint=replay.endpoint,
        since=format_ms(replay.since_ms),
        until=format_ms(replay.until_ms),
        event_types=None if replay.event_types is None else list(replay.event_types),
        count=replay.count,
        processed=replay.processed,
        reopened=replay.reopened,
        gone=replay.gone,
        done=replay.done,
        created_at=format_ms(replay.created_at_ms),
    )
