"""How are all of SORACOM's transfers one system of the sandbox?

The `Model` of `relay.sandbox.system`: the world as JSON, its timers, the faults that only it has, and what a
person may look at. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from relay.sandbox.sims import assisted
from relay.sandbox.sims.refusals import Code
from relay.sandbox.sims.world import World, first
from relay.sandbox.system import Call, Fault, Step, Verdict
from relay.times import format_ms

NAME: Final = "soracom"
_FAULTS: Final = {"leave_out": "the next acceptance brings all SIMs over but number `item`, from 1"}
_MOST_LEFT_OUT: Final = 20
_SHOWN: Final = 200
_dump = msgspec.json.Encoder().encode
_load = msgspec.json.Decoder(World).decode


class Sims:
    """The system; `url` is where its API stands."""

    name = NAME
    faults: Mapping[str, str] = _FAULTS

    def __init__(self, url: str) -> None:
        self.url = url

    def new(self, seed: str, now_ms: int) -> World:
        """The first world."""
        return first(seed, now_ms)

    def anew(self, state: World, seed: str, now_ms: int) -> World:
        """The first world."""
        return first(seed, now_ms)

    def load(self, raw: bytes) -> World:
        """A world from JSON."""
        return _load(raw)

    def dump(self, state: World) -> bytes:
        """As JSON."""
        return _dump(state)

    def due(self, state: World) -> int | None:
        """When the next assisted transfer is done."""
        return assisted.due(state)

    def tick(self, state: World, now_ms: int) -> Step[World]:
        """Assisted transfers are done."""
        return assisted.tick(state, now_ms)

    def fault(self, state: World, fault: Fault, now_ms: int) -> Step[World]:
        """An acceptance is to leave a SIM out."""
        if fault.item < 1:
            raise Code.INVALID.refuse("item: give its number, from 1")
        return Step(msgspec.structs.replace(state, left_out=(*state.left_out, fault.item)[-_MOST_LEFT_OUT:]))

    def waiting(self, state: World) -> tuple[Fault, ...]:
        """Those that wait for a batch to be accepted."""
        return tuple(Fault(kind=next(iter(_FAULTS)), item=item) for item in state.left_out)

    def forgiven(self, state: World) -> World:
        """Without them."""
        return msgspec.structs.replace(state, left_out=())

    def heard(self, state: World, call: Call, verdict: Verdict, now_ms: int) -> Step[World]:
        """An Event Handler's request was answered; nobody minds."""
        return Step(state)

    def waits_ms(self, call: Call) -> int:
        """Whether an Event Handler's request is tried again is written nowhere: here, soon and twice."""
        return 5_000

    def summary(self, state: World, now_ms: int) -> dict[str, Any]:
        """The parties, their SIMs, what was offered and what was applied for."""
        return {
            "url": self.url,
            "operators": [
                {"id": one.id, "name": one.name, "email": one.email, "has_payment": one.has_payment}
                for one in state.operators.values()
            ],
            "sims": [
                {"imsi": one.imsi, "owner": one.owner, "status": one.status.value, "transfer": one.batch or None}
                for one in list(state.sims.values())[-_SHOWN:]
            ],
            "transfers": [
                {
                    "id": one.id, "status": one.state.value, "source": one.source, "target": one.target,
                    "sims": list(one.imsis), "void": {imsi: status.value for imsi, status in one.void.items()},
                    "moved": list(one.moved), "at": format_ms(one.issued_ms),
                }
                for one in state.batches.values()
            ],
            "assisted": [
                {
                    "id": one.id, "status": one.phase.value, "source": one.source, "target": one.target,
                    "sims": list(one.imsis), "starts_at": format_ms(one.starts_ms) if one.starts_ms else None,
                }
                for one in state.applications.values()
            ],
            "handlers": len(state.handlers),
        }  # fmt: skip
