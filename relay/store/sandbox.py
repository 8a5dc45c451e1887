"""What do the systems of the sandbox remember?

Each system (and the sandbox's clock) has one hash tag, `sandbox:<name>`, and under it one hash with its
whole `state`, the `version` of that state and how much was ever `noted`; and the list `notes` of what
happened. A system moves on by compare-and-set: state, calls that are owed and notes change together, or
nothing does. Nothing else of the relay's is under these tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay.store.client import Client, Op, Script

MOST_NOTES: Final = 2_000
_LOOKS: Final = 20


@dataclass(frozen=True, slots=True)
class Kept:
    """A system as it was read: its state (empty when there is none yet), and by what it is still that."""

    version: str
    state: bytes


@dataclass(frozen=True, slots=True)
class Noted:
    """A page of notes, oldest first; `next` is the cursor for what comes after them."""

    notes: list[bytes]
    next: int


class Sandboxes:
    """The durable memory of the sandbox; `name` is one system's. Raises StoreError."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._move = Script.read("sandbox")

    async def read(self, name: str) -> Kept:
        """The system as it is."""
        version, state = await self._client.ask("HMGET", self._client.key(f"sandbox:{name}"), "version", "state")
        return Kept((version or b"").decode(), state or b"")

    async def write(self, name: str, read: Kept, state: bytes, notes: Sequence[bytes] = ()) -> bool:
        """It moves on to `state`; False when it is not what was read any more."""
        op: Op = (f"sandbox:{name}", read.version, state, MOST_NOTES, *notes)
        (moved,) = await self._client.run(self._move, [op])
        return bool(moved)

    async def notes(self, name: str, *, after: int = 0, most: int = 100) -> Noted:
        """Notes from the one numbered `after` on; those that are forgotten already are passed over."""
        tag = f"sandbox:{name}"
        found: list[bytes] = []
        first = start = 0
        for _ in range(_LOOKS):
            before = await self._noted(tag)
            first = before - int(await self._client.ask("LLEN", self._client.key(tag, "notes")))
            start = max(0, after - first)
            found = list(await self._client.ask("LRANGE", self._client.key(tag, "notes"), start, start + most - 1))
            if await self._noted(tag) == before:  # else a note came between, and the numbers are another's
                return Noted(found, first + start + len(found))
        return Noted([], after)

    async def _noted(self, tag: str) -> int:
        return int(await self._client.ask("HGET", self._client.key(tag), "noted") or 0)
