"""What does every pass of one channel share?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from relay.address_book import AddressBook
from relay.breaker import BreakerRules
from relay.engine.channels import Sender, unsendable
from relay.engine.registered import Registrations
from relay.engine.watch import Watch
from relay.engine.windows import Windows
from relay.gate import Gate
from relay.model import Attempt, Channel, Delivery, Outcome
from relay.record import Recorder
from relay.retry import Again, Decision, Schedule, Settled
from relay.store import Store
from relay.store.passes import FORGET, Mark, Result, Taken
from relay.store.stored import dump


@dataclass(frozen=True, slots=True)
class Tools:
    """What every pass of one channel shares."""

    store: Store
    registrations: Registrations
    sender: Sender
    schedule: Schedule
    recorder: Recorder
    watch: Watch
    clock: Callable[[], int]
    gate: Gate
    windows: Windows
    lease_ms: int
    breaker: BreakerRules | None = None
    book: AddressBook | None = None
    follow: Callable[[Sequence[Delivery], int], Awaitable[None]] | None = None

    @property
    def told(self) -> bool:
        """Whether the database tells a delivery's body with the delivery: on one server only, and only what is sent as it
        is. A mail needs more."""
        return self.store.client.joint and self.sender.channel is Channel.WEBHOOK

    @property
    def forget(self) -> str:
        """What a settled delivery's result says of a stored message: only e-mail stores one."""
        return FORGET if self.sender.channel is Channel.EMAIL else ""

    def failed(self, one: Taken, number: int, now_ms: int) -> Attempt:
        """Our own fault, while its exception is handled. It costs the delivery an attempt and not the pass, so that what
        fails each time ends as exhausted instead of coming round for ever."""
        self.recorder.failed(one.delivery)
        attempt = unsendable(number, now_ms, "The relay failed while sending; the operator is told.")
        return replace(attempt, outcome=Outcome.CONNECTION_LOST)

    def result(self, one: Taken, attempt: Attempt, decision: Decision) -> Result:
        """What is recorded of an attempt, by what follows from it."""
        match decision:
            case Settled(delivered=True):
                return Result(one, Mark.DELIVERED, attempt=dump(attempt), sealed=self.forget)
            case Settled():
                return Result(one, Mark.EXHAUSTED, reason=decision.reason, attempt=dump(attempt), sealed=self.forget)
            case Again(spent=False):
                return Result(one, Mark.BACK, decision.at_ms)
            case Again():
                return Result(one, Mark.PROBED if one.early else Mark.AGAIN, decision.at_ms, attempt=dump(attempt))
