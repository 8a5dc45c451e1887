"""What are these deliveries to carry, and what is known of whom they are for?

It came with them where all data is on one server and nothing else is wanted; or it is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.address_book import AddressBook
from relay.engine.tools import Tools
from relay.plan import Registered
from relay.preferences import slot_of
from relay.readers import Reader
from relay.store.passes import Advanced, Taken


@dataclass(frozen=True, slots=True)
class Known:
    """Of deliveries to one recipient: what the partners registered, by slot, each one's body (None where it is no longer
    kept) and sealed link, and how things stand with the mailbox."""

    registered: Mapping[str, Registered]
    bodies: Sequence[tuple[bytes | None, bytes | None]]
    reader: Reader | None = None


def known_already(tools: Tools, step: Advanced) -> Known | None:
    """What came with the deliveries that a step took; None where something is to be asked for."""
    if not tools.told or any(one.body is None for one in step.taken):
        return None
    slot = slot_of(step.taken[0].delivery.recipient)
    registered = tools.registrations.at(slot, step.version)
    return None if registered is None else Known({slot: registered}, [(one.body or None, None) for one in step.taken])


async def asked(tools: Tools, taken: Sequence[Taken]) -> Known:
    """The same, asked for: none of it older than this call."""
    bodies = tools.store.transfers.asked_bodies(
        [(t.delivery.transfer_key, t.delivery.sequence, t.delivery.recipient.audience) for t in taken]
    )
    mailbox: asyncio.Future[list[list[bytes | None]]] | None = None
    try:
        if tools.book is not None:
            # A pass is of one recipient: all its deliveries are for one mailbox.
            mailbox = await tools.book.asked([taken[0].delivery.recipient.email or ""])
        registered = await tools.registrations.fresh({slot_of(t.delivery.recipient) for t in taken})
        known = Known(registered, await bodies, None if mailbox is None else AddressBook.read((await mailbox)[0]))
    finally:
        bodies.cancel()
        if mailbox is not None:
            mailbox.cancel()
    if tools.follow is not None and known.reader is not None and known.reader.suppressed is not None:
        # Before they are canceled: a pass that dies in between does it again.
        await tools.follow([one.delivery for one in taken], tools.clock())
    return known
