"""What does the relay know of the people behind addresses, and who may change it?

The face that the engine, the API and the commands use: an address goes in, how things stand with it comes out.
The key that addresses are named with is made when it is first needed, and sealed in the database: who has only
the database cannot tell whose address is on the list.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.closed import SuppressionReason
from relay.errors import VaultError
from relay.readers import Reader, Suppression, normalised, reader_key
from relay.store.readers import Readers
from relay.store.records import Page
from relay.vault import KEY_BYTES, Vault, generate_key

CONTEXT = "readers:key"


@dataclass(frozen=True, slots=True)
class Suppressed:
    """One address on the list. `email` is None where no key of the ring opens it."""

    email: str | None
    suppression: Suppression


class AddressBook:
    """Reads and changes how things stand with addresses. Raises `StoreError` and `Contended`, and VaultError when
    no key of the ring opens the key that addresses are named with."""

    def __init__(self, readers: Readers, vault: Vault) -> None:
        self._readers = readers
        self._vault = vault
        self._root: bytes | None = None

    async def key(self, purpose: str) -> bytes:
        """A key of this installation for one purpose: `address`, or what a link or return path is signed for.

        It stays the same when the keys of the ring are replaced.
        """
        if self._root is None:
            sealed = await self._readers.key.get()
            if sealed is None:
                sealed = await self._readers.key.keep(self._vault.seal(generate_key(), context=CONTEXT))
            root = self._vault.open(sealed, context=CONTEXT)
            if len(root) != KEY_BYTES:
                raise VaultError("the key that addresses are named with was cut short")
            self._root = root
        return hmac.new(self._root, purpose.encode(), hashlib.sha256).digest()

    async def asked(self, emails: Sequence[str]) -> asyncio.Future[list[list[bytes | None]]]:
        """How things stand with these; asked at once, awaited when wanted, and read by `read`."""
        key = await self.key("address")
        return self._readers.asked([reader_key(email, key) for email in emails])

    @staticmethod
    def read(reply: Sequence[bytes | None]) -> Reader:
        """One of the replies to `asked`."""
        return Readers.read(reply)

    async def name(self, email: str) -> str:
        """The name under which an address is kept."""
        return reader_key(email, await self.key("address"))

    async def several(self, emails: Sequence[str]) -> list[Reader]:
        """How things stand with each of these."""
        return [Readers.read(reply) for reply in await (await self.asked(emails))] if emails else []

    async def get(self, email: str) -> Reader:
        """How things stand with one."""
        (found,) = await self.several([email])
        return found

    async def change(self, email: str, change: Callable[[Reader], Reader]) -> tuple[Reader, Reader]:
        """Apply `change`, which may run several times; (before, after)."""
        name = await self.name(email)
        sealed = self._vault.seal(normalised(email).encode(), context=f"reader:{name}")
        return await self._readers.change(name, sealed, change)

    async def suppressed(
        self, after: str | None, limit: int, reason: SuppressionReason | None = None
    ) -> Page[Suppressed]:
        """The list, newest first; only those for one reason where that is given."""
        page = await self._readers.suppressed(after, limit, reason)
        return Page([Suppressed(self._opened(one.key, one.sealed), one.suppression) for one in page.data], page.next)

    def _opened(self, name: str, sealed: str) -> str | None:
        try:
            return self._vault.open(sealed, context=f"reader:{name}").decode()
        except VaultError:
            return None
