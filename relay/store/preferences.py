"""What did each person choose?

In the slot of those whose people they are (`relay.preferences.slot`), beside the registrations, and read with them:

    {p:<slot>}:preferences     hash: casefolded address -> JSON of relay.preferences.Preferences
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.errors import RelayError
from relay.preferences import UNSAID, Preferences
from relay.store.client import Client, Script
from relay.store.stored import dump, reader

_READER = reader(Preferences)
_TRIES = 32


class ChangedMeanwhile(RelayError):
    """Others kept changing the same person's choices; nothing was changed. Try again."""


class Choices:
    """Reads and changes. Raises `StoreError`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._set = Script.read("registry_set")

    async def get(self, slot: str, email: str) -> Preferences:
        """One person's."""
        raw = await self._client.ask("HGET", self._key(slot), email.casefold())
        return _READER.decode(raw) if raw else UNSAID

    async def of(self, slot: str) -> dict[str, Preferences]:
        """Everybody's in this slot, by casefolded address."""
        return read_chosen(await self._client.ask("HGETALL", self._key(slot)))

    async def change(
        self, slot: str, email: str, change: Callable[[Preferences], Preferences]
    ) -> tuple[Preferences, Preferences]:
        """Apply `change`, which may run several times; (before, after)."""
        for _ in range(_TRIES):
            raw = await self._client.ask("HGET", self._key(slot), email.casefold()) or b""
            before = _READER.decode(raw) if raw else UNSAID
            after = change(before)
            op = (f"p:{slot.casefold()}", "preferences", email.casefold(), raw, dump(after), 0)
            ((code, _),) = await self._client.run(self._set, [op])
            if code != b"changed":
                return before, after
        raise ChangedMeanwhile

    def _key(self, slot: str) -> str:
        return self._client.key(f"p:{slot.casefold()}", "preferences")


def read_chosen(flat: Sequence[bytes] | dict[bytes, bytes]) -> dict[str, Preferences]:
    """A whole hash of choices, as the database replies it."""
    if isinstance(flat, dict):
        return {email.decode(): _READER.decode(raw) for email, raw in flat.items()}
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {email.decode(): _READER.decode(raw) for email, raw in pairs}
