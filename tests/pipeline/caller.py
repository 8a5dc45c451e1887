"""How does a pipeline test speak to the relay?

Over HTTP, as the operator, a producer or a partner, and by what the API tells: nothing here looks into
the relay. Whatever is waited for has a deadline.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import ClientConnectionError, ClientSession

from tests.fakes.partner import Partner

OPERATOR = "the-operators-token-of-the-pipeline-0123456789"
DEADLINE_S = 120.0
_LOOK_AGAIN_S = 0.05

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T | None]], what: str, within_s: float = DEADLINE_S) -> T:
    """What `look` gives, once it is not None; fails the test when the deadline comes first."""
    try:
        async with asyncio.timeout(within_s):
            while (found := await look()) is None:
                await asyncio.sleep(_LOOK_AGAIN_S)
            return found
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s: {what}") from None


@dataclass
class Member:
    """A registered partner: its token, and its endpoint's id, path and secret."""

    id: str
    caller: Caller
    endpoint: str = ""
    path: str = ""
    secret: str = ""

    @property
    def at(self) -> str:
        """Where its endpoint is in the API."""
        return f"/v1/partners/{self.id}/endpoints/{self.endpoint}"


@dataclass
class Caller:
    """The API, called with one token."""

    http: ClientSession
    base: str
    token: str = OPERATOR
    cookies: dict[str, str] = field(default_factory=dict)

    def of(self, token: str) -> Caller:
        """The same API, called by somebody else."""
        return Caller(self.http, self.base, token)

    async def raw(self, method: str, path: str, json: object = None, **more: Any) -> tuple[int, str]:
        """The status and the text of an answer, whatever they are."""
        headers = {"Authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        options = more if json is None else {"json": json, **more}
        async with self.http.request(method, self.base + path, headers=headers, **options) as answer:
            return answer.status, await answer.text()

    async def ask(self, method: str, path: str, json: object = None, *, expect: int = 200, **more: Any) -> Any:
        """The JSON of an answer; fails the test on any other status."""
        headers = {"Authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        options = more if json is None else {"json": json, **more}
        async with self.http.request(method, self.base + path, headers=headers, **options) as answer:
            text = await answer.text()
            assert answer.status == expect, f"{method} {path}: {answer.status} {text}"
            return await answer.json(content_type=None) if text else None

    async def all(self, path: str) -> list[Any]:
        """A whole list, page by page."""
        found: list[Any] = []
        after = ""
        while True:
            sign = "&" if "?" in path else "?"
            page = await self.ask("GET", f"{path}{sign}limit=500{after}")
            found += page["data"]
            if page["next"] is None or not page["data"]:
                return found
            after = f"&after={page['next']}"

    async def post(self, event: dict[str, Any], expect: int = 202) -> Any:
        """One event."""
        return await self.ask("POST", "/v1/events", event, expect=expect)

    async def post_until_acknowledged(self, event: dict[str, Any]) -> None:
        """As a producer does it: sends one event until it is answered 202 or 200, for as long as it takes."""
        while True:
            try:
                status, text = await self.raw("POST", "/v1/events", event)
            except (ClientConnectionError, OSError, TimeoutError):
                status, text = 503, ""
            if status in (200, 202):
                return
            assert status == 503, f"{event['id']}: {status} {text}"
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def register(self, name: str, hooks: Partner | None = None, *, path: str = "", **more: Any) -> Member:
        """Registers a partner, its token, one admin agent and, with `hooks`, an endpoint of its own there,
        whose every request is verified."""
        locale = more.pop("locale", "en")
        agents = more.pop("admin_agents", [{"email": f"agent@{name.lower()}.example", "name": "The Agent"}])
        await self.ask(
            "PUT",
            f"/v1/partners/{name}",
            {"name": name.title(), "locale": locale, "admin_agents": agents},
            expect=201,
        )
        made = await self.ask("POST", f"/v1/partners/{name}/tokens", expect=201)
        member = Member(name, self.of(made["token"]))
        if hooks is not None:
            await self.listen(member, hooks, path or f"/{name}-{secrets.token_hex(4)}", **more)
        return member

    async def listen(self, member: Member, hooks: Partner, path: str, **more: Any) -> None:
        """Registers an endpoint for a partner."""
        made = await member.caller.ask(
            "POST", f"/v1/partners/{member.id}/endpoints", {"url": hooks.url(path), **more}, expect=201
        )
        member.endpoint, member.path, member.secret = made["id"], path, made["secret"]
        hooks.expect(made["secret"], path)

    async def planned(self, transfer: str) -> Any:
        """The operator's view of a transfer, once all its events are planned."""

        async def look() -> Any:
            found = await self.ask("GET", f"/v1/transfers/{transfer}")
            return found if all(e["told"] or e["skipped"] for e in found["timeline"]) else None

        return await eventually(look, f"{transfer} is planned")

    async def settled(self, transfer: str) -> list[Any]:
        """All deliveries of a transfer, once it is planned and none is pending."""
        seen = await self.planned(transfer)
        # A plan is written before its deliveries are: for a moment there are fewer than it names.
        owed = {one["delivery"] for entry in seen["timeline"] for one in entry["told"]}

        async def look() -> list[Any] | None:
            found = await self.all(f"/v1/transfers/{transfer}/deliveries")
            there = owed <= {d["id"] for d in found}
            return found if there and all(d["status"] != "pending" for d in found) else None

        return await eventually(look, f"{transfer} is told")
