"""What time is it in the sandbox?

Its own time: it runs (at the world's pace or faster), stands still, and jumps ahead, never back. All
moments in the sandbox, and all that its systems tell, are of this time. Pure; milliseconds.
"""

from __future__ import annotations

from typing import Final

import msgspec

from relay.model import Record

FASTEST: Final = 1_000_000.0
LAST_MS: Final = 221_845_392_000_000
"""The year 9000: here it stands still, so that what is reckoned from it is in a year that can be written."""


class Dial(Record, frozen=True, kw_only=True):
    """At the real moment `real_ms` it was `shown_ms` in the sandbox, and goes on at `rate` (0: it stands)."""

    real_ms: int = 0
    shown_ms: int = 0
    rate: float = 1.0


dump = msgspec.json.Encoder().encode
dial_of = msgspec.json.Decoder(Dial).decode


def shown(dial: Dial, real_ms: int) -> int:
    """The sandbox's time at a real moment."""
    return min(LAST_MS, dial.shown_ms + round((real_ms - dial.real_ms) * dial.rate))


def real(dial: Dial, shown_ms: int) -> int | None:
    """The real moment at which the sandbox will show this; None while it stands still before it."""
    if dial.rate <= 0:
        return None if shown_ms > dial.shown_ms else dial.real_ms
    return dial.real_ms + round((shown_ms - dial.shown_ms) / dial.rate)


def run(dial: Dial, real_ms: int, rate: float) -> Dial:
    """From now on at this pace; 0 stops it."""
    return Dial(real_ms=real_ms, shown_ms=shown(dial, real_ms), rate=min(max(rate, 0.0), FASTEST))


def jump(dial: Dial, real_ms: int, by_ms: int) -> Dial:
    """It is so much later at once."""
    return Dial(real_ms=real_ms, shown_ms=min(LAST_MS, shown(dial, real_ms) + max(0, by_ms)), rate=dial.rate)
