"""Whose event is this, does the lifecycle allow it, and is it on disk?

What happens between a sound event and its answer (contract, section 2). Requests that arrive together share
their round trips to the database; an event whose transfer moved meanwhile is judged again.
"""


from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from relay.auth import Caller
from relay.intake import Parsed, Problem, parse, read_and_write
from relay.lifecycle import FINAL, Move, Verdict, judge
from relay.model import Event, EventType, TokenHolder
from relay.record import Recorder
from relay.store import Store
from relay.store.records import Refusal
from relay.store.stored import AcceptedStep, Held
from relay.store.transfers import Acceptance, Accepted, Known
from relay.times import to_ns
from relay.turns import Turns
from relay.vault import Vault

_TRIES = 64
"""How often an event is judged again because its transfer moved meanwhile; then it is 503."""
_MOST_LEFT = 20_000
"""Transfers whose standing a process remembers from its own last write."""
_NOTHING = Known(None, 0, None, None)



@dataclass(slots=True)
class Answer:
    """What one event is answered: an HTTP status code and a JSON object."""

    code: int
    body: dict[str, Any]


class Door:
    """Judges and accepts events."""

    def __init__(
        self, store: Store, vault: Vault, recorder: Recorder, nudge: Callable[[], None], clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._vault = vault
        self._recorder = recorder
        self._nudge = nudge
        self._clock = clock
        self._turns = Turns()
        self._left: dict[str, Known] = {}

    async def accept(self, parsed: Parsed, caller: Caller) -> Answer:
        """One event: accepted, repeated, or refused with the reason. Durable when it says accepted.

        What is accepted by a guess is let go of while it is written, and read again where it has to be judged again."""
        started = time.perf_counter()
        event = parsed.event
        key, event_id, type_, transfer = event.transfer_key, event.id, event.type, event.transfer.id
        # Events of one transfer take turns in this process, so that they do not judge each other stale.
        if not self._turns.begin(key):
            await self._turns.await_turn(key)
        try:
            acceptance = self._guessed(parsed, caller)
            if acceptance is None:
                status, answer = await self._judge_and_write(parsed, caller)
            else:
                written = parsed.written
                del parsed, event
                if await self._write(acceptance) is Accepted.DONE:
                    status, answer = "accepted", _accepted(event_id)
                else:
                    status, answer = await self._judge_and_write(parse(*read_and_write(written)), caller)
        finally:
            self._turns.end(key)
        self._recorder.received(
            status=status, event_id=event_id, type=type_, transfer=transfer, seconds=time.perf_counter() - started
        )
        if answer.code == HTTPStatus.ACCEPTED:
            self._nudge()
        return answer

    async def _judge_and_write(self, parsed: Parsed, caller: Caller) -> tuple[str, Answer]:
        event = parsed.event
        for _ in range(_TRIES):
            known = await self._store.transfers.look(event.transfer_key, event.id)
            if not _owns(caller, known.held):
                return "forbidden", problem(
                    HTTPStatus.FORBIDDEN, event.id, "this transfer belongs to another producer"
                )
            if known.claim is not None and known.claim.decode() != parsed.fingerprint:
                return "conflict", _conflict(event.id)
            if known.sequence is not None or known.ended:
                await self._store.transfers.repeat(event.transfer_key, self._clock())
                return "duplicate", Answer(HTTPStatus.OK, {"id": event.id, "status": "duplicate"})
            verdict = _verdict(event, known.held)
            if not verdict.is_accepted:
                return "refused", await self._refuse(parsed, known, verdict)
            match await self._write(self._acceptance(parsed, caller, known, verdict)):
                case Accepted.DONE:
                    return "accepted", _accepted(event.id)
                case Accepted.REPEATED:
                    return "duplicate", Answer(HTTPStatus.OK, {"id": event.id, "status": "duplicate"})
                case Accepted.CLAIMED:
                    return "conflict", _conflict(event.id)
                case Accepted.MOVED:
                    continue
        busy = problem(HTTPStatus.SERVICE_UNAVAILABLE, event.id, "this transfer is very busy; send the event again")
        return "contended", busy

    def _guessed(self, parsed: Parsed, caller: Caller) -> Acceptance | None:
        """The event accepted by a guess of how its transfer stands, to save a question: as this process last left it,
        or new when the event creates it. The write holds only if that is so; all that is not accepted by a guess is
        judged again from what the database says."""
        event = parsed.event
        guess = self._left.get(event.transfer_key)
        if guess is None and event.type is EventType.CREATED:
            guess = _NOTHING
        if guess is None or not _owns(caller, guess.held):
            return None
        verdict = _verdict(event, guess.held)
        return self._acceptance(parsed, caller, guess, verdict) if verdict.is_accepted else None

    async def _write(self, acceptance: Acceptance) -> Accepted:
        done = await self._store.transfers.accept(acceptance)
        if done is Accepted.DONE:
            if len(self._left) >= _MOST_LEFT:
                self._left.clear()
            self._left[acceptance.key] = Known(None, acceptance.version + 1, acceptance.held, None)
        else:
            self._left.pop(acceptance.key, None)
        return done

    async def _refuse(self, parsed: Parsed, known: Known, verdict: Verdict) -> Answer:
        event = parsed.event
        assert known.held is not None  # only a transfer that exists can refuse a step
        await self._store.transfers.refuse(
            event.transfer_key,
            Refusal(
                event_id=event.id,
                type=event.type,
                occurred_at=event.occurred_at,
                refused_at_ms=self._clock(),
                status=known.held.status,
                reason=verdict.reason,
            ),
        )
        return problem(HTTPStatus.CONFLICT, event.id, verdict.reason)

    def _acceptance(self, parsed: Parsed, caller: Caller, known: Known, verdict: Verdict) -> Acceptance:
        event, now = parsed.event, self._clock()
        held = _after(parsed, caller, known.held, verdict, now)
        applied = verdict.move is Move.APPLIED
        link = ""
        if held.status in FINAL:
            link = "-"
        elif event.transfer.acceptance_url is not None and applied:
            link = self._vault.seal(
                event.transfer.acceptance_url.encode(), context=f"transfer:{event.transfer_key}:link"
            )
        step = AcceptedStep(
            sequence=held.sequence,
            event_id=event.id,
            type=event.type,
            occurred_at=event.occurred_at,
            accepted_at_ms=now,
            producer=caller.id if caller.holder is TokenHolder.PRODUCER else None,
            late=verdict.move is Move.LATE,
            repeat=verdict.move is Move.REPEAT,
            gap=verdict.gap,
            actor_role=None if event.actor is None else event.actor.role,
            link=link not in ("", "-"),
        )
        return Acceptance(
            key=event.transfer_key,
            event_id=event.id,
            fingerprint=parsed.fingerprint,
            version=known.version,
            held=held,
            step=step,
            body=parsed.stored,
            link=link,
            now_ms=now,
        )


def _after(parsed: Parsed, caller: Caller, held: Held | None, verdict: Verdict, now: int) -> Held:
    """The transfer as this event leaves it."""
    transfer, standing = parsed.event.transfer, verdict.standing
    assert standing is not None  # only a derived stall has none, and producers do not post it
    sequence = (0 if held is None else held.sequence) + 1
    applied = verdict.move is Move.APPLIED
    producer = caller.id if caller.holder is TokenHolder.PRODUCER else None
    customer = transfer.customer.id if transfer.customer is not None else None
    return Held(
        id=transfer.id if held is None else held.id,
        kind=transfer.kind,
        status=standing.status,
        moved=str(standing.moved_ns),
        sequence=sequence,
        current=sequence if applied or held is None else held.current,
        source=transfer.source.id.casefold() if applied or held is None else held.source,
        target=transfer.target.id.casefold() if applied or held is None else held.target,
        source_id=_first_given(transfer.source.id, held.source_id if held is not None else None),
        target_id=_first_given(transfer.target.id, held.target_id if held is not None else None),
        customer=customer or ("" if held is None else held.customer),
        created_ms=to_ns(transfer.created_at) // 1_000_000 if held is None else held.created_ms,
        updated_ms=now,
        producer=producer if held is None or held.producer is None else held.producer,
        derived=standing.derived,
        before=standing.before,
    )


def _first_given(id_: str, before: str | None) -> str:
    """An id in the spelling that it was first given in."""
    return before if before is not None and before.casefold() == id_.casefold() else id_


def _verdict(event: Event, held: Held | None) -> Verdict:
    return judge(
        None if held is None else held.standing,
        kind=event.transfer.kind,
        type_=event.type,
        occurred_ns=event.occurred_ns,
    )


def _accepted(event_id: str) -> Answer:
    return Answer(HTTPStatus.ACCEPTED, {"id": event_id, "status": "accepted"})


def _owns(caller: Caller, held: Held | None) -> bool:
    """Whether this caller may post about the transfer: it belongs to the producer that first named it."""
    if caller.holder is TokenHolder.OPERATOR or caller.all_transfers:
        return True
    return held is None or held.producer is None or held.producer == caller.id


def _fields(status: HTTPStatus, detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}


def problem(
    status: HTTPStatus, event_id: str | None, detail: str, problems: Sequence[Problem] = ()
) -> Answer:
    """A refusal (RFC 9457), with the event it is about and everything that is wrong."""
    body = _fields(status, detail)
    if event_id is not None:
        body["id"] = event_id
    if problems:
        body["errors"] = [{"pointer": p.pointer, "detail": p.detail} for p in problems]
    return Answer(status, body)


def _conflict(event_id: str) -> Answer:
    return problem(HTTPStatus.CONFLICT, event_id, "another event has this id; give each event its own")
