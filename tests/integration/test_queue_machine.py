"""Does a queue lose nothing, keep order and never fly two of a lane, whatever is done to it?

A model beside the real scripts: passes that advance, crash and come back from the dead, deliveries that
arrive out of order, are retried, reopened and held, in any order that hypothesis finds.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from relay.breaker import CLOSED, Breaker, BreakerState, ramping
from relay.embedded import EmbeddedValkey
from relay.model import Attempt, Audience, Channel, Delivery, DeliveryStatus, Outcome, Recipient
from relay.store.client import Client
from relay.store.passes import Advanced, Mark, Result, Taken
from relay.store.queues import Entry, Queues
from relay.store.stored import dump

LEASE = 100
ATTEMPT = dump(Attempt(number=1, at_ms=1, duration_ms=1, outcome=Outcome.TIMED_OUT))
LANES = ("a", "b", "")
SETTLES = {
    Mark.DELIVERED: DeliveryStatus.DELIVERED,
    Mark.EXHAUSTED: DeliveryStatus.EXHAUSTED,
    Mark.CANCELED: DeliveryStatus.CANCELED,
}


@dataclass
class Known:
    """What the model knows of one delivery."""

    lane: str
    sequence: int
    status: DeliveryStatus = DeliveryStatus.PENDING
    flying: bool = False


class QueueMachine(RuleBasedStateMachine):
    """One recipient's queue."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.client = Client.connect(url, prefix=f"m{secrets.token_hex(6)}", connections=2)
        self.queues = Queues(self.client)
        self.now = 1
        self.passes = 0
        self.dead: str | None = None
        self.in_charge = False
        self.held = False
        self.breaker = CLOSED
        self.known: dict[str, Known] = {}
        self.taken: dict[str, Taken] = {}

    @property
    def flying(self) -> list[str]:
        return sorted(name for name, known in self.known.items() if known.flying)

    def _advance(
        self, token: str, want: int, results: list[Result], flying: int, breaker: Breaker | None = None
    ) -> Advanced:
        return self.runner.run(
            self.queues.advance(
                "ep_1", token=token, now_ms=self.now, lease_ms=LEASE, want=want, in_flight=flying,
                breaker=breaker, results=results,
            )
        )  # fmt: skip

    def _take(self, advanced: Advanced) -> None:
        assert advanced.lease_until_ms is None
        assert not advanced.lost
        assert advanced.breaker == self.breaker
        if self.breaker.is_open and advanced.taken:
            assert self.now >= (self.breaker.probe_at_ms or 0)
            assert len(self.flying) + len(advanced.taken) == 1
        if self.breaker.window is not None and advanced.taken:
            assert len(self.flying) + len(advanced.taken) <= self.breaker.window
        for one in advanced.taken:
            known = self.known[one.delivery.id]
            assert known.status is DeliveryStatus.PENDING
            assert not known.flying
            if known.lane:
                mates = [k for k in self.known.values() if k.lane == known.lane]
                assert not any(mate.flying for mate in mates)
                waiting = [k.sequence for k in mates if k.status is DeliveryStatus.PENDING]
                assert known.sequence == min(waiting)
            known.flying = True
            self.taken[one.delivery.id] = one
        self.in_charge = not advanced.released
        if advanced.released:
            # A ramp ends with what was waiting.
            self.breaker = self.runner.run(self.queues.state("ep_1")).breaker

    @rule(lane=st.sampled_from(LANES), sequences=st.lists(st.integers(1, 6), min_size=1, max_size=4))
    def enqueue(self, lane: str, sequences: list[int]) -> None:
        for sequence in sequences:
            self._enqueue(lane, sequence)

    def _enqueue(self, lane: str, sequence: int) -> None:
        name = f"dlv_ep_1_{lane}{sequence}"
        made = Delivery(
            id=name, event_id="e", type="t", transfer=lane, transfer_key=lane, sequence=sequence, created_at_ms=1,
            recipient=Recipient(id="ep_1", channel=Channel.WEBHOOK, audience=Audience.SOURCE),
        )  # fmt: skip
        entry = Entry("ep_1", name, dump(made), lane, sequence, self.now)
        self.runner.run(self.client.batch([self.queues.enqueuing([entry])]))
        self.known.setdefault(name, Known(lane, sequence))

    @rule(data=st.data(), want=st.integers(0, 5))
    def advance(self, data: st.DataObject, want: int) -> None:
        """The pass in charge, or a new one, records some of what is in flight and takes more."""
        marks = data.draw(
            st.dictionaries(
                st.sampled_from(self.flying), st.sampled_from([*SETTLES, Mark.AGAIN, Mark.BACK, Mark.PROBED])
            ) if self.flying else st.just({})
        )  # fmt: skip
        if not self.in_charge:
            marks = {}
            for known in self.known.values():
                known.flying = False
        results = []
        for name, mark in marks.items():
            wait = data.draw(st.integers(0, 30)) if mark in (Mark.AGAIN, Mark.BACK) else 0
            at = 0 if mark is Mark.BACK and wait > 20 else self.now + wait
            results.append(Result(self.taken[name], mark, at, attempt=ATTEMPT if mark in (Mark.AGAIN, Mark.PROBED) else b""))
            self.known[name].flying = False
            self.known[name].status = SETTLES.get(mark, DeliveryStatus.PENDING)
        self._take(self._advance(f"p{self.passes}", want, results, len(self.flying)))

    @precondition(lambda self: self.in_charge)
    @rule(state=st.sampled_from(BreakerState), later=st.integers(0, 20), turn=st.integers(0, 3))
    def judge(self, state: BreakerState, later: int, turn: int) -> None:
        """The pass in charge finds that the endpoint fails, or that it is back."""
        self.breaker = {
            BreakerState.CLOSED: CLOSED,
            BreakerState.RAMPING: ramping(self.now),
            BreakerState.OPEN: Breaker(state=state, since_ms=self.now, probe_at_ms=self.now + later, turn=turn),
        }[state]
        self._take(self._advance(f"p{self.passes}", 5, [], len(self.flying), self.breaker))

    @precondition(lambda self: self.in_charge)
    @rule()
    def crash(self) -> None:
        """The pass dies, and its lease runs out."""
        self.dead, self.passes, self.in_charge = f"p{self.passes}", self.passes + 1, False
        self.now += LEASE

    @precondition(lambda self: self.dead is not None and self.in_charge)
    @rule(data=st.data())
    def return_from_the_dead(self, data: st.DataObject) -> None:
        """A pass that lost its lease says what became of something; it changes nothing."""
        if not self.taken:
            return
        name = data.draw(st.sampled_from(sorted(self.taken)))
        assert self.dead is not None
        advanced = self._advance(self.dead, 5, [Result(self.taken[name], Mark.DELIVERED, attempt=ATTEMPT)], 0)
        assert advanced.lost or advanced.lease_until_ms is not None
        assert not advanced.taken

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def reopen(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.known)))
        ((word, _),) = self.runner.run(self.queues.reopen([name], self.now))
        assert word == ("pending" if self.known[name].status is DeliveryStatus.PENDING else "reopened")
        self.known[name].status = DeliveryStatus.PENDING

    @rule(held=st.sampled_from([False, False, False, True]))
    def hold(self, held: bool) -> None:
        self.runner.run(self.queues.hold("ep_1", held=held, now_ms=self.now))
        self.held, self.breaker = held, CLOSED

    @precondition(lambda self: self.in_charge and self.flying)
    @rule(wait=st.integers(1, 30))
    def fail_and_be_released(self, wait: int) -> None:
        """All in flight fails, and what waits to be tried again is released at once."""
        results = [Result(self.taken[name], Mark.AGAIN, self.now + wait, attempt=ATTEMPT) for name in self.flying]
        for name in self.flying:
            self.known[name].flying = False
        self._take(self._advance(f"p{self.passes}", 0, results, 0))
        self.hold(held=False)

    @rule(ms=st.integers(0, 20))
    def wait(self, ms: int) -> None:
        """Time goes by; the pass in charge renews its lease before it runs out."""
        self.now += ms
        if self.in_charge:
            self._take(self._advance(f"p{self.passes}", 0, [], len(self.flying)))

    @invariant()
    def each_waits_in_one_place_at_most(self) -> None:
        """Nothing waits twice, nor while it is in flight, nor once it is settled."""
        due, again = (
            [raw.decode() for raw in self.runner.run(self.client.plain.zrange(self.client.key("r:ep_1", name), 0, -1))]
            for name in ("due", "again")
        )
        waiting = due + again
        assert len(waiting) == len(set(waiting))
        for name in waiting:
            assert self.known[name].status is DeliveryStatus.PENDING
            assert not (self.in_charge and self.known[name].flying)
        lanes = [self.known[name].lane for name in waiting if self.known[name].lane]
        assert len(lanes) == len(set(lanes)), "only the head of a lane waits"

    def teardown(self) -> None:
        """Whatever happened: released and drained, everything is settled and nothing is left over."""
        try:
            self._drain()
        finally:
            self.runner.run(self.client.close())
            self.runner.close()

    def _drain(self) -> None:
        self.runner.run(self.queues.hold("ep_1", held=False, now_ms=self.now))
        self.breaker = CLOSED
        self.now += 10 * LEASE
        self.passes += 1
        for known in self.known.values():
            known.flying = False
        results: list[Result] = []
        for _ in range(len(self.known) + 1):
            advanced = self._advance(f"p{self.passes}", 50, results, 0)
            self._take(advanced)
            results = [Result(self.taken[name], Mark.DELIVERED, attempt=b"") for name in self.flying]
            for name in self.flying:
                self.known[name].flying, self.known[name].status = False, DeliveryStatus.DELIVERED
            if advanced.released:
                break
        assert advanced.released
        assert advanced.next_due_ms is None
        for name, known in self.known.items():
            record = self.runner.run(self.queues.delivery(name))
            assert record is not None
            assert record.status is known.status
            assert known.status is not DeliveryStatus.PENDING
        counts = self.runner.run(self.queues.counts("ep_1"))
        assert counts == {"due": 0, "again": 0, "fly": 0, "all": len(self.known)}


def test_a_queue_loses_nothing_and_keeps_order(valkey: EmbeddedValkey) -> None:
    class OnThisServer(QueueMachine):
        def __init__(self) -> None:
            super().__init__(valkey.url)

    run_state_machine_as_test(
        OnThisServer,
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
