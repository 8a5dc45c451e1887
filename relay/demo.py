"""What is there to watch in `relay up --demo`?

Two partners of each kind, registered over the public API as anybody would, with endpoints that verify
signatures, and every life of the packaged samples, played as if it happened now. A second start finds
its partners and endpoints again and plays new transfers.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, Final

import aiohttp
import orjson

from relay.demo_partner import Receiver
from relay.errors import RelayError
from relay.supervise import Say

DESCRIPTION: Final = "The receiver of relay up --demo"
PAUSE_S: Final = 1.5
_LAST_S: Final = timedelta(seconds=5)  # how long the transfer that expires has left when it is told of

_Person = tuple[str, str, str]
PARTNERS: Final[dict[str, tuple[str, str, tuple[_Person, ...]]]] = {
    "kaiyo-cloud": (
        "海洋クラウド株式会社",
        "ja",
        (
            ("kenji@kaiyo-cloud.example", "青木 健二", "ja"),
            ("maria@kaiyo-cloud.example", "Maria Silva", "en"),
        ),
    ),
    "fabrikam": (
        "Fabrikam Distribution Ltd.",
        "en",
        (
            ("aoi.tanaka@fabrikam.example", "田中 葵", "ja"),
            ("sam@fabrikam.example", "Sam Lee", "en"),
        ),
    ),
    "OP0012345678": ("つばめIoT", "ja", (("unyo@tsubame.example", "運用 担当", "ja"),)),
    "OP0099999999": ("Northwind Sensors KK", "en", (("admin@northwind.example", "Robin Sato", "en"),)),
}
"""Id to name, language and admin agents (address, name, language)."""


class DemoError(RelayError):
    """The relay refused what the demonstration asked."""


class Demo:
    """The demonstration over a running relay; its partners listen already, at `receiver`."""

    def __init__(self, url: str, token: str, receiver: Receiver, say: Say, *, pause_s: float = PAUSE_S) -> None:
        self._url = url
        self._token = token
        self._receiver = receiver
        self._say = say
        self._pause_s = pause_s

    async def run(self) -> None:
        """Register and play."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            api = _Api(self._url, session)
            for id_ in PARTNERS:
                self._receiver.trust(id_, await _registered(api, id_, self._receiver.url(id_)))
            self._say("demo", f"{len(PARTNERS)} partners listen; {len(lives())} transfers are played")
            for name, life in lives().items():
                await self._play(api, name, life)
            await self._show_where(api)

    async def _play(self, api: _Api, name: str, life: list[dict[str, Any]]) -> None:
        self._say("demo", f"— {name.replace('-', ' ')} —")
        played = Play.begin(life, datetime.now(UTC), secrets.token_hex(3))
        for event in life:
            said = await api.ask("POST", "/v1/events", played.now(event, datetime.now(UTC)))
            self._say("demo", f"posted {event['type']}: {said['status']}")
            await asyncio.sleep(self._pause_s)

    async def _show_where(self, api: _Api) -> None:
        self._say("demo", "every life was played. Now look:")
        for id_ in PARTNERS:
            link = await api.ask("POST", f"/v1/partners/{id_}/portal-links", {"expires_in_seconds": 86_400})
            self._say("demo", f"  {id_:<13} {link['url']}")
        self._say("demo", f"  {'every e-mail':<13} {self._url}/mailbox")


@dataclass(frozen=True, slots=True)
class Play:
    """A life as if it happened now: its own ids, and times that fit."""

    mark: str
    transfer: str
    created_at: datetime
    expires_at: datetime

    @classmethod
    def begin(cls, life: list[dict[str, Any]], now: datetime, mark: str) -> Play:
        """A new transfer; one that will expire was made 30 days ago. `mark` makes the ids new."""
        days = timedelta(days=30)
        expires = life[-1]["type"] == "transfer.expired"
        created = now - days + _LAST_S if expires else now
        return cls(mark, f"{life[0]['transfer']['id'][:56]}-{mark}", created, created + days)

    def now(self, event: dict[str, Any], now: datetime) -> dict[str, Any]:
        """The event as it is posted."""
        transfer = {**event["transfer"], "id": self.transfer, "created_at": _text(self.created_at)}
        if "expires_at" in transfer:
            transfer["expires_at"] = _text(self.expires_at)
        if transfer.get("effective_on"):
            transfer["effective_on"] = now.date().isoformat()
        return {**event, "id": f"{event['id']}-{self.mark}", "occurred_at": _text(now), "transfer": transfer}


def lives() -> dict[str, list[dict[str, Any]]]:
    """The packaged samples: name to the events of one transfer, in order."""
    folder = resources.files("relay").joinpath("_samples")
    names = [one.name.removesuffix(".json") for one in folder.iterdir() if one.name.endswith(".json")]
    # Subscriptions first, and of each kind the life that goes well first.
    names.sort(key=lambda name: (not name.startswith("subscription"), not name.endswith("-completed"), name))
    return {name: orjson.loads(folder.joinpath(f"{name}.json").read_bytes()) for name in names}


async def _registered(api: _Api, id_: str, url: str) -> str:
    """Make sure of a partner and its endpoint at `url`; the endpoint's secret."""
    name, locale, people = PARTNERS[id_]
    agents = [{"email": email, "name": person, "locale": own} for email, person, own in people]
    await api.ask("PUT", f"/v1/partners/{id_}", {"name": name, "locale": locale, "admin_agents": agents})
    endpoints = f"/v1/partners/{id_}/endpoints"
    listed = await api.ask("GET", f"{endpoints}?limit=500")
    for endpoint in listed["data"]:
        if endpoint["description"] == DESCRIPTION:
            await api.ask("PATCH", f"{endpoints}/{endpoint['id']}", {"url": url, "state": "enabled"})
            said = await api.ask("GET", f"{endpoints}/{endpoint['id']}/secret")
            return str(said["secret"])
    made = await api.ask("POST", endpoints, {"url": url, "description": DESCRIPTION})
    return str(made["secret"])


class _Api:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of the answer. Raises DemoError on a refusal; waits while the relay is away."""
        while True:
            try:
                async with self._session.request(method, self._url + path, json=body) as answer:
                    said = await answer.json(content_type=None)
                    status = answer.status
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(1)
                continue
            if status < 400:
                return said
            if status not in (429, 503):
                raise DemoError(f"{method} {path}: {status} {said}")
            await asyncio.sleep(1)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
