"""What follows from a message that came to the bounce mailbox?

It is believed for the signed return path that it carries, and for nothing else: not for who seems to have sent it,
nor for the addresses in it. The return path names the delivery, and the delivery the address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from relay.bounced import Bounces
from relay.bounces import Report, Severity, severity_of
from relay.closed import SuppressionSource
from relay.mail.report import Kind, Reported, read
from relay.mail.return_path import Refusal, ReturnPath
from relay.record import Recorder
from relay.store import Store

_MOST_TOKENS = 5
_AT_ONCE_BYTES = 32 << 10


class Returned(StrEnum):
    """What came of a message."""

    SUPPRESSED = "suppressed"  # nothing more is mailed to the address
    COUNTED = "counted"  # one failure more, or one that is known
    DELAYED = "delayed"  # somebody still tries to deliver it
    ARRIVED = "arrived"  # it was delivered or passed on
    AUTOMATIC = "automatic"  # an absence note or another machine's answer
    NOT_THE_ADDRESS = "not_the_address"  # it says nothing about the address, but about the message or its sender
    NO_REPORT = "no_report"  # a person's mail, or nothing that is understood
    UNTRACEABLE = "untraceable"  # no return path of ours is in it
    FORGED = "forged"  # the return path in it was not made here
    EXPIRED = "expired"  # it comes too long after the mail
    UNKNOWN_DELIVERY = "unknown_delivery"  # the delivery is no longer kept


REFUSED = frozenset(
    {Returned.NO_REPORT, Returned.UNTRACEABLE, Returned.FORGED, Returned.EXPIRED, Returned.UNKNOWN_DELIVERY}
)
"""What is not believed or not understood."""
_QUIET = {Kind.DELAYED: Returned.DELAYED, Kind.ARRIVED: Returned.ARRIVED, Kind.AUTOMATIC: Returned.AUTOMATIC}


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of it, and of which delivery it was."""

    outcome: Returned
    delivery: str | None = None
    status: str = ""


class Mailbox:
    """The bounce mailbox. Raises what `Bounces` does, and is then to be given the message again."""

    def __init__(self, store: Store, bounces: Bounces, path: ReturnPath, recorder: Recorder) -> None:
        self._store = store
        self._bounces = bounces
        self._path = path
        self._recorder = recorder

    async def take(self, raw: bytes, recipient: str, now_ms: int) -> Taken:
        """Take a raw message; `recipient` is the address it came to, where that is known. Safe to repeat."""
        # A large one is meant to take long, and others wait for nothing but the loop.
        said = await asyncio.to_thread(read, raw) if len(raw) > _AT_ONCE_BYTES else read(raw)
        taken = await self._take(said, recipient, now_ms)
        self._recorder.returned(taken.outcome, taken.delivery)
        return taken

    async def _take(self, said: Reported, recipient: str, now_ms: int) -> Taken:
        if said.kind is Kind.OTHER:
            return Taken(Returned.NO_REPORT)
        found = self._delivery([recipient, *said.places], now_ms)
        if isinstance(found, Returned):
            # An absence note of which nobody knows what it answers is no reason to tell anybody.
            return Taken(_QUIET.get(said.kind, found) if found is Returned.UNTRACEABLE else found)
        if said.kind in _QUIET:
            return Taken(_QUIET[said.kind], found, said.status)
        record = await self._store.queues.delivery(found)
        if record is None or record.delivery.recipient.email is None:
            return Taken(Returned.UNKNOWN_DELIVERY, found)
        severity = Severity.COMPLAINT if said.kind is Kind.COMPLAINT else severity_of(said.status)
        if severity is Severity.NONE:
            return Taken(Returned.NOT_THE_ADDRESS, found, said.status)
        report = Report(
            id=f"{found}:{said.kind}",
            email=record.delivery.recipient.email,
            severity=severity,
            source=SuppressionSource.REPORT,
            status=said.status,
            detail=said.detail,
            delivery=found,
            event=f"{found}:{said.digest}",
        )
        done = await self._bounces.take(report, now_ms, of=record.delivery)
        return Taken(Returned.SUPPRESSED if done else Returned.COUNTED, found, said.status)

    def _delivery(self, places: Sequence[str], now_ms: int) -> str | Returned:
        """The delivery that the first sound return path names; else why there is none."""
        why = Returned.UNTRACEABLE
        for place in places:
            for number, token in enumerate(self._path.find(place)):
                if number == _MOST_TOKENS:
                    break
                named = self._path.read(token, now_ms)
                if not isinstance(named, Refusal):
                    return named
                why = Returned(named.value)
        return why
