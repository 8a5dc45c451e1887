"""What of a delivery, and of an address that nothing is mailed to, may a caller see?"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from relay.auth import Caller
from relay.closed import Audience, SuppressionReason
from relay.readers import Suppression
from relay.services import Services
from relay.store.records import DeliveryRecord


def is_visible(caller: Caller, record: DeliveryRecord) -> bool:
    """Whether this caller may see the delivery."""
    if caller.is_operator:
        return True
    to = record.delivery.recipient
    return to.audience is not Audience.CUSTOMER and (to.partner or "").casefold() == caller.id


def spelled(partner: str | None, names: Mapping[str, str]) -> str | None:
    """A partner's id as it was first given, where it is known (`Registry.spellings`)."""
    return None if partner is None else names.get(partner.casefold(), partner)


async def as_seen(services: Services, caller: Caller, one: Suppression) -> Suppression:
    """Why nothing is mailed to an address, as this caller may know it. Several partners may name one address, a
    competitor's too: what was said of another's mail is not told, nor which mail it was, nor what the operator noted."""
    if caller.is_operator or (one.delivery is None and one.reason is not SuppressionReason.MANUAL):
        return one
    record = None if one.delivery is None else await services.store.queues.delivery(one.delivery)
    if record is not None and is_visible(caller, record):
        return one
    return replace(one, delivery=None, detail="")
