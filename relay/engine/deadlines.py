"""Which transfers has time overtaken, and what follows?

Takes the open transfers whose deadline has come, concludes what `relay.deadlines` says, and looks again at
the next one. A derived event goes the way of every event: judged, accepted in the transfer's slot if it has
not moved since it was looked at, planned, told. Its id is a function of the transfer and the step, so that
whichever worker comes, and however often, it is there once.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from relay.config import Config
from relay.deadlines import (
    Conclusion,
    Deadline,
    Open,
    Rules,
    deadlines,
    due,
    event_of,
    may_have_any,
)
from relay.engine.reminder import Reminder
from relay.errors import StoreError
from relay.fields import span_ms
from relay.lifecycle import FINAL, Move, judge
from relay.model import Event, EventType
from relay.record import Recorder
from relay.store import Store
from relay.store.deadlines import Looked
from relay.store.hints import Claim, Hint
from relay.store.stored import AcceptedStep, Held
from relay.store.transfers import Acceptance, Accepted
from relay.times import to_ns

_AT_ONCE = 64
_ROUNDS = 8
"""Rounds in one sweep: what is left is looked at a second later."""
_CLAIM_MS = 60_000
"""A worker that dies while it concludes leaves its transfers to others after this long."""
_AGAIN_MS = 3_600_000
"""A transfer that the relay fails at is looked at again after this long."""


def rules_of(config: Config) -> Rules:
    """What the operator set."""
    section = config.deadlines
    return Rules(
        expires=section.expire,
        stalled_after_ms=round(section.stalled_after_seconds * 1000),
        stalled_kinds=frozenset(section.stalled_kinds),
        quiet_ms=round(section.quiet_seconds * 1000),
        remind_before_ms=tuple(span_ms(span) for span in config.notify.remind_before),
    )


def opened(key: str, held: Held, expires: str | None) -> Open:
    """A transfer as the rule sees it; `expires` is the `expires_at` of its last step's event. ValueError when
    that is no time."""
    return Open(
        key=key,
        kind=held.kind,
        status=held.status,
        move=held.current,
        moved_ms=held.moved_ns // 1_000_000,
        accepted_ms=held.updated_ms,
        created_ms=held.created_ms,
        expires_ms=None if expires is None else to_ns(expires) // 1_000_000,
    )


def scheduled(
    steps: Iterable[tuple[str, Held, int, Event]], rules: Rules
) -> list[tuple[str, int | None]]:
    """When to look at each of the transfers that these steps (key, standing, sequence, event) are of.

    What has ended is forgotten. Where the last step is not among them, the transfer is looked at now, when
    all of it is known.
    """
    times: dict[str, int | None] = {}
    for key, held, sequence, event in steps:
        if held.status in FINAL:
            if event.type is not EventType.CREATED:
                times[key] = None
        elif may_have_any(held.kind, held.status, rules):
            if sequence == held.current:
                found = deadlines(opened(key, held, event.transfer.expires_at), rules)
                times[key] = found[0].at_ms if found else None
            elif event.type is not EventType.STALLED:
                times.setdefault(key, held.updated_ms)
    return list(times.items())


class Timekeeper:
    """Concludes what time says."""

    def __init__(
        self, store: Store, config: Config, recorder: Recorder, clock: Callable[[], int], log: FilteringBoundLogger
    ) -> None:
        self._store = store
        self._rules = rules_of(config)
        self._recorder = recorder
        self._clock = clock
        self._log = log
        self._reminder = Reminder(store, config.mail.default_locale)

    async def run(self) -> None:
        """Conclude what is due, a bounded number of transfers at a time."""
        for _ in range(_ROUNDS):
            now = self._clock()
            until = now + _CLAIM_MS + random.random()
            claims = await self._store.hints.take(Hint.DEADLINE, now_ms=now, until=until, most=_AT_ONCE)
            if not claims:
                return
            await self._round(claims)

    async def _round(self, claims: list[Claim]) -> None:
        looked = await self._store.deadlines.look([claim.member for claim in claims])
        again: list[tuple[Claim, int | None]] = []
        for claim, one in zip(claims, looked, strict=True):
            try:
                again.append((claim, None if one is None else await self._conclude(claim.member, one)))
            except StoreError:
                raise
            except Exception:
                # Whatever is wrong with one transfer holds up no other. What is in it is not for the log.
                self._log.exception("deadline.failed", transfer=claim.member)
                again.append((claim, self._clock() + _AGAIN_MS))
        await self._store.client.batch([self._store.hints.giving_back(Hint.DEADLINE, again)])

    async def _conclude(self, key: str, one: Looked) -> int | None:
        """Do what is due of one transfer; when to look at it again."""
        if one.body is None:
            return None
        last = orjson.loads(one.body)
        found = deadlines(opened(key, one.held, last["transfer"].get("expires_at")), self._rules)
        told = await self._store.deadlines.told(key, [deadline.step for deadline in found])
        now = self._clock()
        deadline, later = due(found, told, now)
        if deadline is None:
            return later
        if deadline.what is Conclusion.REMIND:
            await self._reminder.give(key, one.held, last, deadline, now)
            await self._store.deadlines.mark(key, deadline.step, now)
            return later
        return now if await self._derive(key, one, last, deadline, now) else later

    async def _derive(self, key: str, one: Looked, last: dict[str, Any], deadline: Deadline, now: int) -> bool:
        """Accept the derived event; True when the transfer has moved meanwhile and is to be looked at again."""
        value = event_of(key, last, deadline)
        event = Event.model_validate(value)
        verdict = judge(
            one.held.standing, kind=one.held.kind, type_=event.type, occurred_ns=event.occurred_ns, derived=True
        )
        standing = verdict.standing
        if verdict.move is not Move.APPLIED or standing is None:
            return False
        sequence = one.held.sequence + 1
        held = replace(
            one.held,
            status=standing.status,
            derived=standing.derived,
            before=standing.before,
            sequence=sequence,
            # A stall moves nothing: the transfer is still as its last step described it.
            current=one.held.current if deadline.what is Conclusion.STALL else sequence,
            updated_ms=now,
        )
        body = orjson.dumps(value)
        done = await self._store.transfers.accept(
            Acceptance(
                key=key,
                event_id=event.id,
                fingerprint=hashlib.blake2b(b"derived " + body, digest_size=16).hexdigest(),
                version=one.version,
                held=held,
                step=AcceptedStep(
                    sequence=sequence,
                    event_id=event.id,
                    type=event.type,
                    occurred_at=event.occurred_at,
                    accepted_at_ms=now,
                    producer=None,
                    derived=True,
                ),
                body=body,
                link="",
                now_ms=now,
            )
        )
        match done:
            case Accepted.DONE:
                self._recorder.derived(event_id=event.id, type=event.type, transfer=held.id)
            case Accepted.CLAIMED:
                # Only a producer that means to can have taken this id; its own transfer then stays as it is.
                self._log.error("deadline.claimed", event_id=event.id, transfer=held.id)
            case Accepted.MOVED | Accepted.REPEATED:
                pass
        return done is Accepted.MOVED
