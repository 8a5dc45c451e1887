"""Is there room for another event, or must its producer wait?

Asked at the door before anything is accepted, so that nothing is acknowledged that then piles up. Two
limits: how many transfers may wait to be planned (all producers, 503) and how many events a second one
producer may post to this process (429). Each answer says when to come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

_LOOK_AGAIN_S = 1.0
_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not now, and after how many seconds to try again."""

    status: HTTPStatus
    retry_after_s: int
    detail: str


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Pressure:
    """The state of both limits in one process. `rate` is events a second, 0 for no limit."""

    def __init__(
        self, *, most_unplanned: int, rate: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._most_unplanned = most_unplanned
        self._rate = rate
        self._monotonic = monotonic
        self._unplanned = 0
        self._buckets: dict[str, _Bucket] = {}

    def learn(self, unplanned: int) -> None:
        """How many transfers wait to be planned, as was just counted."""
        self._unplanned = unplanned

    def refuses(self, producer: str) -> Refusal | None:
        """Why nothing more of `producer` is taken now; None when it is. Asked before the body is read, so that
        what is too much costs next to nothing."""
        if self._unplanned > self._most_unplanned:
            return Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                round(_LOOK_AGAIN_S),
                "too many events wait to be planned; send this again a little later",
            )
        if not self._rate:
            return None
        bucket = self._bucket(producer)
        if bucket.tokens >= 1:
            return None
        wait = (1 - bucket.tokens) / self._rate
        return Refusal(
            HTTPStatus.TOO_MANY_REQUESTS,
            max(1, -int(-wait // 1)),
            f"this producer may post {self._rate:g} events a second",
        )

    def took(self, producer: str, events: int) -> None:
        """So many were in a request, sound or not. It may bring more than a second's worth: the next one
        waits for it."""
        if self._rate:
            self._bucket(producer).tokens -= events

    def _bucket(self, producer: str) -> _Bucket:
        now, most = self._monotonic(), max(self._rate, 1.0)
        if len(self._buckets) >= _MOST_KNOWN:
            self._buckets.clear()
        bucket = self._buckets.setdefault(producer, _Bucket(most, now))
        bucket.tokens = min(most, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        return bucket
