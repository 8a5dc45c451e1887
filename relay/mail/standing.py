"""Is a mail server to be tried now, and when again if not?

A server that failed in a way that is the same for every message is left alone for a while that doubles with each
failure, and one message at a time asks whether it is well; no delivery spends an attempt on it meanwhile. What may
be about one recipient or one message counts against the server only when different mailboxes meet it in a row.

Pure: a standing and what happened give the standing that follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from relay.mail.verdict import Fault, Verdict
from relay.model import Outcome
from relay.retry import jittered

_JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Patience:
    """`suspicions` of different mailboxes in a row are the server's fault, 0: never. The first wait is
    `first_ms`, each further one twice as long, up to `most_ms`."""

    suspicions: int
    first_ms: int
    most_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one mail server stands. Times are Unix milliseconds.

    `again_ms` is when it is asked again, None while it is well; `since_ms` and `detail` say since when it is not,
    and why. `suspects` are the mailboxes that met a suspicion since it last accepted a message.
    """

    again_ms: int | None = None
    since_ms: int | None = None
    failures: int = 0
    detail: str = ""
    suspects: tuple[str, ...] = ()

    @property
    def is_up(self) -> bool:
        """Whether messages go to it as they come."""
        return self.again_ms is None


WELL = Standing()


def judged(
    standing: Standing,
    verdict: Verdict,
    *,
    mailbox: str,
    detail: str,
    patience: Patience,
    now_ms: int,
    chance: float,
) -> tuple[Standing, Verdict]:
    """The standing after a transaction for `mailbox`, and the verdict on the delivery, which is not to spend an
    attempt on a server that is known to be at fault. `chance` is uniform in [0, 1)."""
    if verdict.outcome is Outcome.ACCEPTED:
        return WELL, verdict
    if verdict.fault is Fault.NONE:
        return replace(WELL, suspects=standing.suspects), verdict
    suspects = standing.suspects
    if verdict.fault is Fault.SUSPECT:
        suspects = suspects if mailbox in suspects else (*suspects, mailbox)
        if not patience.suspicions or len(suspects) < patience.suspicions:
            return replace(WELL, suspects=suspects), verdict
    down = _down(standing, suspects[: patience.suspicions], detail, patience, now_ms, chance)
    if verdict.outcome is Outcome.AMBIGUOUS:
        return down, verdict  # it may have arrived: never tried without an end
    return down, Verdict(Outcome.TRANSPORT_DOWN, verdict.fault)


def _down(
    standing: Standing, suspects: tuple[str, ...], detail: str, patience: Patience, now_ms: int, chance: float
) -> Standing:
    # What was under way when it went down fails before its time, and says nothing new.
    if standing.again_ms is not None and now_ms < standing.again_ms:
        return replace(standing, suspects=suspects)
    wait = min(patience.first_ms << min(standing.failures, 30), patience.most_ms)
    return Standing(
        again_ms=now_ms + jittered(wait, _JITTER, chance),
        since_ms=now_ms if standing.since_ms is None else standing.since_ms,
        failures=standing.failures + 1,
        detail=detail,
        suspects=suspects,
    )
