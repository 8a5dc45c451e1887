"""How does what a person wants once a day go out in one mail?

One pass over the queue of one person's daily mail, under the same lease as every pass: take all that is due, put what
is for a later hour back until then, and carry the rest in as few mails as hold it. The bytes of a mail are kept with
its first delivery, and with each of the others which that is, before it is sent: whoever comes after a crash or a
failure sends the same bytes with the same deliveries, and nothing else with them. What came of the one SMTP transaction
is an attempt of each delivery, recorded in one step.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from relay.bundles import Bundled, Ticket, bundle
from relay.engine.channels import EmailChannel, Letter, unsendable
from relay.engine.tools import Tools
from relay.errors import MessageError, StoreError, VaultError
from relay.mail.daily import MOST
from relay.model import Attempt, CancelReason, Delivery
from relay.plan import Registered, still_wanted
from relay.preferences import chosen, slot_of
from relay.retry import Again, decide
from relay.store.passes import FORGET, Advanced, Mark, Result, Taken

_AT_A_TIME = 500
_TAKEN = 5_000
"""As many deliveries to one person does a pass hold: the retry of a mail finds all of its deliveries again."""


class _Lost(Exception):
    """Another pass has the queue: this one records nothing more."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A delivery in this pass's hands, the mail that it was to go by, and the body that it is to carry."""

    taken: Taken
    ticket: Ticket | None
    letter: bytes
    body: bytes | None
    unwanted: CancelReason | None


class DailyDrain:
    """One pass. `stopping` makes it finish the mail that is under way and begin no more."""

    def __init__(self, tools: Tools, channel: EmailChannel, hour: int, recipient: str, token: str) -> None:
        self._tools = tools
        self._channel = channel
        self._hour = hour
        self._recipient = recipient
        self._token = token
        self._held: dict[str, _Held] = {}
        self._timezone: str | None = None
        self._lease_until_ms = 0
        self._last = Advanced()
        self.stopping = False
        self.given_back = False

    async def run(self) -> int | None:
        """Send what may go; when the queue is due again, None for not before somebody says so."""
        try:
            step = await self._advance(want=0 if self.stopping else _AT_A_TIME)
            taken = step.taken
            if not taken:
                return step.next_due_ms
            while len(step.taken) == _AT_A_TIME and len(taken) < _TAKEN:
                step = await self._advance(want=_AT_A_TIME, busy=len(taken))
                taken += step.taken
            await self._carry(taken)
            return self._last.next_due_ms
        except _Lost:
            return self._last.lease_until_ms or self._tools.clock() + self._tools.lease_ms

    def look_again(self) -> None:
        """Nothing: a pass takes what is due once, and the queue says when it is due again."""

    def renew(self) -> None:
        """Nothing: while a mail is on the wire, the lease is renewed by whoever waits for it."""

    async def _advance(self, *, want: int, results: Sequence[Result] = (), busy: int | None = None) -> Advanced:
        tools, now = self._tools, self._tools.clock()
        step = await tools.store.queues.advance(
            self._recipient,
            token=self._token,
            now_ms=now,
            lease_ms=tools.lease_ms,
            want=want,
            in_flight=len(self._held) if busy is None else busy,
            results=results,
        )
        self._last, self._lease_until_ms = step, now + tools.lease_ms
        if step.lost or step.lease_until_ms is not None:
            raise _Lost
        return step

    async def _carry(self, taken: Sequence[Taken]) -> None:
        """Settle, put back or send each of these."""
        known = await self._look(taken)
        sorted_out = self._sorted_out(known)
        fresh = {one for carried in sorted_out.fresh for one in carried}
        begun = {one for carried in sorted_out.begun.values() for one in carried}
        results = {
            one: self._without_sending(held, sorted_out.later.get(one), fresh=one in fresh)
            for one, held in self._held.items()
            if one not in begun and (one not in fresh or held.body is None)
        }
        if results:
            await self._record(list(results), list(results.values()))
        self._timezone = chosen(known.preferences, taken[0].delivery.recipient.email).timezone
        for lead, carried in sorted_out.begun.items():
            await self._send(lead, carried, self._held[lead].letter)
        for carried in sorted_out.fresh:
            await self._send_new([one for one in carried if one in self._held])

    async def _look(self, taken: Sequence[Taken]) -> Registered:
        """What each of these is to carry and whether it is still wanted; the choices of the person's slot."""
        tools, to = self._tools, taken[0].delivery.recipient
        asked = tools.store.transfers.asked_bodies(
            [(t.delivery.transfer_key, t.delivery.sequence, t.delivery.recipient.audience) for t in taken]
        )
        try:
            registered = await tools.registrations.fresh([slot_of(to)])
            reader = None if tools.book is None else await tools.book.get(to.email or "")
            bodies = await asked
        finally:
            asked.cancel()
        if tools.follow is not None and reader is not None and reader.suppressed is not None:
            await tools.follow([one.delivery for one in taken], tools.clock())
        known = registered.get(slot_of(to), Registered(None, {}))
        for one, (body, _) in zip(taken, bodies, strict=True):
            ticket, letter = self._channel.ticket(one) or (None, b"")
            self._held[one.delivery.id] = _Held(one, ticket, letter, body, still_wanted(one.delivery, known, reader))
        return known

    def _sorted_out(self, known: Registered) -> Bundled:
        held = list(self._held.values())
        # A mail that was begun goes as it is while any of what it carries is wanted.
        kept = {one.ticket.lead for one in held if one.ticket is not None and one.unwanted is None} & self._held.keys()
        waiting: list[tuple[Delivery, Ticket | None]] = [
            (one.taken.delivery, one.ticket)
            for one in held
            if one.unwanted is None or (one.ticket is not None and one.ticket.lead in kept)
        ]
        return bundle(
            waiting,
            known.preferences,
            now_ms=self._tools.clock(),
            hour=self._hour,
            zone=self._channel.zone_of(held[0].taken.delivery.recipient),
            most=MOST,
        )

    def _without_sending(self, one: _Held, later_ms: int | None, *, fresh: bool) -> Result:
        """What becomes of a delivery that no mail carries now."""
        delivery = one.taken.delivery
        if later_ms is not None:
            return Result(one.taken, Mark.BACK, later_ms)
        if one.unwanted is not None and not fresh:
            self._tools.recorder.settled(delivery, "canceled", reason=one.unwanted.value)
            return Result(one.taken, Mark.CANCELED, reason=one.unwanted.value, sealed=FORGET)
        attempt = unsendable(one.taken.attempts + 1, self._tools.clock(), "Its body is no longer kept.")
        return self._concluded(one.taken, attempt)

    async def _send_new(self, carried: Sequence[str]) -> None:
        """Make a mail of these and send it; where that cannot be made, of half of them each, so that one that
        cannot be shown, or is too long, keeps no other from its reader."""
        if not carried:
            return
        if self.stopping:
            await self._record(carried, [Result(self._held[one].taken, Mark.BACK) for one in carried])
            return
        held = [self._held[one] for one in carried]
        now = self._tools.clock()
        try:
            letter = await self._channel.daily_letter(
                [one.taken.delivery for one in held], [one.body or b"" for one in held], now, self._timezone
            )
        except StoreError:
            raise
        except Exception as error:
            if len(carried) > 1:
                middle = len(carried) // 2
                await self._send_new(carried[:middle])
                await self._send_new(carried[middle:])
                return
            await self._record(carried, [self._concluded(held[0].taken, self._unmade(held[0].taken, error, now))])
            return
        ticket, kept = Ticket(carried[0], len(carried)), letter.to_bytes()
        marks = [
            Result(one.taken, Mark.KEEP, sealed=self._channel.sealed(name, ticket.to_bytes(kept if not at else b"")))
            for at, (name, one) in enumerate(zip(carried, held, strict=True))
        ]
        await self._advance(want=0, results=marks)
        await self._send(carried[0], carried, kept)

    def _unmade(self, taken: Taken, error: Exception, now_ms: int) -> Attempt:
        """The attempt of a mail that could not be made."""
        if isinstance(error, (MessageError, VaultError)):
            return unsendable(taken.attempts + 1, now_ms, f"The message cannot be built: {error}")
        return self._tools.failed(taken, taken.attempts + 1, now_ms)

    async def _send(self, lead: str, carried: Sequence[str], kept: bytes) -> None:
        """One SMTP transaction, and what came of it for each of these."""
        first = self._held[lead].taken
        if self.stopping:
            await self._record(carried, [Result(self._held[one].taken, Mark.BACK) for one in carried])
            return
        attempt = await self._posted(first, Letter.from_bytes(kept))
        now = self._tools.clock()
        if isinstance(attempt, Again):
            await self._record(carried, [Result(self._held[one].taken, Mark.BACK, attempt.at_ms) for one in carried])
            return
        chance, results = random.random(), []
        for one in carried:
            taken = self._held[one].taken
            mine = replace(attempt, number=taken.attempts + 1)
            results.append(self._concluded(taken, mine, as_of=first, chance=chance, now_ms=now))
        await self._record(carried, results)

    async def _posted(self, first: Taken, letter: Letter) -> Attempt | Again:
        """The transaction, while the lease is renewed as often as it needs to be."""
        tools, number = self._tools, first.attempts + 1
        if tools.clock() > self._lease_until_ms:
            # This process froze, or the database is away: somebody else may be sending this by now.
            raise _Lost
        sending = asyncio.ensure_future(self._channel.post(letter, first.delivery, number, tools.clock()))
        try:
            while not (await asyncio.wait([sending], timeout=tools.lease_ms / 3000))[0]:
                await self._advance(want=0)
            return await sending
        except (_Lost, StoreError):
            raise
        except Exception:
            return tools.failed(first, number, tools.clock())
        finally:
            sending.cancel()

    def _concluded(
        self,
        taken: Taken,
        attempt: Attempt,
        *,
        as_of: Taken | None = None,
        chance: float = 0.5,
        now_ms: int | None = None,
    ) -> Result:
        """What follows for one delivery. All that one mail carries goes on together: `as_of` is whose tries count."""
        tools, counted = self._tools, as_of or taken
        now = tools.clock() if now_ms is None else now_ms
        made = counted.attempts + 1 - counted.base
        decision = decide(attempt, made=made, schedule=tools.schedule, now_ms=now, chance=chance)
        tools.recorder.attempted(taken.delivery, attempt, decision, now)
        tools.recorder.concluded(taken.delivery, decision)
        return tools.result(taken, attempt, decision)

    async def _record(self, carried: Sequence[str], results: Sequence[Result]) -> None:
        for one in carried:
            self._held.pop(one, None)
        await self._advance(want=0, results=results)

