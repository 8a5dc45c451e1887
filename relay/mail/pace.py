"""How many messages may go: to the addresses of one domain, and through a mail server that is new?

Receivers distrust an address that suddenly sends much, and slow down or refuse whoever sends one of them too much.
Both are rates in messages a minute; the tokens are counted in the store (`relay.store.pace`), for all workers
together. Pure: `now` comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Protocol

OTHERS = "*"
"""The domain of a limit that holds for each domain which has none of its own."""


class DomainLimit(Protocol):
    """`per_minute` messages to the addresses of `domain`."""

    @property
    def domain(self) -> str: ...
    @property
    def per_minute(self) -> float: ...


class WarmUp(Protocol):
    """`per_hour` messages on the day `since` (UTC), twice as many on each day after, no limit after `days`."""

    @property
    def since(self) -> date: ...
    @property
    def per_hour(self) -> float: ...
    @property
    def days(self) -> int: ...


def domain_of(email: str) -> str:
    """The domain of an address, as limits compare it: ASCII already, without regard to case."""
    return email.rpartition("@")[2].lower()


def rate_to(domain: str, limits: Sequence[DomainLimit]) -> float | None:
    """Messages a minute to this domain; None for no limit."""
    by_domain = {limit.domain.lower(): limit.per_minute for limit in limits}
    return by_domain.get(domain, by_domain.get(OTHERS))


def warming_rate(warm_up: WarmUp | None, now_ms: int) -> float | None:
    """Messages a minute through a server that is being warmed up; None for no limit. Before `since`, as on it."""
    if warm_up is None:
        return None
    day = (datetime.fromtimestamp(now_ms / 1000, UTC).date() - warm_up.since).days
    if day >= warm_up.days:
        return None
    return warm_up.per_hour / 60 * 2.0 ** max(0, day)
