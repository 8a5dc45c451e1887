"""How does a system of the sandbox live in the database?

Read, moved on by a pure decision, and written back if nobody else was faster; else read again. Whatever
process dies, the state, the calls that are owed and the notes are as they were after one whole step.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from relay.errors import RelayError
from relay.sandbox import clock, desk
from relay.sandbox.clock import Dial
from relay.sandbox.desk import Desk, Done
from relay.sandbox.system import Answer, Call, Fault, Model, Note, Step, Verdict
from relay.store.sandbox import Kept, Noted, Sandboxes

S = TypeVar("S")
T = TypeVar("T")
_TRIES: Final = 32
_CLOCK: Final = "clock"
_dump = msgspec.json.Encoder().encode


class Busy(RelayError):
    """Too many want the same system at once: try again."""


class Time:
    """The sandbox's time, shared by all its systems. `real` is the world's, in Unix milliseconds."""

    def __init__(self, store: Sandboxes, real: Callable[[], int]) -> None:
        self._store = store
        self.real = real

    async def dial(self) -> Dial:
        """As it is set."""
        kept = await self._store.read(_CLOCK)
        return clock.dial_of(kept.state) if kept.state else Dial()

    async def now(self) -> int:
        """What it shows."""
        return clock.shown(await self.dial(), self.real())

    async def set(self, change: Callable[[Dial, int], Dial], text: str) -> Dial:
        """Change it; `text` is noted. Raises Busy."""
        for _ in range(_TRIES):
            kept = await self._store.read(_CLOCK)
            real = self.real()
            after = change(clock.dial_of(kept.state) if kept.state else Dial(), real)
            note = Note(at_ms=clock.shown(after, real), what="clock", about="", text=text)
            if await self._store.write(_CLOCK, kept, clock.dump(after), [_dump(note)]):
                return after
        raise Busy("the sandbox's clock is changed by many at once")

    async def notes(self, *, after: int, most: int) -> Noted:
        """What was changed."""
        return await self._store.notes(_CLOCK, after=after, most=most)


class Box(Generic[S]):
    """One system. `on_move` is called whenever something changed. All raise StoreError and Busy."""

    def __init__(self, model: Model[S], store: Sandboxes, time: Time, on_move: Callable[[], None]) -> None:
        self.model = model
        self.time = time
        self._store = store
        self._on_move = on_move

    async def ask(self, decide: Callable[[S, int], Step[S]]) -> Answer:
        """Somebody asks the system for something; how it answers."""
        done = await self._do(lambda table, now: desk.asked(self.model, table, decide, now))
        return done.answer

    async def gate(self) -> Answer | None:
        """What a request is answered instead of being heard, if the API is not well."""
        said: list[Answer | None] = []

        def decide(table: Desk[S], now: int) -> Done[S]:
            answer, done = desk.gated(self.model, table, now)
            said.append(answer)
            return done

        await self._do(decide)
        return said[-1]

    async def look(self, read: Callable[[S, int], T]) -> T:
        """Something about the system as it is now."""
        done = await self._do(lambda table, now: desk.passed(self.model, table, now))
        return read(done.desk.state, await self.time.now())

    async def fault(self, fault: Fault) -> Answer:
        """Have something go wrong."""
        done = await self._do(lambda table, now: desk.faulted(self.model, table, fault, now))
        return done.answer

    async def forgive(self) -> None:
        """No fault is waiting any more."""
        await self._do(lambda table, now: Done(Desk(self.model.forgiven(table.state), table.calls, ())))

    async def faults(self) -> tuple[Fault, ...]:
        """The faults that wait."""
        _, table, _ = await self._read()
        return (*table.faults, *self.model.waiting(table.state))

    async def work(self) -> tuple[list[Call], int | None]:
        """Let time pass: the calls that are due, in order, and when there is something to do after them."""
        done = await self._do(lambda table, now: desk.passed(self.model, table, now))
        now = await self.time.now()
        calls = sorted((one for one in done.desk.calls if one.due_ms <= now), key=lambda one: one.due_ms)
        return calls, desk.due(self.model, done.desk)

    async def called(self, call: Call, verdict: Verdict) -> None:
        """A call was made, and this was the answer."""
        await self._do(lambda table, now: desk.called(self.model, table, call.id, verdict, now))

    async def notes(self, *, after: int = 0, most: int = 100) -> Noted:
        """What happened, oldest first, from the note numbered `after` on."""
        return await self._store.notes(self.model.name, after=after, most=most)

    async def reset(self) -> None:
        """Begin anew: another world, no calls, no faults."""
        seed = secrets.token_hex(8)
        await self._do(lambda table, now: Done(Desk(self.model.anew(table.state, seed, now))))

    async def _read(self) -> tuple[Kept, Desk[S], int]:
        kept = await self._store.read(self.model.name)
        now = await self.time.now()
        return kept, desk.load(self.model, kept.state, secrets.token_hex(8), now), now

    async def _do(self, decide: Callable[[Desk[S], int], Done[S]]) -> Done[S]:
        for _ in range(_TRIES):
            kept, table, now = await self._read()
            done = decide(table, now)
            after = desk.dump(self.model, done.desk)
            if after == kept.state and not done.notes:
                return done
            if await self._store.write(self.model.name, kept, after, [_dump(note) for note in done.notes]):
                self._on_move()
                return done
        raise Busy(f"{self.model.name} is asked by many at once")


def read_note(raw: bytes) -> dict[str, Any]:
    """A note as JSON for people: as it was written, with its time."""
    found: dict[str, Any] = msgspec.json.decode(raw)
    return found
