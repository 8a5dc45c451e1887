"""How does a partner's program speak with Partner Center?

The documented paths, answers and errors over HTTP, for whoever shows a token of the token endpoint. Nothing
is decided here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from aiohttp import web

from relay.sandbox.box import Box, Busy
from relay.sandbox.mount import respond
from relay.sandbox.subscriptions import customers, hooks, requests, views
from relay.sandbox.subscriptions.refusals import Code
from relay.sandbox.subscriptions.requests import Asker
from relay.sandbox.subscriptions.signer import FILE, Signer
from relay.sandbox.subscriptions.tokens import Tokens
from relay.sandbox.subscriptions.world import World
from relay.sandbox.system import Answer, Refusal, Step

_MOST_BODY: Final = 262_144
_TRANSFERS: Final = "/v1/customers/{customer}/transfers"
Decide = Callable[[World, Asker, int], Step[World]]


class PartnerCenterApi:
    """The API over one box."""

    def __init__(self, box: Box[World], tokens: Tokens, signer: Signer, url: str) -> None:
        self._box = box
        self._tokens = tokens
        self._signer = signer
        self._url = url

    def app(self) -> web.Application:
        """The application that answers."""
        app = web.Application(client_max_size=_MOST_BODY, middlewares=[_in_its_words])
        app.add_routes(
            [
                web.post("/login/{tenant}/oauth2/v2.0/token", self._token),
                web.get(f"/cert/{FILE}", self._certificate),
                web.post(_TRANSFERS, self._create),
                web.get(_TRANSFERS, self._list),
                web.get(_TRANSFERS + "/{transfer}", self._get),
                web.patch(_TRANSFERS + "/{transfer}", self._change),
                web.get("/v1/customers/relationshiprequests", self._relationship),
                web.get("/v1/customers/{customer}/subscriptions", self._subscriptions),
                web.get("/v1/customers/{customer}/agreements", self._agreements),
                web.post("/v1/customers/{customer}/agreements", self._confirm),
                web.get("/v1/auditrecords", self._audit_records),
                web.get("/auditactivity/v1/auditrecords/{id}", self._audit_record),
                web.get("/webhooks/v1/registration/events", self._event_names),
                web.get("/webhooks/v1/registration", self._registration),
                web.post("/webhooks/v1/registration", self._register),
                web.put("/webhooks/v1/registration", self._replace),
                web.post("/webhooks/v1/registration/validationEvents", self._validate),
                web.get("/webhooks/v1/registration/validationEvents/{id}", self._report),
            ]
        )
        return app

    # --- who asks ---------------------------------------------------------------------------------------

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        try:
            tenant = request.match_info["tenant"]
            value = await self._box.look(lambda world, now: self._tokens.grant(world, tenant, form, now))
        except Refusal as refusal:
            return respond(refusal.answer)
        return web.json_response(value, headers={"Cache-Control": "no-store"})

    async def _certificate(self, request: web.Request) -> web.Response:
        return web.Response(body=self._signer.der, content_type="application/octet-stream")

    async def _ask(self, request: web.Request, decide: Decide) -> web.Response:
        authorization = request.headers.get("Authorization", "")

        def decided(world: World, now: int) -> Step[World]:
            return decide(world, self._tokens.asker(world, authorization, now), now)

        about = request.match_info.get("transfer", "")
        try:
            answer = await self._box.ask(decided)
        except Busy:
            answer = Code.BUSY.refuse(about).answer
        headers = {"MS-RequestId": request.headers.get("MS-RequestId", "")} if "MS-RequestId" in request.headers else {}
        return respond(Answer(answer.status, answer.body, {**answer.headers, **headers}))

    # --- transfers --------------------------------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.Response:
        body, customer = await _body(request), request.match_info["customer"]
        return await self._ask(
            request, lambda world, who, now: requests.create(world, who, customer, body, now, self._url)
        )

    async def _change(self, request: web.Request) -> web.Response:
        body, customer, id_ = await _body(request), request.match_info["customer"], request.match_info["transfer"]

        def decide(world: World, who: Asker, now: int) -> Step[World]:
            transfer = requests.seen(world, who, customer, id_)
            return requests.change(world, who, transfer, body, now, self._url)

        return await self._ask(request, decide)

    async def _get(self, request: web.Request) -> web.Response:
        customer, id_ = request.match_info["customer"], request.match_info["transfer"]

        def decide(world: World, who: Asker, now: int) -> Step[World]:
            return Step(world, Answer(200, views.entity(requests.seen(world, who, customer, id_), who.tenant)))

        return await self._ask(request, decide)

    async def _list(self, request: web.Request) -> web.Response:
        customer = request.match_info["customer"]

        def decide(world: World, who: Asker, now: int) -> Step[World]:
            found = [views.entity(one, who.tenant) for one in requests.all_seen(world, who, customer)]
            return Step(world, Answer(200, views.collection(found)))

        return await self._ask(request, decide)

    # --- customers --------------------------------------------------------------------------------------

    async def _relationship(self, request: web.Request) -> web.Response:
        def decide(world: World, who: Asker, now: int) -> Step[World]:
            link = f"{self._url}/consent/{who.tenant}"
            return Step(world, Answer(200, {"url": link, "attributes": {"objectType": "CustomerRelationshipRequest"}}))

        return await self._ask(request, decide)

    async def _subscriptions(self, request: web.Request) -> web.Response:
        customer = request.match_info["customer"]
        return await self._ask(request, lambda world, who, now: customers.subscriptions(world, who, customer))

    async def _agreements(self, request: web.Request) -> web.Response:
        customer = request.match_info["customer"]
        return await self._ask(request, lambda world, who, now: customers.agreements(world, who, customer))

    async def _confirm(self, request: web.Request) -> web.Response:
        body, customer = await _body(request), request.match_info["customer"]
        return await self._ask(request, lambda world, who, now: customers.confirm(world, who, customer, body, now))

    # --- what is told -----------------------------------------------------------------------------------

    async def _audit_records(self, request: web.Request) -> web.Response:
        since, until, chosen = (request.query.get(name, "") for name in ("startDate", "endDate", "filter"))
        return await self._ask(
            request, lambda world, who, now: hooks.records(world, who.tenant, since, until, now, chosen)
        )

    async def _audit_record(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        return await self._ask(request, lambda world, who, now: hooks.record(world, who.tenant, id_))

    async def _event_names(self, request: web.Request) -> web.Response:
        return await self._ask(request, lambda world, who, now: Step(world, Answer(200, list(hooks.KNOWN))))

    async def _registration(self, request: web.Request) -> web.Response:
        return await self._ask(request, lambda world, who, now: hooks.read(world, who.tenant, now))

    async def _register(self, request: web.Request) -> web.Response:
        body = await _body(request)
        return await self._ask(
            request, lambda world, who, now: hooks.write(world, who.tenant, body, now, replace=False)
        )

    async def _replace(self, request: web.Request) -> web.Response:
        body = await _body(request)
        return await self._ask(
            request, lambda world, who, now: hooks.write(world, who.tenant, body, now, replace=True)
        )

    async def _validate(self, request: web.Request) -> web.Response:
        return await self._ask(request, lambda world, who, now: hooks.validate(world, who.tenant, now, self._url))

    async def _report(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        return await self._ask(request, lambda world, who, now: hooks.report(world, who.tenant, id_, now))


def consents(box: Box[World]) -> list[web.RouteDef]:
    """What a customer does in a browser: it follows the link of a relationship request, and consents."""

    async def show(request: web.Request) -> web.Response:
        text = 'POST {"customer": "<its tenant id>"} here, as that customer, to consent to this partner'
        return web.json_response({"partner": request.match_info["tenant"], "how": text})

    async def give(request: web.Request) -> web.Response:
        from relay.sandbox.control import read_body

        body, tenant = await read_body(request, customers.ConsentBody), request.match_info["tenant"]
        return respond(await box.ask(lambda world, now: customers.consent(world, tenant, body, now)))

    return [web.get("/consent/{tenant}", show), web.post("/consent/{tenant}", give)]


@web.middleware
async def _in_its_words(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What the router refuses has the body of every other error."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        refusal = Code.NOT_FOUND.refuse(why=f"{request.method} {request.path}: {error.reason}")
        return respond(Answer(error.status, refusal.answer.body))


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    try:
        return orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        return None


