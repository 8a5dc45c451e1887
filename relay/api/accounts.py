"""Is everything that was accepted accounted for?

What the reconciler of the workers found (`relay.engine.accountant`), as it last wrote it down.
"""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from relay.accounts import State
from relay.api.route import Call, answer
from relay.api.shapes import Shape, Time
from relay.model import Channel
from relay.store.accounts import BOOKS, JOB, Books, Lap
from relay.times import format_ms


class LapShape(Shape):
    """One walk through all transfers. `states` counts the recipients of accepted events by how they stand
    (`unplanned` and `gone` count events), `pending` the scheduled deliveries by channel, other mails included."""

    began_at: Time
    ended_at: Time | None
    transfers: int
    events: int
    states: dict[State, int]
    pending: dict[Channel, int]
    repaired: int


class MissingShape(Shape):
    """Something of an accepted event that did not add up, and was gone through again where that mends it."""

    transfer: str
    sequence: int
    delivery: str | None
    detail: str


class AccountsShape(Shape):
    """`unaccounted` is what the last whole lap could not account for: 0, or `missing` names the first of it."""

    unaccounted: int
    transfers: int = Field(description="How many there are now.")
    last: LapShape | None = Field(description="The last whole lap; null before the first.")
    under_way: LapShape | None
    repaired: int = Field(description="Chains that stood still and were gone through again, ever.")
    missing: list[MissingShape]


async def get(call: Call) -> web.Response:
    """What the last lap found, and how far the next one is."""
    store = call.services.store
    raw = await store.shifts.state(JOB)
    books = BOOKS.decode(raw) if raw else Books()
    last = books.last
    missing = [] if last is None else last.missing
    return answer(
        AccountsShape(
            unaccounted=0 if last is None else last.states.get(State.UNACCOUNTED, 0),
            transfers=await store.accounts.transfers(),
            last=_lap(last),
            under_way=_lap(books.lap),
            repaired=books.repaired,
            missing=[
                MissingShape(transfer=transfer, sequence=sequence, delivery=delivery, detail=detail)
                for transfer, sequence, delivery, detail in missing
            ],
        )
    )


def _lap(lap: Lap | None) -> LapShape | None:
    if lap is None:
        return None
    return LapShape(
        began_at=format_ms(lap.began_ms),
        ended_at=format_ms(lap.ended_ms) if lap.ended_ms else None,
        transfers=lap.transfers,
        events=lap.events,
        states={state: lap.states.get(state, 0) for state in State},
        pending={channel: lap.pending.get(channel, 0) for channel in (Channel.WEBHOOK, Channel.EMAIL)},
        repaired=lap.repaired,
    )
