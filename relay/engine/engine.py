"""What does a worker do when it is woken?

`fan_out` plans what was accepted and wakes the channels that got something; `deliver` looks for due
recipients; `sweep` does both, once a second, so that whatever is due has a pass whoever forgot to say so.
Each may be called at any time, from any job, any number of times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from relay.address_book import AddressBook
from relay.bounced import Bounces
from relay.breaker import BreakerRules
from relay.corrections import follow
from relay.engine.accountant import Accountant
from relay.engine.chainer import Chainer
from relay.engine.channels import EmailChannel, Sender, WebhookChannel
from relay.engine.deadlines import Timekeeper
from relay.engine.dispatch import Dispatcher
from relay.engine.fanout import FanOut
from relay.engine.postmaster import Postmaster
from relay.engine.registered import Registrations
from relay.engine.replayer import Replayer
from relay.engine.retainer import Retainer
from relay.engine.tools import Tools
from relay.engine.watch import Patience, Watch
from relay.engine.windows import Windows
from relay.errors import StoreUnavailable
from relay.gate import Gate
from relay.model import Channel
from relay.record import Recorder
from relay.retry import Schedule
from relay.services import Services, return_path
from relay.store.hints import Hint

_REBUILD_EVERY = 300
"""Sweeps between two times that the hints are made again from the inboxes and queues."""


@dataclass(slots=True)
class _Round:
    """The fan-out that is under way, and whether another is wanted after it."""

    task: asyncio.Task[None] | None = None
    again: bool = False


class Engine:
    """The planning and delivering of one worker process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        config, store = services.config, services.store
        registrations = Registrations(store.registry)
        self.recorder = Recorder(services.log, store.counters)
        self._round = _Round()
        self._replayer = Replayer(store, services.clock, services.log, self._wake)
        self._sweeps = 0
        self._timekeeper = Timekeeper(store, config, self.recorder, services.clock, services.log)
        self._accountant = Accountant(store, config, self.recorder, services.clock)
        every = config.audit.chain_every_seconds
        self._chainer = Chainer(store, services.vault, every, services.clock, services.log) if every else None
        self._retainer = Retainer(store, config, services.vault, self.recorder, services.clock, services.log)
        watch = Watch(
            store,
            Patience(
                _ms(config.retry.warn_after_seconds),
                _ms(config.retry.disable_after_seconds),
                config.mail.default_locale,
            ),
            services.log,
        )
        schedule = Schedule(
            tuple(_ms(wait) for wait in config.retry.waits_seconds),
            config.retry.jitter,
            _ms(config.retry.retry_after_max_seconds),
        )

        worker = config.worker
        breaker = BreakerRules(
            config.breaker.failures_to_open,
            _ms(config.breaker.probe_seconds),
            _ms(config.breaker.probe_max_seconds),
            worker.endpoint_window,
        )

        def dispatcher(
            hint: Hint,
            sender: Sender,
            in_flight: int,
            window: int,
            *,
            breaker: BreakerRules | None = None,
            book: AddressBook | None = None,
            daily: EmailChannel | None = None,
        ) -> Dispatcher:
            tools = Tools(
                store=store,
                registrations=registrations,
                sender=sender,
                schedule=schedule,
                recorder=self.recorder,
                watch=watch,
                clock=services.clock,
                gate=Gate(in_flight),
                windows=Windows(window),
                lease_ms=_ms(config.worker.lease_seconds),
                breaker=breaker,
                book=book,
                follow=None if book is None else partial(follow, store),
            )
            of_days = None if daily is None else (daily, config.mail.daily_hour)
            return Dispatcher(hint, tools, services.clock, services.log, of_days)

        self._dispatchers = {
            Channel.WEBHOOK: dispatcher(
                Hint.WEBHOOK,
                WebhookChannel(services.sender, services.vault, services.callback_key),
                worker.in_flight,
                worker.endpoint_window,
                breaker=breaker,
            )
        }
        self._postmaster = None
        if services.mailer is not None:
            mail = config.mail
            self._postmaster = Postmaster(
                store,
                services.mailer.transports,
                self.recorder,
                services.clock,
                stale_ms=_ms(2 * (mail.probe_max_seconds + mail.command_timeout_seconds)),
            )
            mails = EmailChannel(
                services.mailer,
                services.composer,
                services.vault,
                store.transfers,
                services.links,
                Bounces(store, services.book, config, self.recorder),
                len(config.retry.waits_seconds),
                lambda: return_path(services),
            )
            self._dispatchers[Channel.EMAIL] = dispatcher(
                Hint.EMAIL,
                mails,
                worker.mail_in_flight,
                worker.mailbox_window,
                book=services.book,
                daily=mails,
            )

        self._fan_out = FanOut(
            store, config, registrations, services.clock, services.log, self._wake, self._dispatchers[Channel.WEBHOOK]
        )

    async def fan_out(self) -> None:
        """Plan what is due; returns when nothing is left to plan."""
        self._round.again = True
        if self._round.task is None:
            self._round.task = asyncio.get_running_loop().create_task(self._plan())
        await asyncio.shield(self._round.task)

    async def deliver(self) -> None:
        """Take up every recipient that has something due; their drains go on by themselves."""
        for dispatcher in self._dispatchers.values():
            task = dispatcher.wake()
            if task is not None:
                await asyncio.wait([task])

    async def sweep(self) -> None:
        """The clock: whatever is due is found, whoever forgot to nudge. A part that fails, as by a record that cannot
        be read, keeps none of the others from its work; StoreUnavailable ends the sweep."""
        self._sweeps += 1
        for part in self._parts():
            try:
                await part()
            except StoreUnavailable:
                raise
            except Exception:
                self._services.log.exception("sweep.failed", part=getattr(part, "__qualname__", "?"))

    def _parts(self) -> Iterator[Callable[[], Awaitable[object]]]:
        store = self._services.store
        if self._sweeps % _REBUILD_EVERY == 1:
            yield store.hints.rebuild
        yield self._timekeeper.run
        yield self._replayer.step
        yield self.deliver  # before what may go on for as long as there is something to plan
        yield self.fan_out
        yield self.deliver
        if self._postmaster is not None:
            yield self._postmaster.step
        yield store.counters.flush
        yield self._accountant.step
        if self._chainer is not None:
            yield self._chainer.step
        yield self._retainer.step

    async def idle(self) -> None:
        """Wait until everything that is under way here has ended."""
        if self._round.task is not None:
            await asyncio.wait([self._round.task])
        await self._replayer.idle()
        await self._retainer.idle()
        for dispatcher in self._dispatchers.values():
            await dispatcher.idle()

    async def stop(self, within_s: float) -> None:
        """Take nothing more, finish what is in flight, release the leases."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        self._fan_out.stopping = True
        for dispatcher in self._dispatchers.values():
            dispatcher.close()
        if self._round.task is not None:
            # Passes may have begun by what it is waiting for: they give back what they have.
            await asyncio.wait([self._round.task], timeout=within_s)
        rest_s = max(0.0, until - loop.time())
        await asyncio.gather(
            self._replayer.stop(rest_s),
            self._retainer.stop(rest_s),
            *(dispatcher.stop(rest_s) for dispatcher in self._dispatchers.values()),
        )
        await self._services.store.counters.flush()

    def _wake(self, channel: Channel, recipients: Sequence[str] = ()) -> None:
        """Some of a channel have something due, these above all; all might where none is named."""
        if channel in self._dispatchers:
            self._dispatchers[channel].tell(recipients)

    async def _plan(self) -> None:
        try:
            while self._round.again:
                self._round.again = False
                await self._fan_out.run()
        finally:
            self._round.task = None


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
