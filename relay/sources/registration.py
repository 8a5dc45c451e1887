"""Does Partner Center call us, and only us?

A tenant has one registration: one URL and one list of events for everybody in that company, so that a tool
that saves its own replaces ours without a word. It is looked at now and then; what is not as it should be is
told, and, where the operator wants it, put back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from relay.config_sources import PartnerCenter, Tenant
from relay.errors import RelayError
from relay.sources.callback import SAYS
from relay.sources.partner_api import PartnerApi, Upstream, source_of
from relay.sources.partner_center import CALLBACK
from relay.sources.trouble import Health
from relay.store import Store
from relay.store.sources import Task, Trouble

WATCH: Final = "w:registration"
"""The task of looking at the registration, again and again."""
TEST: Final = "test-created"


class Taken(RelayError):
    """The registration is somebody else's; replacing it cuts them off."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The registration as Partner Center has it; `problem` says what is wrong with it."""

    url: str
    events: tuple[str, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class Condition:
    """How a source is: how many callbacks (of a façade, calls) are not worked on yet, what is wrong, how the newest
    callbacks ended."""

    source: str
    callback_url: str
    waiting: int
    tested_at: str | None
    troubles: tuple[Trouble, ...]
    past: tuple[bytes, ...]


class Registrar:
    """The registration of one tenant. Raises Upstream, StoreError."""

    def __init__(
        self,
        tenant: Tenant,
        settings: PartnerCenter,
        base_url: str,
        api: PartnerApi,
        store: Store,
        health: Health,
        clock: Callable[[], int],
    ) -> None:
        self.url = f"{base_url}/v1/sources/partner-center/{tenant.name}"
        self._settings = settings
        self._api = api
        self._store = store
        self._health = health
        self._clock = clock
        self._source = source_of(tenant)

    async def look(self) -> Registered:
        """As it is now."""
        found = await self._api.registration()
        fields = {name.casefold(): one for name, one in found.items()} if isinstance(found, dict) else {}
        url, named = fields.get("webhookurl"), fields.get("webhookevents")
        url = url if isinstance(url, str) else ""
        events = tuple(name for name in named if isinstance(name, str)) if isinstance(named, list) else ()
        return Registered(url, events, self._problem(url, events))

    async def register(self, *, replace: bool) -> Registered:
        """Have Partner Center call us for everything about transfers. Raises Taken when it calls somebody
        else and `replace` does not say that this is meant."""
        now = await self.look()
        if now.url and now.url != self.url and not replace:
            raise Taken(
                f"Partner Center calls {_host(now.url)} for this tenant, and has one URL only: replacing it cuts "
                "them off; say `replace` if that is meant"
            )
        wanted = [name for name in await self._api.event_names() if _is_ours(name)] or list(_KNOWN)
        kept = [name for name in now.events if name not in wanted] if now.url == self.url else []
        await self._api.register(self.url, [*wanted, *kept], replace=bool(now.url))
        done = await self.look()
        await self._say(done)
        return done

    async def test(self) -> str | None:
        """Ask for a validation event; its correlation id."""
        return await self._api.validate()

    async def test_result(self, correlation_id: str) -> Any:
        """How its delivery went, as Partner Center says."""
        return await self._api.validation(correlation_id)

    async def watch(self, task: Task) -> None:
        """Look, say what is wrong, put it back where that is wanted, and look again later."""
        again = round(self._settings.registration_seconds * 1000)
        try:
            found = await self.look()
            if found.problem and self._settings.keep_registered:
                if found.url:  # the first registration is no trouble, one that was overwritten is
                    await self._say(found)
                found = await self.register(replace=True)
            await self._say(found)
            await self._health.right("authorization", "throttled", "unreachable")
        except Upstream as error:
            again = min(again, (error.after_s or 60) * 1000)
            await self._health.wrong(error.kind, error.detail)
        await self._store.sources.settle(self._source, task, again_ms=self._clock() + again)

    async def condition(self) -> Condition:
        """How the source is, by what the relay itself knows."""
        sources = self._store.sources
        tested = await sources.kept(self._source, "tested")
        return Condition(
            source=self._source,
            callback_url=self.url,
            waiting=await sources.waiting(self._source, CALLBACK),
            tested_at=tested.decode() or None,
            troubles=tuple(await sources.troubles(self._source)),
            past=tuple(await sources.past(self._source)),
        )

    async def _say(self, found: Registered) -> None:
        self._health.forget()
        if found.problem:
            await self._health.wrong("registration", found.problem)
        else:
            await self._health.right("registration")

    def _problem(self, url: str, events: tuple[str, ...]) -> str:
        if not url:
            return "nothing is registered; `relay source partner-center register` does it"
        if url != self.url:
            return (
                f"Partner Center calls {_host(url)} instead of {self.url}: somebody has overwritten the one "
                "registration; `relay source partner-center register --replace` puts it back"
            )
        lacking = [name for name in (*_NEEDED, TEST) if name not in events]
        if lacking:
            return f"not registered for {', '.join(lacking)}; `relay source partner-center register` adds them"
        return ""


_KNOWN = (*(f"{verb}-transfer" for verb in SAYS if verb != "cancel"), TEST)
"""What is registered for where Partner Center does not say which events exist."""
_NEEDED = ("create-transfer", "update-transfer", "complete-transfer", "fail-transfer")
"""The names that were seen; how an expiry is named is not known for certain."""


def _is_ours(name: str) -> bool:
    return "transfer" in name.casefold() or name == TEST


def _host(url: str) -> str:
    """Where a URL leads, without its path, in which there may be a secret."""
    return urlsplit(url).hostname or "somewhere else"
