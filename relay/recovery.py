"""How is something sent again, or released, or told afterwards?

Resend, replay and enable open the same deliveries in the same queues: they keep id, body and order, and
go the way of every first try. All of it is safe to repeat and to interrupt. `registered` tells a party
that registers late what was kept for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec.structs import replace

from relay.breaker import CLOSED, ramping
from relay.lifecycle import FINAL
from relay.model import Audience, Channel, Endpoint, EndpointState
from relay.ping import ping
from relay.services import Services
from relay.store.hints import Hint
from relay.store.ledger import Line
from relay.store.queues import channel_of, recipient_of
from relay.store.replays import Replay
from relay.store.stored import Activity

_CHUNK = 1_000


async def resend(services: Services, delivery_id: str, now_ms: int) -> str:
    """Open one delivery again: 'reopened', 'pending' (it is due now anyway), 'gone' (what it carried is
    no longer kept) or 'absent'."""
    ((word, due),) = await services.store.queues.reopen([delivery_id], now_ms)
    _owe(services, delivery_id, int(word == "reopened"))
    await _wake(services, recipient_of(delivery_id), due)
    return word


async def enable(services: Services, endpoint: Endpoint, now_ms: int) -> None:
    """Enable an endpoint and release what was held back, in order, from one request at a time on. After
    failures that the partner was told of, the first success says that the endpoint works again."""
    queues = services.store.queues
    await services.store.registry.change_endpoint(
        endpoint.partner, endpoint.id, lambda current: current.enabled(now_ms)
    )
    health = await queues.state(endpoint.id)
    begin = ramping(now_ms) if health.holds else CLOSED
    due = await queues.hold(endpoint.id, held=False, now_ms=now_ms, breaker=begin)
    await _wake(services, endpoint.id, due)
    told_later = due is not None and health.incident_ms is not None
    if endpoint.state is EndpointState.DISABLED and not told_later:
        await note(services, endpoint, "endpoint.recovered", "Enabled again.", now_ms)


async def try_now(services: Services, endpoint: Endpoint, now_ms: int) -> None:
    """Something speaks for the endpoint, a test that it answered or a new URL: a breaker that is open need
    not wait for its next probe."""
    if endpoint.state is EndpointState.DISABLED:
        return
    if (await services.store.queues.state(endpoint.id)).breaker.is_open:
        await enable(services, endpoint, now_ms)


async def disable(services: Services, endpoint: Endpoint, now_ms: int) -> None:
    """Stop sending to an endpoint because somebody asked; its deliveries wait."""
    await services.store.registry.change_endpoint(
        endpoint.partner, endpoint.id, lambda current: current.disabled("requested", now_ms)
    )
    await services.store.queues.hold(endpoint.id, held=True, now_ms=now_ms)
    await note(services, endpoint, "endpoint.disabled", "Disabled on request.", now_ms)


async def note(services: Services, endpoint: Endpoint, type: str, text: str, now_ms: int) -> None:
    """One line about an endpoint in its partner's activity log."""
    record_id = f"{type}-{endpoint.id}-{now_ms}"
    record = Activity(id=record_id, type=type, at_ms=now_ms, endpoint=endpoint.id, note=text)
    await services.store.ledger.append([Line(endpoint.partner.casefold(), record_id, record, "", "", 0)])


async def replay(
    services: Services,
    endpoint: Endpoint,
    since_ms: int,
    until_ms: int,
    event_types: Sequence[str] | None,
    now_ms: int,
) -> Replay:
    """Have every delivery of the endpoint opened again that was planned in [since, until), those never tried
    and those canceled included. A worker carries it out; asked for again meanwhile, it is the same replay."""
    asked = f"{endpoint.id} {since_ms} {until_ms} {sorted(event_types or ())}"
    replay_id = f"rpl_{hashlib.blake2b(asked.encode(), digest_size=10).hexdigest()}"
    replays = services.store.replays
    known = await replays.get(endpoint.id, replay_id)
    if known is not None and not known.done:
        await replays.hasten(known, now_ms)
        return known
    made = Replay(
        id=replay_id,
        endpoint=endpoint.id,
        since_ms=since_ms,
        until_ms=until_ms,
        event_types=None if event_types is None else tuple(event_types),
        count=0,
        created_at_ms=now_ms,
    )
    made = replace(made, count=await replays.count(made, _CHUNK))
    await replays.begin(made, now_ms)
    return made


async def registered(services: Services, partner: str) -> None:
    """A partner has registered, or has an endpoint: what was kept for it is told, unless the transfer has
    ended. Registering comes before the first endpoint, so webhooks are told by themselves."""
    store = services.store
    waiting = await store.ledger.waiting(partner)
    if not waiting:
        return
    has_endpoint = bool(await store.registry.list_endpoints(partner))
    over: list[str] = []
    for member in waiting:
        sequence, audience, key = member.split("|", 2)
        (held,) = await store.transfers.held([key])
        if held is None or held.status in FINAL:
            over.append(member)
            continue
        await store.transfers.retell(key, int(sequence), Audience(audience))
        if has_endpoint:
            await store.transfers.retell(key, int(sequence), Audience(audience), Channel.WEBHOOK)
        await store.hints.make_due(Hint.PLAN, [(key, services.clock())])
    await store.ledger.no_longer_waiting(partner, over)
    if len(over) < len(waiting):
        services.nudge_fan_out()


def _owe(services: Services, recipient: str, by: int) -> None:
    services.store.counters.owe(channel_of(recipient.removeprefix("dlv_")).value, by)


async def _wake(services: Services, recipient: str, due_ms: int | None) -> None:
    if due_ms is not None:
        hint = Hint(channel_of(recipient).value)
        await services.store.hints.make_due(hint, [(recipient, due_ms)])
        services.nudge_deliver()


__all__ = ["disable", "enable", "note", "ping", "registered", "replay", "resend"]
