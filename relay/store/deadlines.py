"""Which open transfers have a deadline, and what has been concluded of them already?

The times are a hint like the others (`due:deadline:<n>`), one member an open transfer, at its next deadline:
not the truth, which is each transfer's own standing, and made again from it. What was concluded stays in the
transfer's own slot: a derived event as any event, a reminder as the field `m:<step>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relay.deadlines import derived_id
from relay.store.client import Call, Client, Script
from relay.store.hints import Hint, tag_of
from relay.store.stored import Held, reader

_HELD = reader(Held)


@dataclass(frozen=True, slots=True)
class Looked:
    """A transfer that may have something due: as it stands, at which version, and its last step's body."""

    held: Held
    version: int
    body: bytes | None


class Deadlines:
    """Scheduling, reading and marking."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._schedule = Script.read("schedule")
        self._fields = Script.read("fields")

    def scheduling(self, times: Sequence[tuple[str, int | None]], *, only_new: bool = False) -> Call:
        """The call that says when transfers (by key) are to be looked at, None for not any more. `only_new`
        leaves those alone that have a time."""
        shards: dict[str, list[str | int]] = {}
        for key, at_ms in times:
            tag = tag_of(Hint.DEADLINE, key)
            shards.setdefault(tag, [tag, "NX" if only_new else ""]).extend((key, "" if at_ms is None else at_ms))
        return Call(self._schedule, [tuple(op) for op in shards.values()])

    async def look(self, keys: Sequence[str]) -> list[Looked | None]:
        """The transfers as they stand now."""
        stood = await self._client.run(self._fields, [(f"t:{key}", "s", "v") for key in keys])
        helds = [None if standing is None else _HELD.decode(standing) for standing, _ in stood]
        bodies = await self._client.run(
            self._fields,
            [(f"t:{key}", f"x:{0 if held is None else held.current}") for key, held in zip(keys, helds, strict=True)],
        )
        return [
            None if held is None else Looked(held, int(version), body)
            for held, (_, version), (body,) in zip(helds, stood, bodies, strict=True)
        ]

    async def told(self, key: str, steps: Sequence[str]) -> frozenset[str]:
        """Which of these have been concluded already, as an event or as a reminder."""
        if not steps:
            return frozenset()
        names = [name for step in steps for name in (f"m:{step}", f"e:{derived_id(key, step)}")]
        (marks,) = await self._client.run(self._fields, [(f"t:{key}", *names)])
        return frozenset(s for n, s in enumerate(steps) if any(m is not None for m in marks[2 * n : 2 * n + 2]))

    async def mark(self, key: str, step: str, now_ms: int) -> None:
        """Note that a reminder was given."""
        await self._client.ask("HSET", self._client.key(f"t:{key}"), f"m:{step}", now_ms)
