"""What is owed to whom, what was tried, and how did it end?

A partner sees what goes to its own endpoints and its own admin agents. E-mail to the customer's people is
the operator's to see; partners are told a count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from aiohttp import web

from relay import corrections, recovery
from relay.api import attempts
from relay.api.bodies import Body, read_body
from relay.api.endpoint_actions import NoBody
from relay.api.endpoints import existing as existing_endpoint
from relay.api.endpoints import maybe_time
from relay.api.paging import TIMED, Listing, Query, listed
from relay.api.problems import Fault, Problem, invalid, not_found
from relay.api.route import Call, answer
from relay.api.shapes import AttemptShape, DeliveryDetailShape, DeliveryShape, SuppressionShape
from relay.api.sight import as_seen, is_visible, spelled
from relay.corrections import may_be_corrected
from relay.formats import written
from relay.model import Channel, DeliveryStatus, EventType, Mailbox
from relay.readers import normalised
from relay.store import Store
from relay.store.records import DeliveryRecord
from relay.times import format_ms

OF_ENDPOINT = Listing("deliveries-of-endpoint", TIMED)
EVERYWHERE = Listing("deliveries", re.compile(TIMED.pattern + r"\|[0-9]{1,16}\|[0-9]{1,16}", re.DOTALL))


async def of_endpoint(call: Call) -> web.Response:
    """An endpoint's deliveries, newest first."""
    query = Query(call.request)
    asked = query.page(OF_ENDPOINT)
    status, type_ = query.choice("status", DeliveryStatus), query.choice("type", EventType)
    query.check()
    endpoint = await existing_endpoint(call)
    page = await call.services.store.queues.of_endpoint(
        endpoint.id, status=status, type=type_, after=asked.after, limit=asked.limit
    )
    return answer(listed(OF_ENDPOINT, page, await all_shown(call.services.store, page.data)))


async def everywhere(call: Call) -> web.Response:
    """Deliveries of the whole installation, newest first."""
    query = Query(call.request)
    asked = query.page(EVERYWHERE)
    status, channel = query.choice("status", DeliveryStatus), query.choice("channel", Channel)
    query.check()
    page = await call.services.store.deliveries(
        status=status, channel=channel, after=asked.after, limit=asked.limit
    )
    return answer(listed(EVERYWHERE, page, await all_shown(call.services.store, page.data)))


async def get(call: Call) -> web.Response:
    """A delivery with every attempt."""
    return answer(await detail(call, await existing(call)))


async def resend(call: Call) -> web.Response:
    """Open the delivery again, with all its tries: 202. Same id, same body, a new signature."""
    await read_body(call.request, NoBody)
    record = await existing(call)
    word = await recovery.resend(call.services, record.delivery.id, call.now_ms)
    if word == "gone":
        raise Problem(410, "What this delivery carried is no longer kept, so it cannot be sent again.")
    if word == "absent":
        raise not_found("delivery")
    return answer(await one_shown(call, await existing(call)), 202)


class CorrectionBody(Body):
    """The right address."""

    email: Mailbox


async def correct(call: Call) -> web.Response:
    """Make the delivery anew for another address: 201. What comes later in the transfer goes there too."""
    body = await read_body(call.request, CorrectionBody)
    record = await existing(call)
    delivery = record.delivery
    if not may_be_corrected(delivery):
        raise Problem(409, "This address is in a partner's list of admin agents, or no address: correct it there.")
    if normalised(body.email) == normalised(delivery.recipient.email or ""):
        raise invalid([Fault("/email", "give another address than the one that was wrong")])
    if (await call.services.book.get(delivery.recipient.email or "")).suppressed is None:
        why = "Mail to its address is not known to come back. Put the address on the suppression list first."
        raise Problem(409, why)
    made = await corrections.correct(call.services.store, delivery, body.email, call.now_ms)
    call.services.nudge_deliver()
    known = await call.services.store.queues.delivery(made.id)
    if known is None:
        raise not_found("delivery")
    return answer(await one_shown(call, known), 201)


async def existing(call: Call) -> DeliveryRecord:
    """The delivery in the path; 404 when there is none that this caller may see."""
    record = await call.services.store.queues.delivery(call.part("delivery"))
    if record is None or not is_visible(call.caller, record):
        raise not_found("delivery")
    return record


async def one_shown(call: Call, record: DeliveryRecord) -> DeliveryShape:
    """A delivery as lists show it."""
    (shape,) = await all_shown(call.services.store, [record])
    return shape


async def all_shown(store: Store, records: Sequence[DeliveryRecord]) -> list[DeliveryShape]:
    """Deliveries as lists show them."""
    names = await store.registry.spellings(record.delivery.recipient.partner for record in records)
    return [_shown(record, names) for record in records]


def _shown(record: DeliveryRecord, names: Mapping[str, str]) -> DeliveryShape:
    delivery, to = record.delivery, record.delivery.recipient
    return DeliveryShape(
        id=delivery.id,
        event_id=delivery.event_id,
        type=delivery.type,
        transfer=delivery.transfer,
        sequence=delivery.sequence,
        channel=to.channel,
        audience=to.audience,
        partner=spelled(to.partner, names),
        endpoint=to.endpoint,
        email=to.email,
        status=record.status,
        held=record.held,
        attempt_count=len(record.attempts),
        last_outcome=record.attempts[-1].outcome if record.attempts else None,
        created_at=format_ms(delivery.created_at_ms),
        next_attempt_at=maybe_time(record.next_attempt_at_ms),
        settled_at=maybe_time(record.settled_at_ms),
        reason=None if record.reason is None else str(record.reason),
        kept=record.kept,
    )


async def detail(call: Call, record: DeliveryRecord) -> DeliveryDetailShape:
    """A delivery with its attempts, and what was sent in them.

    A webhook's body is shown as it was signed. An e-mail's is not: it may hold an acceptance link.
    """
    delivery, to = record.delivery, record.delivery.recipient
    body = url = None
    method = "SMTP"
    if to.channel is Channel.WEBHOOK:
        method = "POST"
        raw = await call.services.store.transfers.body(delivery.transfer_key, delivery.sequence, to.audience)
        body = None if raw is None else written(to, delivery.event_id, raw).decode()
        if to.partner is not None and to.endpoint is not None:
            endpoint = await call.services.store.registry.get_endpoint(to.partner, to.endpoint)
            url = None if endpoint is None else endpoint.url
    tries: list[AttemptShape] = [
        attempts.shown(one, for_operator=call.caller.is_operator, method=method, url=url, body=body)
        for one in record.attempts
    ]
    why = None if to.email is None else (await call.services.book.get(to.email)).suppressed
    return DeliveryDetailShape(
        **(await one_shown(call, record)).model_dump(),
        attempts=tries,
        suppression=None if why is None else SuppressionShape.of(to.email, await as_seen(call.services, call.caller, why)),
    )
