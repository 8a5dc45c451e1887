"""How does an operator's program speak with SORACOM?

The published paths, fields and statuses over HTTP, for whoever has signed in: `/v1/…` for Japan coverage,
`/g/v1/…` for global coverage. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web

from relay.sandbox.box import Box, Busy
from relay.sandbox.mount import respond
from relay.sandbox.sims import handlers, requests, views
from relay.sandbox.sims.refusals import Code
from relay.sandbox.sims.sign_in import Keys
from relay.sandbox.sims.world import COVERAGES, Operator, Sim, Status, World, with_sims
from relay.sandbox.system import Answer, Refusal, Step

_MOST_BODY: Final = 262_144
_TOKENS: Final = "/subscribers/transfer_token"
_PREFIXES: Final = {"jp": "/v1", "g": "/g/v1"}
Decide = Callable[[World, Operator, int], Step[World]]
Handle = Callable[[web.Request, str], Any]


class SoracomApi:
    """The API over one box."""

    def __init__(self, box: Box[World], keys: Keys) -> None:
        self._box = box
        self._keys = keys

    def app(self) -> web.Application:
        """The application that answers."""
        app = web.Application(client_max_size=_MOST_BODY)
        for coverage in COVERAGES:
            app.add_routes(self._routes(_PREFIXES[coverage], coverage))
        return app

    def _routes(self, prefix: str, coverage: str) -> Sequence[web.RouteDef]:
        def bound(handle: Handle) -> Callable[[web.Request], Any]:
            async def bound_to(request: web.Request) -> web.Response:
                answered: web.Response = await handle(request, coverage)
                return answered

            return bound_to

        moves = [
            web.post(f"{prefix}/{kind}/{{id}}/{name}", bound(self._mover(status)))
            for kind in ("sims", "subscribers")
            for name, status in requests.MOVES.items()
        ]
        return [
            web.post(f"{prefix}/auth", bound(self._auth)),
            web.post(f"{prefix}{_TOKENS}/issue", bound(self._issue)),
            web.post(f"{prefix}{_TOKENS}/verify", bound(self._verify)),
            web.delete(f"{prefix}{_TOKENS}/{{token}}", bound(self._delete)),
            web.get(f"{prefix}/sims", bound(self._sims)),
            web.get(f"{prefix}/sims/{{id}}", bound(self._sim)),
            web.get(f"{prefix}/subscribers", bound(self._subscribers)),
            web.get(f"{prefix}/subscribers/{{id}}", bound(self._subscriber)),
            web.post(f"{prefix}/sims/{{id}}/enable_termination", bound(self._unprotect)),
            *moves,
            web.get(f"{prefix}/event_handlers", bound(self._handlers)),
            web.post(f"{prefix}/event_handlers", bound(self._add_handler)),
            web.delete(f"{prefix}/event_handlers/{{id}}", bound(self._remove_handler)),
        ]

    async def _ask(self, request: web.Request, decide: Decide) -> web.Response:
        def decided(world: World, now: int) -> Step[World]:
            return decide(world, self._keys.asker(world, request.headers, now), now)

        try:
            return respond(await self._box.ask(decided))
        except Busy:
            return respond(Answer(503, {"code": "SBX0000", "message": "Try again."}, {"Retry-After": "1"}))

    # --- signing in -------------------------------------------------------------------------------------

    async def _auth(self, request: web.Request, coverage: str) -> web.Response:
        body = await _body(request)
        try:
            return web.json_response(await self._box.look(lambda world, now: self._keys.grant(world, body, now)))
        except Refusal as refusal:
            return respond(refusal.answer)

    # --- transfer tokens --------------------------------------------------------------------------------

    async def _issue(self, request: web.Request, coverage: str) -> web.Response:
        body = await _body(request)
        return await self._ask(
            request, lambda world, who, now: requests.issue(world, who, body, now, self._keys, coverage)
        )

    async def _verify(self, request: web.Request, coverage: str) -> web.Response:
        body = await _body(request)
        return await self._ask(request, lambda world, who, now: requests.verify(world, who, body, now))

    async def _delete(self, request: web.Request, coverage: str) -> web.Response:
        token = request.match_info["token"]
        return await self._ask(request, lambda world, who, now: requests.delete(world, who, token, now))

    # --- SIMs -------------------------------------------------------------------------------------------

    async def _sims(self, request: web.Request, coverage: str) -> web.Response:
        return await self._list(request, coverage, views.sim)

    async def _subscribers(self, request: web.Request, coverage: str) -> web.Response:
        return await self._list(request, coverage, views.subscriber)

    async def _list(self, request: web.Request, coverage: str, shape: Callable[[Sim], Any]) -> web.Response:
        def decide(world: World, who: Operator, now: int) -> Step[World]:
            mine = [one for one in world.sims.values() if one.owner == who.id and one.coverage == coverage]
            return Step(world, Answer(200, [shape(one) for one in mine]))

        return await self._ask(request, decide)

    async def _sim(self, request: web.Request, coverage: str) -> web.Response:
        return await self._one(request, coverage, views.sim)

    async def _subscriber(self, request: web.Request, coverage: str) -> web.Response:
        return await self._one(request, coverage, views.subscriber)

    async def _one(self, request: web.Request, coverage: str, shape: Callable[[Sim], Any]) -> web.Response:
        def decide(world: World, who: Operator, now: int) -> Step[World]:
            return Step(world, Answer(200, shape(_named(world, who, request.match_info["id"], coverage))))

        return await self._ask(request, decide)

    async def _unprotect(self, request: web.Request, coverage: str) -> web.Response:
        def decide(world: World, who: Operator, now: int) -> Step[World]:
            after = msgspec.structs.replace(_named(world, who, request.match_info["id"], coverage), is_protected=False)
            return Step(with_sims(world, after), Answer(200, views.sim(after)))

        return await self._ask(request, decide)

    def _mover(self, status: Status) -> Handle:
        async def moved(request: web.Request, coverage: str) -> web.Response:
            shape = views.sim if "/sims/" in request.path else views.subscriber

            def decide(world: World, who: Operator, now: int) -> Step[World]:
                sim = _named(world, who, request.match_info["id"], coverage)
                step = requests.move(world, who, sim.imsi, status, now)
                return Step(step.state, Answer(200, shape(step.state.sims[sim.imsi])), step.calls, step.notes)

            return await self._ask(request, decide)

        return moved

    # --- Event Handler ----------------------------------------------------------------------------------

    async def _handlers(self, request: web.Request, coverage: str) -> web.Response:
        def decide(world: World, who: Operator, now: int) -> Step[World]:
            mine = [handlers.shown(one) for one in world.handlers.values() if one.operator == who.id]
            return Step(world, Answer(200, mine))

        return await self._ask(request, decide)

    async def _add_handler(self, request: web.Request, coverage: str) -> web.Response:
        body = await _body(request)
        return await self._ask(request, lambda world, who, now: handlers.create(world, who, body, now))

    async def _remove_handler(self, request: web.Request, coverage: str) -> web.Response:
        id_ = request.match_info["id"]
        return await self._ask(request, lambda world, who, now: handlers.remove(world, who, id_, now))


def _named(world: World, who: Operator, id_: str, coverage: str) -> Sim:
    """A SIM of this operator's, by its id or its IMSI."""
    found = world.sims.get(id_) or next((one for one in world.sims.values() if one.sim_id == id_), None)
    if found is None or found.owner != who.id or found.coverage != coverage:
        raise Code.NO_SIM.refuse(id_)
    return found


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    try:
        return orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        return None
