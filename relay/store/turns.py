"""Whose turn is it to do a job that one process at a time does?

Background jobs that go through everything in small steps (hash tag `job:<name>`): a step takes the turn under a
lease, and gives it back with the state in which the next one, here or elsewhere, goes on.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from relay.store.client import Client, Script


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that was taken; `state` is what the last one left, empty the first time."""

    job: str
    token: str
    state: bytes


class Turns:
    """Taking and giving back."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._turn = Script.read("turn")

    async def take(self, job: str, *, now_ms: int, lease_ms: int) -> Turn | None:
        """The turn, when nobody has it and it is time."""
        token = secrets.token_hex(8)
        (state,) = await self._client.run(self._turn, [(f"job:{job}", "take", token, now_ms, lease_ms)])
        return None if state is None else Turn(job, token, state)

    async def give(self, turn: Turn, state: bytes, *, not_before_ms: int) -> bool:
        """Give it back with the new state, which holds only if nobody took the turn meanwhile."""
        (held,) = await self._client.run(self._turn, [(f"job:{turn.job}", "give", turn.token, state, not_before_ms)])
        return bool(held)

    async def state(self, job: str) -> bytes:
        """What the last step left; empty when there was none."""
        return await self._client.ask("HGET", self._client.key(f"job:{job}"), "state") or b""
