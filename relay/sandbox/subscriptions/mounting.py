"""How is Partner Center's part of the sandbox opened at its place?

With its signer and its tokens, the relay's settings to listen to it, and what a person may do in it beside
its API, under `/sandbox/partner-center`.
"""

from __future__ import annotations

import json
from typing import Any, Final

from aiohttp import web

from relay.model import Record
from relay.sandbox.box import Box
from relay.sandbox.control import read_body, refused
from relay.sandbox.mount import Place, System, respond
from relay.sandbox.subscriptions import customers, signer
from relay.sandbox.subscriptions.api import PartnerCenterApi, consents
from relay.sandbox.subscriptions.model import NAME, Subscriptions
from relay.sandbox.subscriptions.tokens import Tokens
from relay.sandbox.subscriptions.world import SOURCE, TARGET, World

_LISTENED: Final = {SOURCE: "kaiyo-cloud", TARGET: "fabrikam"}
"""The tenants that the relay listens for, and how it calls their partners."""


class TokenBody(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token of this partner, for the first of its people with this role; `application`: for nobody."""

    partner: str
    role: str = "admin_agent"


def open_system(place: Place) -> System:
    """The system at this place."""
    url = f"{place.url}/{NAME}"
    tokens, signing = Tokens(place.secret), signer.kept(place.folder, f"{url}/cert/{signer.FILE}")

    def api(box: Box[World]) -> web.Application:
        app = PartnerCenterApi(box, tokens, signing, url).app()
        app.add_routes(consents(box))
        return app

    def control(box: Box[World]) -> list[web.RouteDef]:
        return _control(box, tokens)

    return System(Subscriptions(url), api, control, signing.sign, _settings(url, tokens, signing))


def _settings(url: str, tokens: Tokens, signing: signer.Signer) -> dict[str, str]:
    tenants = [
        {
            "name": name, "tenant_id": tenant, "client_id": tokens.client_id(tenant),
            "client_secret": tokens.client_secret(tenant), "partner": name,
        }
        for tenant, name in _LISTENED.items()
    ]  # fmt: skip
    values = {
        "TENANTS": json.dumps(tenants),
        "API_URL": url,
        "LOGIN_URL": f"{url}/login",
        "CERTIFICATES": json.dumps([f"{url}/cert/"]),
        "ROOTS_FILE": str(signing.roots.resolve()),
        "ORGANISATION": signer.ORGANISATION,
        # Here nobody's limits are to be spared, and a person watches.
        "KEEP_REGISTERED": "true",
        "REGISTRATION_SECONDS": "10",
        "POLL_SECONDS": "2",
        "POLLS_PER_MINUTE": "600",
        "REORDER_SECONDS": "1",
    }
    return {f"RELAY_SOURCES__PARTNER_CENTER__{name}": value for name, value in values.items()}


def _control(box: Box[World], tokens: Tokens) -> list[web.RouteDef]:
    async def add_customer(request: web.Request) -> web.Response:
        body = await read_body(request, customers.CustomerBody)
        return respond(await box.ask(lambda world, now: customers.add(world, body, now)))

    async def change_partner(request: web.Request) -> web.Response:
        body, tenant = await read_body(request, customers.PartnerBody), request.match_info["tenant"]
        return respond(await box.ask(lambda world, now: customers.change(world, tenant, body, now)))

    async def credentials(request: web.Request) -> web.Response:
        return web.json_response({"data": await box.look(lambda world, now: _credentials(world, tokens))})

    async def give_token(request: web.Request) -> web.Response:
        body = await read_body(request, TokenBody)
        return web.json_response(await box.look(lambda world, now: _granted(world, tokens, body, now)))

    path = f"/sandbox/{NAME}"
    return [
        web.post(f"{path}/customers", add_customer),
        web.post(f"{path}/partners/{{tenant}}", change_partner),
        web.get(f"{path}/credentials", credentials),
        web.post(f"{path}/tokens", give_token),
    ]


def _granted(world: World, tokens: Tokens, body: TokenBody, now_ms: int) -> dict[str, Any]:
    tenant = customers.tenant_of(world, body.partner)
    form = {"client_id": tokens.client_id(tenant), "client_secret": tokens.client_secret(tenant),
            "grant_type": "client_credentials"}  # fmt: skip
    if body.role != "application":
        person = next((one.email for one in world.partners[tenant].people if one.role == body.role), None)
        if person is None:
            raise refused(f"role: {body.partner} has nobody who is {body.role!r}")
        form |= {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token(tenant, person)}
    return tokens.grant(world, tenant, form, now_ms)


def _credentials(world: World, tokens: Tokens) -> list[dict[str, Any]]:
    """Each partner's application, and the refresh tokens of its people."""
    return [
        {
            "tenant": one.tenant, "id": one.relay_id, "client_id": tokens.client_id(one.tenant),
            "client_secret": tokens.client_secret(one.tenant),
            "people": [
                {"email": person.email, "role": person.role,
                 "refresh_token": tokens.refresh_token(one.tenant, person.email)}
                for person in one.people
            ],
        }
        for one in world.partners.values()
    ]  # fmt: skip
