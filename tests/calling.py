"""How does a test call the API?"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient

OPERATOR = "the-operators-token-of-these-tests-0123456789"


class Api:
    """The API over a socket, as one caller."""

    def __init__(self, client: TestClient[web.Request, web.Application], token: str) -> None:
        self._client = client
        self._token = token

    def of(self, token: str) -> Api:
        """The same API, as somebody else."""
        return Api(self._client, token)

    async def ask(
        self, method: str, path: str, json: object = None, *, expect: int = 200, **more: Any
    ) -> Any:
        """The JSON that is answered, or the text; fails the test on any other status."""
        headers = {"Authorization": f"Bearer {self._token}"} | more.pop("headers", {})
        options = more if json is None else {"json": json, **more}
        async with self._client.request(method, path, headers=headers, **options) as response:
            text = await response.text()
            assert response.status == expect, f"{method} {path}: {response.status} {text}"
            return await response.json(content_type=None) if "json" in response.content_type else text

    async def status(self, method: str, path: str, json: object = None) -> int:
        """The status alone."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._client.request(method, path, headers=headers, json=json) as response:
            return response.status

    async def partner(self, name: str) -> Api:
        """Registers a partner and is its caller."""
        await self.ask("PUT", f"/v1/partners/{name}", {"name": name.title()}, expect=201)
        made = await self.ask("POST", f"/v1/partners/{name}/tokens", expect=201)
        return self.of(made["token"])


class Receiver:
    """A partner's endpoint that answers `status` and keeps what came."""

    def __init__(self) -> None:
        self.status = 204
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.came.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, text="planted-answer" if self.status != 204 else None)
