"""May one more go, of all that the workers send together?

A rate that is shared: the generic cell rate algorithm on one key for each thing that is limited (hash tag
`pace:<name>`), kept only while it owes something. Who must wait is told when: each the next free moment, so that
those who wait do not all ask again at once.
"""

from __future__ import annotations

from typing import Final

from relay.store.client import Client, Script

FARTHEST_MS: Final = 15 * 60_000
"""Nobody is sent away for longer than this: limits change, and so does how many wait."""
_BURST_MS: Final = 1_000


class Paces:
    """Taking one of a rate."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pace = Script.read("pace")

    async def take(self, name: str, per_minute: float, now_ms: int) -> int:
        """0 when one may go, which is then counted; else when to ask again, in Unix ms. A second's worth may go
        at once. Raises StoreError."""
        gap = 60_000 / per_minute
        slack = max(0.0, _BURST_MS - gap)
        (again,) = await self._client.run(
            self._pace, [(f"pace:{name}", now_ms, repr(gap), repr(slack), now_ms + FARTHEST_MS)]
        )
        return int(again)
