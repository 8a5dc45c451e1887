"""Which lives can be played?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from relay.sandbox.plays import sims, subscriptions
from relay.sandbox.plays.stage import Stage
from relay.sandbox.plays.watching import Watch


@dataclass(frozen=True, slots=True)
class Life:
    """A life: its name, a line about it, and how it is played."""

    name: str
    kind: str
    system: str
    about: str
    play: Callable[[Stage, Watch], Awaitable[None]]


def _lives() -> dict[str, Life]:
    found = [
        Life(f"subscription-{name}", "subscription", subscriptions.SYSTEM, (play.__doc__ or "").strip(), play)
        for name, play in (
            ("completed", subscriptions.completed), ("partially-completed", subscriptions.partially_completed),
            ("retried", subscriptions.retried), ("failed", subscriptions.failed), ("expired", subscriptions.expired),
            ("canceled", subscriptions.canceled), ("held-up", subscriptions.held_up), ("garbled", subscriptions.garbled),
        )
    ] + [
        Life(f"sim-{name}", "sim", sims.SYSTEM, (play.__doc__ or "").strip(), play)
        for name, play in (
            ("completed", sims.completed), ("partially-completed", sims.partially_completed), ("canceled", sims.canceled),
            ("failed", sims.failed), ("assisted", sims.assisted),
        )
    ]  # fmt: skip
    return {one.name: one for one in found}


LIVES: Final = _lives()
"""Every life, by its name."""
