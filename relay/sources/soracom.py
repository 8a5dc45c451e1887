"""How does the relay learn of SIM transfers, of which SORACOM tells nobody?

By standing in the path: three routes that are called instead of SORACOM's, with the caller's own
credentials, and go on to it unchanged; its answer comes back unchanged. What succeeded is told. The path has
an unguessable part, the upstream is fixed, nothing else is passed on, and calls are limited.

Nothing is lost between the two systems: that a call is about to be made is on disk before it is made, and
what it led to is on disk before it is told; a call that was cut off is told to the operator (`uncertain`).
The token is in no log, no event and no key of the database: see `relay.sources.sims`.
"""

from __future__ import annotations

import asyncio
import hmac
import random
import secrets
from collections import defaultdict, deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson
from aiohttp import ClientSession, ClientTimeout, web

from relay.auth import Caller
from relay.config_sources import Operator, Soracom
from relay.door import Door
from relay.errors import StoreError
from relay.intake import Invalid, parse
from relay.model import EventType, TokenHolder
from relay.sources import sims
from relay.sources.partner_api import read_some
from relay.sources.registration import Condition
from relay.sources.sims import SOURCE, Batch
from relay.sources.trouble import Health
from relay.store.sources import Sources, Task

CALLER: Final = Caller(TokenHolder.PRODUCER, SOURCE)
_MOST_BYTES = 262_144
_MOST_ANSWER = 1 << 20
_EVENT, _CALL = "e:", "i:"
_CUT_OFF_MS = 300_000
_AGAIN_MS = 2_000
_LEASE_MS = 60_000
_TRIES = 32
_PASSED = ("X-Soracom-API-Key", "X-Soracom-Token", "X-Soracom-Lang", "Content-Type", "Accept", "User-Agent")
_RETURNED = ("Content-Type", "Retry-After", "X-Soracom-Lang")


class Facade:
    """The HTTP side, and (`tick`) what a worker does about what was left over."""

    def __init__(
        self,
        session: ClientSession,
        settings: Soracom,
        store: Sources,
        door: Door,
        health: Health,
        clock: Callable[[], int],
    ) -> None:
        self._session = session
        self._settings = settings
        self._store = store
        self._door = door
        self._health = health
        self._clock = clock
        self._called: defaultdict[str, deque[int]] = defaultdict(deque)

    async def issue(self, request: web.Request) -> web.Response:
        """`POST …/transfer_token/issue`: the source offers SIMs."""
        return await self._through(request, "/issue", self._issued)

    async def verify(self, request: web.Request) -> web.Response:
        """`POST …/transfer_token/verify`: the destination takes them."""
        return await self._through(request, "/verify", self._verified)

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE …/transfer_token/{token}`: the source calls it off."""
        self._operator(request)  # who does not know the path learns nothing of what is behind it
        token = request.match_info["token"]
        if not sims.is_token(token):
            return _said(404, "Transfer token does not exist.")
        return await self._through(request, f"/{token}", self._deleted)

    async def sim_status(self, request: web.Request) -> web.Response:
        """`POST …/sim-status`: an Event Handler tells that the status of a SIM has changed."""
        operator = self._operator(request)
        if (busy := self._too_many(operator)) is not None:
            return busy
        raw = await _body(request)
        imsis, status = sims.status_change(raw)
        self._health.count("callbacks", "kept" if imsis and status else "unreadable")
        if status and status != "ready":
            for imsi in imsis:
                for id_ in await self._store.led(SOURCE, [f"imsi:{imsi}"]):
                    await self._void(id_, imsi, status)
        return web.json_response({"status": "kept"})

    async def tick(self) -> int:
        """Tell what could not be told when it happened, and of calls that were cut off. Raises StoreError."""
        now = self._clock()
        until = now + _LEASE_MS + random.random()
        tasks = await self._store.take(SOURCE, now_ms=now, until=until, most=32)
        for task in tasks:
            if task.id.startswith(_CALL):
                about = orjson.loads(task.text or b"{}")
                detail = f"a call to {about.get('route')} by {about.get('operator')} was cut off; look at its SIMs"
                await self._health.wrong("uncertain", detail)
                await self._store.settle(SOURCE, task)
            elif task.text:
                await self._tell(task)
        return len(tasks)

    async def conditions(self, base_url: str) -> list[Condition]:
        """How it is, once for each operator, by what the relay itself knows; its key is not shown. Raises
        StoreError."""
        if not self._settings.operators:
            return []
        waiting, troubles = await self._store.waiting(SOURCE), tuple(await self._store.troubles(SOURCE))
        return [
            Condition(
                source=f"{SOURCE}:{one.coverage}:{one.operator_id}",
                callback_url=f"{base_url}/v1/sources/soracom/{one.coverage}-…",
                waiting=waiting,
                tested_at=None,
                troubles=troubles,
                past=(),
            )
            for one in self._settings.operators
        ]

    # --- through the façade -----------------------------------------------------------------------------

    async def _through(self, request: web.Request, path: str, then: Any) -> web.Response:
        operator = self._operator(request)
        if (busy := self._too_many(operator)) is not None:
            return busy
        raw = await _body(request)
        now = self._clock()
        # Before the call, so that what was done there cannot be forgotten here.
        route = path if request.method == "POST" else "/{token}"
        call = Task(f"{_CALL}{secrets.token_hex(8)}", b"", float(now + _CUT_OFF_MS))
        about = orjson.dumps({"route": f"transfer_token{route}", "operator": operator.operator_id})
        await self._store.put(SOURCE, call.id, about, now + _CUT_OFF_MS)
        url = f"{self._settings.upstream(operator.coverage)}/subscribers/transfer_token{path}"
        try:
            status, headers, answer = await self._forward(request, url, raw)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # Whether it was done there is not known; the error's text may have the token, its type has not.
            self._health.count("requests", "unreachable")
            await self._health.wrong("unreachable", f"SORACOM does not answer ({type(error).__name__})")
            timed_out = isinstance(error, TimeoutError)
            if isinstance(error, aiohttp.ClientConnectorError):
                await self._store.settle(SOURCE, call)  # it never got there
            return _said(504 if timed_out else 502, "SORACOM does not answer just now; look before you try again.")
        self._health.count("requests", "answered" if status < 400 else "refused")
        if status < 300:
            try:
                await then(operator, request, raw, answer)
            except StoreError:
                # It was done, and the caller must have the answer; the note of the call stays, and says so.
                return web.Response(status=status, body=answer, headers=headers)
        await self._health.right("unreachable")
        await self._store.settle(SOURCE, call)
        return web.Response(status=status, body=answer, headers=headers)

    async def _forward(self, request: web.Request, url: str, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: request.headers[name] for name in _PASSED if name in request.headers}
        headers["Accept-Encoding"] = "identity"
        timeout = ClientTimeout(total=self._settings.timeout_seconds)
        async with self._session.request(
            request.method, url, data=raw or None, headers=headers, allow_redirects=False, timeout=timeout
        ) as answer:
            body = await read_some(answer, _MOST_ANSWER)
            kept = {name: answer.headers[name] for name in _RETURNED if name in answer.headers}
            return answer.status, kept, body

    async def _issued(self, operator: Operator, request: web.Request, raw: bytes, answer: bytes) -> None:
        token = sims.token_of(answer)
        now = self._clock()
        batch = sims.issued(raw, token, operator.operator_id, operator.name, now) if token else None
        if batch is None:
            self._health.count("worked", "unreadable")
            return
        await self._store.keep(SOURCE, batch.id, sims.dump(batch), lead=_leads(batch))
        await self._happened(sims.event(batch, EventType.CREATED, now))

    async def _verified(self, operator: Operator, request: web.Request, raw: bytes, answer: bytes) -> None:
        batch = await self._batch(sims.transfer_id(sims.token_of(raw)))
        if batch is not None:
            moved = sims.transferred(answer)
            await self._happened(sims.event(batch, sims.outcome(batch, moved), self._clock(), moved=moved))
            await self._forget(batch)

    async def _deleted(self, operator: Operator, request: web.Request, raw: bytes, answer: bytes) -> None:
        batch = await self._batch(sims.transfer_id(request.match_info["token"]))
        if batch is not None:
            await self._happened(sims.event(batch, EventType.CANCELED, self._clock()))
            await self._forget(batch)

    async def _batch(self, id_: str) -> Batch | None:
        found = await self._store.kept(SOURCE, id_)
        if not found:
            self._health.count("worked", "unknown")  # it was issued past the façade
        return sims.batch_of(found) if found else None

    async def _forget(self, batch: Batch) -> None:
        await self._store.keep(SOURCE, batch.id, b"", lead=_leads(batch))

    async def _void(self, id_: str, imsi: str, status: str) -> None:
        for _ in range(_TRIES):
            found = await self._store.kept(SOURCE, id_)
            if not found:
                return
            batch = sims.batch_of(found)
            if imsi not in batch.imsis:
                return
            after = sims.voided(batch, imsi, status)
            if await self._store.keep(SOURCE, id_, sims.dump(after), read=found):
                if sims.is_lost(after):
                    await self._happened(sims.event(after, EventType.FAILED, self._clock()))
                    await self._forget(after)
                return

    # --- telling ----------------------------------------------------------------------------------------

    async def _happened(self, event: dict[str, Any]) -> None:
        """On disk first, then told; what cannot be told now a worker tells."""
        due = self._clock() + _AGAIN_MS
        id_ = f"{_EVENT}{event['id']}"
        text = orjson.dumps(event)
        await self._store.put(SOURCE, id_, text, due)
        await self._tell(Task(id_, text, float(due)))

    async def _tell(self, task: Task) -> None:
        try:
            answer = await self._door.accept(parse(orjson.loads(task.text)), CALLER)
        except Invalid as why:
            await self._health.wrong("unusable", f"{why.problems[0].pointer} {why.problems[0].detail}")
            await self._store.settle(SOURCE, task)
            return
        if answer.code == HTTPStatus.SERVICE_UNAVAILABLE:
            await self._store.settle(SOURCE, task, again_ms=self._clock() + _AGAIN_MS)
            return
        told = {202: "told", 200: "known", 403: "forbidden"}.get(answer.code, "refused")
        self._health.count("worked", told)
        await self._store.settle(SOURCE, task)

    # --- who calls, and how often -----------------------------------------------------------------------

    def _operator(self, request: web.Request) -> Operator:
        segment = request.match_info["segment"].encode("utf-8", "surrogateescape")
        found = None
        for one in self._settings.operators:
            if hmac.compare_digest(one.segment.encode(), segment):
                found = one
        if found is None:
            raise web.HTTPNotFound
        return found

    def _too_many(self, operator: Operator) -> web.Response | None:
        now, called = self._clock(), self._called[operator.segment]
        while called and called[0] <= now - 60_000:
            called.popleft()
        if len(called) < self._settings.requests_per_minute:
            called.append(now)
            return None
        after = max(1, (called[0] + 60_000 - now) // 1000)
        self._health.count("callbacks", "throttled")
        return _said(429, "Too many calls through this relay.", {"Retry-After": str(after)})


async def _body(request: web.Request) -> bytes:
    if (request.content_length or 0) > _MOST_BYTES:
        raise web.HTTPRequestEntityTooLarge(_MOST_BYTES, request.content_length or 0)
    try:
        async with asyncio.timeout(10):
            raw = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the body came too slowly") from None
    if len(raw) > _MOST_BYTES:
        raise web.HTTPRequestEntityTooLarge(_MOST_BYTES, len(raw))
    return raw


def _leads(batch: Batch) -> list[str]:
    return [f"imsi:{imsi}" for imsi in batch.imsis]


def _said(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """An answer of the façade's own, in the shape of SORACOM's."""
    return web.json_response({"code": f"RLY{status:04d}", "message": message}, status=status, headers=headers)
