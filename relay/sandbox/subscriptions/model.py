"""How is all of Partner Center's transfers one system of the sandbox?

The `Model` of `relay.sandbox.system`: the world as JSON, its timers, the faults that only it has, and what a
person may look at. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from relay.sandbox.subscriptions import hooks, moving
from relay.sandbox.subscriptions.customers import tenant_of
from relay.sandbox.subscriptions.refusals import Code
from relay.sandbox.subscriptions.telling import TEST
from relay.sandbox.subscriptions.views import entity
from relay.sandbox.subscriptions.world import State, World, first, put, with_transfer
from relay.sandbox.system import Answer, Call, Fault, Note, Step, Verdict

NAME: Final = "partner-center"
_WAITS_S: Final = (10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""How long after a callback that failed. The documentation names ten attempts and no intervals."""
_MOST_PLANS: Final = 50
_STRANGER: Final = "https://another-tool.example/hook"
_dump = msgspec.json.Encoder().encode
_load = msgspec.json.Decoder(World).decode


class Subscriptions:
    """The system; `url` is where its API stands."""

    name = NAME
    faults: Mapping[str, str] = moving.FAULTS

    def __init__(self, url: str) -> None:
        self.url = url

    def new(self, seed: str, now_ms: int) -> World:
        """The first world."""
        return first(seed)

    def anew(self, state: World, seed: str, now_ms: int) -> World:
        """The first world, with the registrations as they are."""
        return msgspec.structs.replace(first(seed), registrations=state.registrations)

    def load(self, raw: bytes) -> World:
        """A world from JSON."""
        return _load(raw)

    def dump(self, state: World) -> bytes:
        """As JSON."""
        return _dump(state)

    def due(self, state: World) -> int | None:
        """When a transfer moves by itself next."""
        return moving.due(state)

    def tick(self, state: World, now_ms: int) -> Step[World]:
        """Transfers have moved by themselves."""
        return moving.tick(state, now_ms, self.url)

    def fault(self, state: World, fault: Fault, now_ms: int) -> Step[World]:
        """Something is to go wrong."""
        if fault.kind == "forget_tokens":
            return Step(msgspec.structs.replace(state, tokens_from_ms=now_ms + 1))
        if fault.kind == "overwrite":
            return _overwritten(state, fault, now_ms)
        if fault.kind == "fail_item" and not fault.item:
            raise Code.INVALID.refuse(why="item: give its number, from 1")
        if fault.then not in ("", "complete", "fail"):
            raise Code.INVALID.refuse(why="then: complete or fail")
        transfer = state.transfers.get(fault.transfer.casefold())
        if fault.transfer and transfer is None:
            raise Code.NO_TRANSFER.refuse()
        if transfer is not None and transfer.status is State.IN_PROGRESS:
            return Step(with_transfer(state, moving.troubled(transfer, fault)))
        plan = msgspec.structs.replace(fault, transfer=fault.transfer.casefold())
        return Step(msgspec.structs.replace(state, plans=(*state.plans, plan)[-_MOST_PLANS:]))

    def waiting(self, state: World) -> tuple[Fault, ...]:
        """Those that wait for a submission."""
        return state.plans

    def forgiven(self, state: World) -> World:
        """Without them."""
        return msgspec.structs.replace(state, plans=())

    def heard(self, state: World, call: Call, verdict: Verdict, now_ms: int) -> Step[World]:
        """A callback was answered."""
        return Step(hooks.answered(state, call.id, verdict, now_ms) if call.event == TEST else state)

    def waits_ms(self, call: Call) -> int:
        """Longer each time."""
        return _WAITS_S[min(call.tried, len(_WAITS_S)) - 1] * 1000

    def summary(self, state: World, now_ms: int) -> dict[str, Any]:
        """The parties, and every transfer as its source sees it."""
        return {
            "url": self.url,
            "partners": [
                {
                    "tenant": one.tenant, "id": one.relay_id, "name": one.name, "kind": one.kind.value,
                    "has_agreement": one.has_agreement,
                    "registered": registration.url if (registration := state.registrations.get(one.tenant)) else None,
                }
                for one in state.partners.values()
            ],
            "customers": [
                {
                    "tenant": one.tenant, "name": one.name, "email": one.email, "partners": list(one.partners),
                    "agreed": list(one.agreed), "azure_plans": list(one.azure_plans),
                }
                for one in state.customers.values()
            ],
            "transfers": [entity(one, one.source) for one in state.transfers.values()],
        }  # fmt: skip


def _overwritten(state: World, fault: Fault, now_ms: int) -> Step[World]:
    tenant = tenant_of(state, fault.tenant)
    known = state.registrations.get(tenant)
    if known is None:
        raise Code.NOT_FOUND.refuse(why="nothing is registered")
    after = msgspec.structs.replace(known, url=_STRANGER, moved_ms=now_ms)
    note = Note(at_ms=now_ms, what="fault", about="", text=f"another tool has registered {_STRANGER}")
    changed = msgspec.structs.replace(state, registrations=put(state.registrations, tenant, after))
    return Step(changed, Answer(200), notes=(note,))
