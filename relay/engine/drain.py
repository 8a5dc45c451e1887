"""What is one recipient owed, and what came of sending it?

One pass over one recipient's queue, under a lease with a fencing token: take a window of what is due,
send it concurrently, record what came of it and take more in the same step, until nothing is due. A slow
request delays only the rest of its own window; a pass that lost its lease records nothing more.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from relay.breaker import CLOSED, counts, failed, succeeded
from relay.engine.bell import LINGER_S, Bell
from relay.engine.channels import Parcel, unsendable
from relay.engine.known import Known, asked, known_already
from relay.engine.tools import Tools
from relay.errors import StoreFull, StoreUnavailable
from relay.model import Attempt, EndpointState, Outcome
from relay.plan import Registered, still_wanted
from relay.preferences import slot_of
from relay.readers import Reader
from relay.retry import Again, decide
from relay.store.hints import Claim
from relay.store.passes import Advanced, Begun, Mark, Result, Taken

_STORE_WAIT_MS = 1_000
_NOBODY = Registered(None, {})


class Drain:
    """One pass. `stopping` makes it finish what is in flight and take no more. `given_back`: the claim that it began by
    went back when it ended."""

    def __init__(self, tools: Tools, claim: Claim, token: str, begun: Begun | None = None) -> None:
        self._tools = tools
        self._recipient = recipient = claim.member
        self._token = token if begun is None else begun.token
        self._begun = begun
        self._claim = claim if tools.store.client.joint else None
        self._results: list[Result] = []
        self._ready: list[Parcel] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._busy = self._wanted = 0
        self._senders = 0
        self._most_senders = tools.windows.first(recipient)
        self._out = 0
        self._bell = Bell()
        self._rate: int | None = None
        self._hold_until_ms: int | None = None
        self._lease_until_ms = 0
        self._hold = self._told_of_more = self._alone = False
        self._returns = self._returns_asked = 0
        self._answered: list[tuple[Taken, Attempt]] = []
        self._breaker = self._stored_breaker = CLOSED
        self._beside: asyncio.Task[int | None] | None = None
        self.stopping = False
        self.given_back = False

    async def run(self) -> int | None:
        """Drain the queue; when it is due again, None for not before somebody says so."""
        try:
            if self._begun is None:
                return await self._go_on(await self._advance([]))
            step = self._begun.step
            self._lease_until_ms, self._wanted = self._begun.lease_until_ms, self._tools.windows.ahead()
            self._breaker = self._stored_breaker = step.breaker
            known = known_already(self._tools, step) if len(step.taken) == 1 and not self._told_of_more else None
            if known is None:
                return await self._go_on(step)
            # One delivery only, as in most passes: this task sends it, and what comes meanwhile is looked after beside it.
            self._busy = 1
            self._make_ready(step.taken, known, self._returns)
            if self._ready:
                self._alone, self._senders = True, 1
                await self._send_all()
                self._alone = False
            return await (self._go_on(None) if self._beside is None else self._beside)
        finally:
            self._alone = False
            self._tools.windows.leave(self._recipient, self._most_senders)
            for task in self._tasks:
                task.cancel()

    async def _go_on(self, step: Advanced | None) -> int | None:
        """Send what this step took, and so on; None: something is on the wire already."""
        tools = self._tools
        starting: asyncio.Task[None] | None = None
        while True:
            if step is not None:
                if step.lost:
                    return tools.clock() + tools.lease_ms
                if step.lease_until_ms is not None:
                    return step.lease_until_ms
                if step.released:
                    self.given_back = self._claim is not None
                    return step.next_due_ms
                if starting is not None:
                    await starting
                starting = self._begin(step)
                if self._busy and not self._results and not self._has_room(step):
                    await self._some_results()
                if starting is not None and starting.done():
                    starting.result()
            results, self._results = self._results, []
            answered, self._answered = self._answered, []
            for one, attempt in answered:
                if attempt.outcome is Outcome.GONE:
                    await tools.watch.gone(one.delivery, attempt, tools.clock())
            step = await self._advance(results)
            if answered and (step.failing_since_ms is not None or step.incident_ms is not None):
                await self._tell(answered, step)

    def renew(self) -> None:
        """Make a step where part of the lease has passed: it renews it."""
        if self._lease_until_ms - self._tools.clock() > 0.75 * self._tools.lease_ms:
            return
        if self._is_alone:
            self._look_beside()
        else:
            self._bell.ring()

    @property
    def _is_alone(self) -> bool:
        """Whether the task that sends is the only one, and makes no step before it has."""
        return self._alone and self._beside is None

    def _look_beside(self) -> None:
        """What is sent alone takes long, or something came meanwhile: the steps go on beside it."""
        if self._is_alone:
            self._beside = asyncio.get_running_loop().create_task(self._go_on(None))
            self._beside.add_done_callback(self._return_soon)
            self._tasks.add(self._beside)

    def _return_soon(self, _: object) -> None:
        """Nobody records any more what comes of what is sent: what is not on the wire stays here."""
        self.stopping = True

    def _begin(self, step: Advanced) -> asyncio.Task[None] | None:
        """Prepare and send what was taken: at once where all is known, else while the next step is made."""
        taken = step.taken
        if not taken:
            return None
        self._busy += len(taken)
        known = known_already(self._tools, step)
        if known is not None:
            self._make_ready(taken, known, self._returns_asked)
            self._employ()
            return None
        task = asyncio.get_running_loop().create_task(self._start(taken, self._returns_asked))
        self._tasks.add(task)
        task.add_done_callback(self._started)
        return task

    def _started(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._bell.ring()  # whoever runs this pass finds the exception

    async def _advance(self, results: list[Result]) -> Advanced:
        tools = self._tools
        busy = self._busy
        self._wanted = self._want()
        self._told_of_more = False
        hold, self._hold_until_ms = self._hold_until_ms, None
        now = tools.clock()
        breaker = self._breaker
        self._returns_asked = self._returns
        step = await tools.store.queues.advance(
            self._recipient,
            token=self._token,
            now_ms=now,
            lease_ms=tools.lease_ms,
            want=self._wanted,
            in_flight=busy,
            rate=self._rate,
            hold_until_ms=hold,
            breaker=None if breaker is self._stored_breaker else breaker,
            results=results,
            claim=self._claim,
            told=tools.told,
        )
        self._lease_until_ms = 0 if step.lost or step.lease_until_ms is not None else now + tools.lease_ms
        self._stored_breaker = step.breaker
        if self._breaker is breaker:
            self._breaker = step.breaker
        return step

    def look_again(self) -> None:
        """Something was put in the queue: it need not wait long for what is on the wire, where there is room beside."""
        if self._want() > 0 and not self._told_of_more:
            self._told_of_more = True
            if self._is_alone:
                asyncio.get_running_loop().call_later(LINGER_S, self._look_beside)
            else:
                self._bell.ring_soon()

    def _has_room(self, step: Advanced) -> bool:
        """Whether all that was asked for came, and more may be at hand: a pass that begins asks for little."""
        return 0 < self._wanted == len(step.taken) and self._want() > 0

    def _want(self) -> int:
        if self.stopping or self._hold:
            return 0
        return max(0, self._tools.windows.ahead(self._most_senders) - self._busy)

    async def _tell(self, answered: list[tuple[Taken, Attempt]], step: Advanced) -> None:
        """Tell the partner when its endpoint has failed for long, and when that is over."""
        watch, now = self._tools.watch, self._tools.clock()
        one, attempt = answered[-1]
        if step.failing_since_ms is not None:
            await watch.failing(one.delivery, attempt, step.failing_since_ms, now)
        elif step.incident_ms is not None and attempt.outcome is Outcome.ACCEPTED:
            await watch.recovered(one.delivery, attempt, step.incident_ms, now)

    async def _start(self, taken: list[Taken], returns: int) -> None:
        """Ask what each is to carry and whether its recipient is still wanted, then send them all."""
        self._make_ready(taken, await asked(self._tools, taken), returns)
        self._employ()

    def _make_ready(self, taken: Sequence[Taken], known: Known, returns: int) -> None:
        """What may go is at hand; of the rest it is noted what happens to it instead. All goes back where something went
        back to the queue since these were asked for, after `returns` such times."""
        for one, (body, link) in zip(taken, known.bodies, strict=True):
            registered = known.registered.get(slot_of(one.delivery.recipient), _NOBODY)
            if not self._may_go(one, registered, known.reader):
                self._busy -= 1
                continue
            if body is None:
                self._busy -= 1
                attempt = unsendable(one.attempts + 1, self._tools.clock(), "Its body is no longer kept.")
                self._conclude(one, attempt)
                continue
            sealed = None if link is None else link.decode()
            self._ready.append(Parcel(one, body, sealed, registered, one.attempts + 1, self._keep))
        if returns != self._returns:
            self._put_back()
        elif self._results:
            self._notice()

    def _employ(self) -> None:
        """As many senders as there may be, if there is something for them to do."""
        loop = asyncio.get_running_loop()
        for _ in range(min(len(self._ready), self._most_senders - self._senders)):
            self._senders += 1
            task = loop.create_task(self._send_all())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _may_go(self, one: Taken, registered: Registered, reader: Reader | None) -> bool:
        """Whether it is still to be sent; if not, what happens to it instead is noted."""
        reason = still_wanted(one.delivery, registered, reader)
        if reason is not None:
            self._results.append(Result(one, Mark.CANCELED, reason=reason.value, sealed=self._tools.forget))
            self._tools.recorder.settled(one.delivery, "canceled", reason=reason.value)
            return False
        endpoint = registered.endpoints.get(one.delivery.recipient.id)
        if endpoint is None:
            return True
        self._rate = endpoint.rate_limit or 0
        if endpoint.state is EndpointState.DISABLED:
            self._results.append(Result(one, Mark.BACK))
            if not self._hold:
                self._hold = True
                self._tools.watch.hold_soon(endpoint)
            return False
        return True

    async def _keep(self, one: Taken, sealed: str) -> None:
        """StoreUnavailable also where somebody else has the queue by now, who may be sending this."""
        step = await self._tools.store.queues.advance(
            self._recipient,
            token=self._token,
            now_ms=self._tools.clock(),
            lease_ms=self._tools.lease_ms,
            want=0,
            in_flight=max(1, self._busy),
            results=[Result(one, Mark.KEEP, sealed=sealed)],
        )
        if step.lost or step.lease_until_ms is not None:
            raise StoreUnavailable("another pass has the queue")

    async def _send_all(self) -> None:
        """One of the window's senders: whatever is ready, one after the other, until nothing is."""
        try:
            while self._ready and self._senders <= self._most_senders:
                if self.stopping or self._hold:
                    self._return_ready()
                elif self._out == 0:
                    # Every recipient may have one out, whatever the others do: those that hang fill the gate,
                    # and what goes well would wait behind them for their deadline.
                    await self._send(self._ready.pop(0))
                else:
                    # Who waits here has nothing in its hands: whoever is free first takes what is ready.
                    async with self._tools.gate:
                        if self._ready and not (self.stopping or self._hold):
                            await self._send(self._ready.pop(0))
        finally:
            # In the same turn that found nothing ready: a task is among `_tasks` for a turn longer, and what is
            # made ready in that turn would wait for a sender that takes nothing more.
            self._senders -= 1

    def _return_ready(self) -> None:
        """What is at hand and not yet on the wire goes back to the queue, and so does what is on its way here."""
        self._returns += 1
        self._put_back()

    def _put_back(self) -> None:
        """It has cost no attempt."""
        self._results += [Result(parcel.taken, Mark.BACK) for parcel in self._ready]
        self._busy -= len(self._ready)
        self._ready.clear()
        self._notice()

    async def _send(self, parcel: Parcel) -> None:
        tools = self._tools
        self._out += 1
        try:
            now = tools.clock()
            if now > self._lease_until_ms:
                # This process froze, or the database is away: somebody else may be sending these by now.
                self._ready.insert(0, parcel)
                self._return_ready()
                return
            try:
                attempt = await tools.sender.send(parcel, now)
            except (StoreUnavailable, StoreFull):
                # Neither the partner's fault nor the delivery's: it costs no attempt.
                attempt = Again(tools.clock() + _STORE_WAIT_MS)
            except Exception:
                attempt = tools.failed(parcel.taken, parcel.number, now)
        finally:
            self._out -= 1
        self._busy -= 1
        if isinstance(attempt, Again):
            self._results.append(Result(parcel.taken, Mark.BACK, attempt.at_ms))
        else:
            self._conclude(parcel.taken, attempt)
        self._notice()

    def _conclude(self, one: Taken, attempt: Attempt) -> None:
        """Decide what follows from an attempt, and note it for the next step."""
        tools = self._tools
        now = tools.clock()
        decision = decide(
            attempt,
            made=one.attempts + (0 if one.early else 1) - one.base,
            schedule=tools.schedule,
            now_ms=now,
            chance=random.random(),
        )
        self._results.append(tools.result(one, attempt, decision))
        tools.recorder.concluded(one.delivery, decision)
        if isinstance(decision, Again) and decision.spent and decision.hold_until_ms is not None:
            self._hold_until_ms = max(self._hold_until_ms or 0, decision.hold_until_ms)
            self._return_ready()
        if decision.gone:
            self._hold = True
        if attempt.outcome is Outcome.ACCEPTED:
            grown = tools.windows.more(self._most_senders)
            if grown > self._most_senders:
                self._most_senders = grown
                if self._ready:
                    self._employ()
        elif counts(attempt.outcome):
            self._most_senders = tools.windows.less(self._most_senders)
        if attempt.outcome is not Outcome.ACCEPTED or self._breaker is not CLOSED:
            self._judge(one, attempt, now)
        self._answered.append((one, attempt))
        tools.recorder.attempted(one.delivery, attempt, decision, now)

    def _judge(self, one: Taken, attempt: Attempt, now_ms: int) -> None:
        """What an attempt says about the endpoint. When nothing goes any more, what is at hand goes back."""
        rules, before = self._tools.breaker, self._breaker
        if rules is None:
            return
        if attempt.outcome is Outcome.ACCEPTED:
            self._breaker = succeeded(before, rules, now_ms)
        elif counts(attempt.outcome):
            self._breaker = failed(before, one.delivery.id, rules, now_ms, random.random())
            if self._breaker.is_open and self._ready:
                self._return_ready()
        if self._breaker.state is not before.state:
            self._tools.recorder.switched(self._recipient, self._breaker.state)

    def _notice(self) -> None:
        if len(self._results) >= self._tools.windows.most or self._busy == 0:
            self._bell.ring()
        else:
            self._bell.ring_soon()

    async def _some_results(self) -> None:
        """Wait for results, or until there is another reason to make a step."""
        self._bell.hush()
        if not self._results:
            if self._told_of_more:
                self._bell.ring_soon()
            await self._bell.wait()
