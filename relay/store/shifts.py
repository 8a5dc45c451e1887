"""Who does a job that one process at a time does, and how far has it come?

Background jobs that go through everything in small steps (hash tag `job:<name>`): a step takes the shift under a
lease, and hands it over with the state in which the next one, here or elsewhere, goes on.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from relay.store.client import Client, Script


@dataclass(frozen=True, slots=True)
class Shift:
    """A shift that was taken; `state` is what the last one left, empty the first time."""

    job: str
    token: str
    state: bytes


class Shifts:
    """Taking and handing over."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._shift = Script.read("shift")

    async def take(self, job: str, *, now_ms: int, lease_ms: int) -> Shift | None:
        """The shift, when nobody has it and it is time."""
        token = secrets.token_hex(8)
        (state,) = await self._client.run(self._shift, [(f"job:{job}", "take", token, now_ms, lease_ms)])
        return None if state is None else Shift(job, token, state)

    async def keep(self, shift: Shift, state: bytes, *, until_ms: int) -> bool:
        """Hold on to it until then, with the state so far; False when another has taken it meanwhile."""
        (held,) = await self._client.run(self._shift, [(f"job:{shift.job}", "keep", shift.token, state, until_ms)])
        return bool(held)

    async def give(self, shift: Shift, state: bytes, *, not_before_ms: int) -> bool:
        """Hand it over with the new state, which holds only if nobody took the shift meanwhile."""
        (held,) = await self._client.run(self._shift, [(f"job:{shift.job}", "give", shift.token, state, not_before_ms)])
        return bool(held)

    async def state(self, job: str) -> bytes:
        """What the last step left; empty when there was none."""
        return await self._client.ask("HGET", self._client.key(f"job:{job}"), "state") or b""
