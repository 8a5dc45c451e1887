"""What came back of the mails, and what came of it?

A mail server, or whoever reads the bounce mailbox, hands in each message as it is; so does `relay bounce`.
"""

from __future__ import annotations

from aiohttp import web

from relay.api.bodies import read_raw, refuse_encoded
from relay.api.paging import Query
from relay.api.problems import Fault, Problem, invalid
from relay.api.route import Call, answer
from relay.api.shapes import Shape
from relay.bounced import bounces_of
from relay.mail.report import MOST_BYTES
from relay.returned import REFUSED, Mailbox, Returned
from relay.services import return_path

_WHY = {
    Returned.NO_REPORT: "this is no delivery status notification and no complaint; a person may have written it",
    Returned.UNTRACEABLE: "no return path of this relay's is in it; hand in the whole message, and give `recipient`, "
    "the address that it came to, where its headers do not have it",
    Returned.FORGED: "the return path in it was not signed by this relay",
    Returned.EXPIRED: "it came longer after the mail than reports are taken (bounces.return_seconds)",
    Returned.UNKNOWN_DELIVERY: "the delivery that it is about is no longer kept",
}


class ReturnedShape(Shape):
    """What came of a message, and of which delivery it was; `status` is the enhanced status (RFC 3463) it gave."""

    outcome: Returned
    delivery: str | None
    status: str | None


async def take(call: Call) -> web.Response:
    """Take a raw message that came to the bounce mailbox."""
    query = Query(call.request)
    recipient = query.text("recipient", most=320) or ""
    query.check()
    services = call.services
    path = await return_path(services)
    if path is None:
        raise Problem(409, "There is no bounce mailbox: set bounces.return_address.")
    refuse_encoded(call.request)
    raw = await read_raw(call.request)
    if len(raw) > MOST_BYTES:
        raise Problem(413, f"A report is at most {MOST_BYTES} bytes; have the mail server return the headers alone.")
    bounces, recorder = bounces_of(services)
    taken = await Mailbox(services.store, bounces, path, recorder).take(raw, recipient, call.now_ms)
    if taken.outcome in REFUSED:
        raise invalid([Fault("", _WHY[taken.outcome])])
    return answer(ReturnedShape(outcome=taken.outcome, delivery=taken.delivery, status=taken.status or None))
