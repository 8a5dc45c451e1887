"""What does a program look like that was written from Partner Center's documentation alone?

Plain HTTP: a token with a refresh token, then the documented requests, with the documented fields. It knows
nothing of the relay nor of the sandbox but where the API and the login stand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        return self.body["code"] if isinstance(self.body, dict) else ""


@dataclass
class Csp:
    """One person of one partner."""

    http: ClientSession
    base: str
    login: str
    tenant: str
    client_id: str
    client_secret: str
    refresh_token: str = ""
    token: str = field(default="", repr=False)

    async def sign_in(self) -> Said:
        form = {"client_id": self.client_id, "client_secret": self.client_secret,
                "scope": "https://api.partnercenter.microsoft.com/.default"}  # fmt: skip
        if self.refresh_token:
            form |= {"grant_type": "refresh_token", "refresh_token": self.refresh_token}
        else:
            form |= {"grant_type": "client_credentials"}
        async with self.http.post(f"{self.login}/{self.tenant}/oauth2/v2.0/token", data=form) as answer:
            said = Said(answer.status, await answer.json(), dict(answer.headers))
        self.token = said.body.get("access_token", "")
        return said

    async def ask(self, method: str, path: str, body: Any = None) -> Said:
        if not self.token:
            await self.sign_in()
        said = await self._send(method, path, body)
        if said.status == 401 and said.code == "400":
            await self.sign_in()
            said = await self._send(method, path, body)
        return said

    async def _send(self, method: str, path: str, body: Any) -> Said:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        async with self.http.request(method, self.base + path, json=body, headers=headers) as answer:
            text = await answer.text()
            return Said(answer.status, await answer.json(content_type=None) if text else None, dict(answer.headers))

    # --- transfers --------------------------------------------------------------------------------------

    async def create(self, customer: str, source: str, *types: str, **changes: Any) -> Said:
        body = {
            "sourcePartnerTenantId": source, "sourcePartnerName": "The source", "customerEmailId": "it@relecloud.example",
            "customerName": "Relecloud", **({"targetProductTypes": list(types)} if types else {}), **changes,
        }  # fmt: skip
        given = {name: value for name, value in body.items() if value is not None}
        return await self.ask("POST", f"/v1/customers/{customer}/transfers", given)

    async def get(self, customer: str, transfer: str) -> Said:
        return await self.ask("GET", f"/v1/customers/{customer}/transfers/{transfer}")

    async def accept(self, customer: str, transfer: str, *subscriptions: dict[str, Any]) -> Said:
        lines = [{"subscriptionId": one["id"], "productType": one["productType"]} for one in subscriptions]
        body = {"id": transfer, "lineItems": lines}
        return await self.ask("PATCH", f"/v1/customers/{customer}/transfers/{transfer}", body)

    async def cancel(self, customer: str, transfer: str) -> Said:
        body = {"id": transfer, "status": "Cancel", "targetPartnerTenantId": self.tenant}
        return await self.ask("PATCH", f"/v1/customers/{customer}/transfers/{transfer}", body)

    async def subscriptions(self, customer: str) -> list[dict[str, Any]]:
        said = await self.ask("GET", f"/v1/customers/{customer}/subscriptions")
        assert said.status == 200, said
        return list(said.body["items"])

    # --- before a transfer ------------------------------------------------------------------------------

    async def relationship_link(self) -> str:
        said = await self.ask("GET", "/v1/customers/relationshiprequests")
        return str(said.body["url"])

    async def confirm_agreement(self, customer: str) -> Said:
        body = {"primaryContact": {"firstName": "M", "lastName": "Mori", "email": "it@relecloud.example"},
                "templateId": "998b88de-aa99-4388-a42c-1b3517d49490", "dateAgreed": "2026-11-21T00:00:00Z",
                "type": "MicrosoftCustomerAgreement"}  # fmt: skip
        return await self.ask("POST", f"/v1/customers/{customer}/agreements", body)
