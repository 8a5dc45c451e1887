"""Who is billed for a SIM on a day?

The source until the day before the transfer date, the destination from the transfer date on. A day is
Japan's (the documents name no zone). A SIM that is not used yet costs too. Pure.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from relay.sandbox.sims.assisted import JAPAN
from relay.sandbox.sims.world import Sim, World
from relay.times import to_ms

MOST_DAYS = 400
_DAY_MS = 86_400_000


def billed(sim: Sim, day: date) -> str:
    """Whoever owns it when the day ends; "" before anybody did."""
    end = to_ms(datetime(day.year, day.month, day.day, tzinfo=JAPAN)) + _DAY_MS
    owners = [one.operator for one in sim.owners if one.from_ms < end]
    return owners[-1] if owners else ""


def bill(world: World, first: date, last: date) -> dict[str, Any]:
    """For each operator and SIM, how many days it is billed for, both ends included."""
    days = [first + timedelta(days=count) for count in range(min((last - first).days + 1, MOST_DAYS))]
    found: dict[str, dict[str, int]] = {}
    for sim in world.sims.values():
        for day in days:
            operator = billed(sim, day)
            if operator:
                sims = found.setdefault(operator, {})
                sims[sim.imsi] = sims.get(sim.imsi, 0) + 1
    return found
