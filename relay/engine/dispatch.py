"""Which recipients have something due, and who drains them?

Takes due recipients from a channel's hint and starts one drain for each, many at once. A hung endpoint
holds its own drain and nothing of anybody else's. Waking is cheap and may come from anywhere: a nudge, the
sweep, or the fan-out of this very process.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from relay.engine.channels import EmailChannel
from relay.engine.daily import DailyDrain
from relay.engine.drain import Drain
from relay.engine.tools import Tools
from relay.errors import StoreError
from relay.people import is_daily
from relay.store.hints import SHARDS, Claim, Hint
from relay.store.passes import Begun, Opening

_MOST_DRAINS = 2_000
_AT_ONCE = 256
_LOOK_EVERY_S = 0.2


@dataclass(slots=True)
class _Active:
    """A drain that runs here, the newest claim on its recipient's hint, and what was begun by that; `told`: something
    came for it."""

    drain: Drain | DailyDrain
    claim: Claim
    begun: Begun | None = None
    told: bool = False


class Dispatcher:
    """The drains of one channel in one process."""

    def __init__(
        self,
        hint: Hint,
        tools: Tools,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        daily: tuple[EmailChannel, int] | None = None,
    ) -> None:
        """`daily` sends what people want once a day, at this hour unless they chose another."""
        self._of_days = daily
        self._hint = hint
        self._tools = tools
        self._clock = clock
        self._log = log
        self._name = secrets.token_hex(6)
        self._count = 0
        self._active: dict[str, _Active] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: asyncio.Task[None] | None = None
        self._again = False
        self._stopping = self._over = False
        self._looked_at = 0.0
        self._ticking: asyncio.TimerHandle | None = None
        self._openings = 0
        self._missed: set[str] = set()
        """Who was told of while a pass over it was, perhaps, just beginning."""

    def wake(self) -> asyncio.Task[None] | None:
        """Look for due recipients, now or right after the look that is under way. The task ends when
        none is left to take; the drains themselves may go on."""
        self._again = True
        if self._runner is None and not self._stopping:
            self._runner = asyncio.get_running_loop().create_task(self._look())
            self._runner.add_done_callback(self._looked)
        return self._runner

    def tell(self, recipients: Sequence[str]) -> None:
        """These have something due; none named: somebody may have."""
        elsewhere = not recipients
        for recipient in recipients:
            active = self._active.get(recipient)
            if active is not None:
                active.told = True
                active.drain.look_again()
            else:
                elsewhere = True
                if self._runner is not None or self._openings:
                    self._missed.add(recipient)
        if elsewhere:
            self.wake()
        self._look_at_others()

    def opening(self, most: int) -> Opening | None:
        """By what up to `most` passes may begin in the step that plans what they send; None when none may. `opened` is
        to follow, whatever became of that step."""
        tools = self._tools
        if self._stopping or not tools.told or len(self._tasks) + most > _MOST_DRAINS:
            return None
        self._count += 1
        self._openings += 1
        until = self._clock() + tools.lease_ms + random.random()
        return Opening(f"{self._name}-{self._count}", until, tools.windows.ahead())

    def opened(self, passes: Sequence[tuple[Claim, Begun]]) -> None:
        """These began so, and go on here; what comes too late for that is in flight until its lease is over."""
        for claim, begun in () if self._over else passes:
            self._drain(claim, begun)
        self._openings -= 1
        # Once each of them has looked whether it was told of.
        asyncio.get_running_loop().call_soon(self._forget_missed)
        self._look_at_others()

    def _look_at_others(self) -> None:
        """They may have something due too, and who plans without end never comes to look for them."""
        if asyncio.get_running_loop().time() - self._looked_at > _LOOK_EVERY_S:
            self.wake()

    def _forget_missed(self) -> None:
        if self._runner is None and not self._openings:
            self._missed.clear()

    async def idle(self) -> None:
        """Wait until nothing runs here."""
        while self._tasks or self._runner is not None:
            await asyncio.wait([*self._tasks, *([self._runner] if self._runner is not None else [])])

    def close(self) -> None:
        """Take nothing more."""
        self._stopping = True
        for active in self._active.values():
            active.drain.stopping = True

    async def stop(self, within_s: float) -> None:
        """Take nothing more, finish what is in flight, release the leases."""
        self.close()
        if self._runner is not None:
            # What it has just taken is given back by a drain of its own.
            await asyncio.wait([self._runner], timeout=within_s)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        self._over = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._ticking is not None:
            self._ticking.cancel()

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._runner = None
        self._forget_missed()
        if not task.cancelled() and task.exception() is not None:
            # The database is away: the next wake, at the latest the sweep's, looks again.
            self._log.warning("dispatch.interrupted", hint=self._hint, error=type(task.exception()).__name__)

    async def _look(self) -> None:
        while self._again and not self._stopping:
            self._again = False
            self._looked_at = asyncio.get_running_loop().time()
            while (room := _MOST_DRAINS - len(self._tasks)) > 0 and not self._stopping:
                most = min(room, _AT_ONCE)
                taken = await (self._begin(most) if self._tools.told else self._take(most))
                if taken < most // SHARDS:
                    break  # no shard had more to give

    async def _take(self, most: int) -> int:
        now = self._clock()
        until = now + self._tools.lease_ms + random.random()
        claims = await self._tools.store.hints.take(self._hint, now_ms=now, until=until, most=most)
        for claim in claims:
            self._drain(claim)
        return len(claims)

    async def _begin(self, most: int) -> int:
        """The same where the first step of each pass is made together with all others'."""
        now, tools = self._clock(), self._tools
        self._count += 1
        token = f"{self._name}-{self._count}"
        taken, begun = await tools.store.queues.begin(
            tools.sender.channel,
            token=token,
            now_ms=now,
            until=now + tools.lease_ms + random.random(),
            most=most,
            lease_ms=tools.lease_ms,
            want=tools.windows.ahead(),
        )
        for claim, step in begun:
            if step is None:
                # It is taken until the lease is over, and so comes round again.
                self._log.error("drain.failed", recipient=claim.member, detail="its queue cannot be read")
                continue
            # Another pass had it when this was asked, perhaps one of ours that has ended since: it is asked again.
            busy = step.lease_until_ms is not None
            self._drain(claim, None if busy else Begun(token, step, now + tools.lease_ms))
        return taken

    def _drain(self, claim: Claim, begun: Begun | None = None) -> None:
        active = self._active.get(claim.member)
        if active is not None:
            active.claim = claim
            # The pass that runs here has given its lease back, and has not heard of it yet.
            active.begun = begun or active.begun
            return
        task = asyncio.get_running_loop().create_task(self._run(claim, begun))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._ticking is None:
            self._tick()

    def _tick(self) -> None:
        """Passes over what is slow keep their leases."""
        for active in self._active.values():
            active.drain.renew()
        later = asyncio.get_running_loop().call_later
        self._ticking = later(self._tools.lease_ms / 4000, self._tick) if self._tasks else None

    def _pass_over(self, claim: Claim, begun: Begun | None) -> Drain | DailyDrain:
        self._count += 1
        token = f"{self._name}-{self._count}"
        if self._of_days is not None and is_daily(claim.member):
            return DailyDrain(self._tools, *self._of_days, claim.member, token)
        return Drain(self._tools, claim, token, begun)

    async def _run(self, claim: Claim, begun: Begun | None) -> None:
        recipient = claim.member
        told = recipient in self._missed
        self._missed.discard(recipient)
        while True:
            active = _Active(self._pass_over(claim, begun), claim)
            active.drain.stopping = self._stopping
            self._active[recipient] = active
            if told:
                active.drain.look_again()
            try:
                due = await active.drain.run()
                if active.claim is claim and not active.drain.given_back:
                    await self._tools.store.hints.give_back(self._hint, claim, due)
            except StoreError as error:
                # The lease runs out by itself, and the hint with it: the recipient comes round again.
                self._log.warning("drain.interrupted", recipient=recipient, error=type(error).__name__)
            except Exception:
                self._log.exception("drain.failed", recipient=recipient)
            finally:
                del self._active[recipient]
            if active.claim is claim:
                break
            # Somebody made the recipient due while it was being drained: look again, or it would wait
            # for its hint to run out; when stopping too, so that the next worker finds it at once.
            claim, begun, told = active.claim, active.begun, active.told
        # What came after the last step, and before the pass had heard that it was the last, has a hint.
        if active.told or len(self._tasks) >= _MOST_DRAINS:
            self.wake()
