"""Is an endpoint still worth sending to, and who is told when it is not?

An endpoint is disabled at once by a 410, and after days of nothing but failures; before that its
partner's admin agents are warned. Disabling holds its deliveries back, it loses none. What happened is
in the partner's activity log; the warnings travel as e-mail deliveries through the same queues.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger
from yarl import URL

from relay.advice import advise, reached_nobody
from relay.mail.notice import EndpointNotice, NoticeType
from relay.model import (
    Attempt,
    Delivery,
    Endpoint,
    EndpointState,
    Partner,
)
from relay.notices import Notice, tell
from relay.store import Store
from relay.store.hints import Hint


@dataclass(frozen=True, slots=True)
class Patience:
    """How long nothing but failures is borne, in milliseconds."""

    warn_after_ms: int
    disable_after_ms: int
    default_locale: str


class Watch:
    """Warns about, disables and announces endpoints."""

    def __init__(self, store: Store, patience: Patience, log: FilteringBoundLogger) -> None:
        self._store = store
        self._patience = patience
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    def hold_soon(self, endpoint: Endpoint) -> asyncio.Task[None]:
        """An endpoint was found disabled while its queue is not held: hold it. The task ends when it is."""
        task = asyncio.get_running_loop().create_task(self._hold(endpoint))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _hold(self, endpoint: Endpoint) -> None:
        store = self._store
        await store.queues.hold(endpoint.id, held=True, now_ms=0)
        now = await store.registry.get_endpoint(endpoint.partner, endpoint.id)
        if now is not None and now.state is EndpointState.ENABLED:
            # It was enabled meanwhile, and its queue released before this held it.
            due = await store.queues.hold(endpoint.id, held=False, now_ms=0)
            if due is not None:
                await store.hints.make_due(Hint.WEBHOOK, [(endpoint.id, due)])

    async def gone(self, delivery: Delivery, last: Attempt, now_ms: int) -> None:
        """The endpoint answered 410: it asks not to be called again (Standard Webhooks 1.0.0)."""
        await self._disable(delivery, "gone", last, now_ms)

    async def failing(self, delivery: Delivery, last: Attempt, since_ms: int, now_ms: int) -> None:
        """Nothing but failures since a time: warn or disable when that has lasted long enough."""
        lasted = now_ms - since_ms
        queues, recipient = self._store.queues, delivery.recipient.id
        if lasted >= self._patience.disable_after_ms:
            await self._disable(delivery, "failing", last, now_ms)
        elif lasted >= self._patience.warn_after_ms and not await queues.was_warned(recipient):
            found = await self._found(delivery)
            if found is not None:
                until = since_ms + self._patience.disable_after_ms
                await self.announce(NoticeType.WARNED, *found, last, since_ms, now_ms, until_ms=until)
                await queues.begin_incident(recipient, since_ms, warned=True)

    async def recovered(self, delivery: Delivery, last: Attempt, since_ms: int, now_ms: int) -> None:
        """The endpoint takes deliveries again, after its partner was told that it did not."""
        found = await self._found(delivery)
        if found is not None:
            await self.announce(NoticeType.RECOVERED, *found, last, since_ms, now_ms)
        await self._store.queues.end_incident(delivery.recipient.id)

    async def _disable(self, delivery: Delivery, reason: str, last: Attempt, now_ms: int) -> None:
        found = await self._found(delivery)
        if found is None or found[1].state is EndpointState.DISABLED:
            return
        partner, endpoint = found
        since_ms = (await self._store.queues.state(endpoint.id)).failing_since_ms or now_ms
        # The mail first: a worker that dies in between finds the endpoint enabled, and does it again.
        await self.announce(NoticeType.DISABLED, partner, endpoint, last, since_ms, now_ms)
        await self._store.queues.begin_incident(endpoint.id, since_ms)
        await self._store.registry.change_endpoint(
            partner.key, endpoint.id, lambda current: current.disabled(reason, now_ms)
        )
        await self._store.queues.hold(endpoint.id, held=True, now_ms=now_ms)

    async def _found(self, delivery: Delivery) -> tuple[Partner, Endpoint] | None:
        partner_key = delivery.recipient.partner or ""
        partner = await self._store.registry.get_partner(partner_key)
        endpoint = await self._store.registry.get_endpoint(partner_key, delivery.recipient.id)
        return None if partner is None or endpoint is None else (partner, endpoint)

    async def announce(
        self,
        type: NoticeType,
        partner: Partner,
        endpoint: Endpoint,
        last: Attempt | None,
        since_ms: int,
        now_ms: int,
        *,
        until_ms: int | None = None,
    ) -> None:
        """Tell the partner what became of its endpoint: a line in its activity log, a mail to its admin
        agents, once for failures that began at `since_ms`."""
        incident = f"{type}-{endpoint.id}-{since_ms}"
        counts = await self._store.queues.counts(endpoint.id)
        shown = EndpointNotice(
            type=type,
            at_ms=now_ms,
            endpoint=endpoint.id,
            host=URL(endpoint.url).host or "",
            partner=partner.name,
            description=endpoint.description,
            first_failure_ms=since_ms,
            outcome=last.outcome if last is not None else None,
            status=last.status if last is not None else None,
            waiting=counts["due"] + counts["again"] + counts["fly"],
            disable_at_ms=until_ms,
        )
        told = Notice(
            type=type,
            incident=incident,
            about=f"notice {endpoint.id}",
            body=shown.body(),
            endpoint=endpoint.id,
            note=None if last is None else advise(last, quiet=reached_nobody(last)),
        )
        await tell(self._store, told, partner, partner.admin_agents, self._patience.default_locale, now_ms)
        say = self._log.info if type is NoticeType.RECOVERED else self._log.warning
        say(type, endpoint=endpoint.id, partner=partner.id)

