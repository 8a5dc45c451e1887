"""Which link leads a reader to what they may choose, and whose link is this?

A link says itself whose it is, sealed so that only this installation can make one, change one or read one
(AES-SIV, RFC 5297: the same reader and mail give the same link), and for how long it works. It needs no sign-in: who
has the mail has the link, and all it can do is say when that mailbox is written to.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from relay.address_book import AddressBook
from relay.closed import Audience
from relay.model import Recipient
from relay.preferences import may_choose

PATH = "/preferences/"
_PURPOSE = "preference links"
_DAY_MS = 86_400_000
_LONGEST = 2048


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose a link is: a person in one role, their language, and the type of the mail it came with. `expired`: it
    worked once."""

    partner: str | None
    email: str
    audience: Audience
    is_root: bool
    locale: str
    type: str
    expired: bool


class PreferenceLinks:
    """Makes and reads links. `base_url` is how people reach the relay, "" where nobody said: there are none then.
    Raises `StoreError`, and VaultError when no key of the ring opens what links are sealed with."""

    def __init__(self, book: AddressBook, base_url: str, days: int) -> None:
        self._book = book
        self._base_url = base_url
        self._days = days
        self._cipher: AESSIV | None = None

    async def url(self, to: Recipient, type_: str, at_ms: int) -> str:
        """The link for a mail of this type made at that time; "" where there is nothing to choose."""
        if not self._base_url or to.email is None or not may_choose(type_, root=to.is_root):
            return ""
        return await self.daily_url(to, type_, at_ms)

    async def daily_url(self, to: Recipient, type_: str, at_ms: int) -> str:
        """The same for a mail that carries several: its type is `relay.preferences.DAILY`."""
        if not self._base_url:
            return ""
        until = at_ms // _DAY_MS + self._days
        said = [until, to.partner, to.email, to.audience, int(to.is_root), to.locale or "", type_]
        sealed = (await self._sealer()).encrypt(orjson.dumps(said), [_PURPOSE.encode()])
        return f"{self._base_url}{PATH}{base64.urlsafe_b64encode(sealed).rstrip(b'=').decode()}"

    async def holder(self, token: str, now_ms: int) -> Holder | None:
        """Whose link this is; None for one that this installation never made."""
        if len(token) > _LONGEST:
            return None
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            said = (await self._sealer()).decrypt(sealed, [_PURPOSE.encode()])
        except (binascii.Error, ValueError, InvalidTag):
            return None
        until, partner, email, audience, is_root, locale, type_ = orjson.loads(said)
        expired = now_ms // _DAY_MS > until
        return Holder(partner, email, Audience(audience), bool(is_root), locale, type_, expired)

    async def _sealer(self) -> AESSIV:
        if self._cipher is None:
            self._cipher = AESSIV(await self._book.key(_PURPOSE))
        return self._cipher
