"""What do the programs of the parties ask of the transfer systems?

The published requests, with tokens of their own, as any partner's or operator's program does. What is refused
is said, and is Broken unless it was expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relay.sandbox.plays.script import Broken
from relay.sandbox.plays.stage import Stage

_SCOPE = "https://api.partnercenter.microsoft.com/.default"
AGREEMENT = {"type": "MicrosoftCustomerAgreement"}


@dataclass
class Agent:
    """A person of a partner who speaks with Partner Center. Time passes quickly here, and tokens expire: each
    request has its own."""

    stage: Stage
    tenant: str
    email: str
    credentials: dict[str, str]

    @classmethod
    async def of(cls, stage: Stage, partner: str, role: str = "admin_agent") -> Agent:
        """The first person of a partner (by its id with the relay) in this role."""
        known = (await stage.drive("GET", "/partner-center/credentials"))["data"]
        found = next((one for one in known if one["id"] == partner), None)
        if found is None:
            raise Broken(f"the sandbox has no partner {partner}")
        person = next(one for one in found["people"] if one["role"] == role)
        form = {
            "grant_type": "refresh_token", "refresh_token": person["refresh_token"], "scope": _SCOPE,
            "client_id": found["client_id"], "client_secret": found["client_secret"],
        }  # fmt: skip
        return cls(stage, found["tenant"], person["email"], form)

    async def ask(self, method: str, path: str, body: object = None, *, expect: int = 200) -> Any:
        """The answer's JSON; Broken when its status is another."""
        headers = {"Authorization": f"Bearer {await self._token()}"}
        said = await self.stage.ask(method, f"{self.stage.where.sandbox}/partner-center{path}", body, headers)
        if said.status != expect:
            raise Broken(f"Partner Center: {method} {path}: {said.status} {said.body}")
        return said.body

    async def _token(self) -> str:
        url = f"{self.stage.where.sandbox}/partner-center/login/{self.tenant}/oauth2/v2.0/token"
        said = await self.stage.ask("POST", url, self.credentials, {}, is_form=True)
        if said.status != 200:
            raise Broken(f"{self.email} cannot sign in: {said.status} {said.body}")
        return str(said.body["access_token"])


@dataclass
class Operator:
    """An operator's program: it signs in at SORACOM, and calls what is about transfer tokens through the relay."""

    stage: Stage
    id: str
    email: str
    facade: str
    password: str

    @classmethod
    async def of(cls, stage: Stage, id_: str) -> Operator:
        """The operator, signed in."""
        known = (await stage.drive("GET", "/soracom/credentials"))["data"]
        found = next((one for one in known if one["id"] == id_), None)
        if found is None:
            raise Broken(f"the sandbox has no operator {id_}")
        facade = f"{stage.where.relay}/v1/sources/soracom/jp-{found['facade_keys']['jp']}"
        return cls(stage, id_, found["email"], facade, found["password"])

    async def _headers(self) -> dict[str, str]:
        url = f"{self.stage.where.sandbox}/soracom/v1/auth"
        said = await self.stage.ask("POST", url, {"email": self.email, "password": self.password}, {})
        if said.status != 200:
            raise Broken(f"{self.id} cannot sign in: {said.status}")
        return {"X-Soracom-API-Key": said.body["apiKey"], "X-Soracom-Token": said.body["token"]}

    async def tokens(self, method: str, operation: str, body: object = None, *, expect: int = 200) -> Any:
        """A call about transfer tokens, through the relay's façade."""
        url = f"{self.facade}/v1/subscribers/transfer_token/{operation}"
        return await self._ask(method, url, body, expect, "transfer_token")

    async def api(self, method: str, path: str, body: object = None, *, expect: int = 200) -> Any:
        """Any other call, to SORACOM itself."""
        return await self._ask(method, f"{self.stage.where.sandbox}/soracom/v1{path}", body, expect, path)

    async def _ask(self, method: str, url: str, body: object, expect: int, what: str) -> Any:
        said = await self.stage.ask(method, url, body, await self._headers())
        if said.status == 404 and said.body is None:
            raise Broken("the relay has no façade for this operator; `relay sandbox settings` says what it must be set to")
        if said.status != expect:
            raise Broken(f"SORACOM: {method} {what}: {said.status} {said.body}")
        return said.body
