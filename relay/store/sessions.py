"""Who is signed in to the portal, and with which link may somebody sign in?

A link works once: reading it removes it. Neither a link nor a session is stored itself, only its SHA-256,
and both end by themselves.

    {link:<digest>}       the partner's key; expires with the link
    {session:<digest>}    the partner's key; expires with the session
"""

from __future__ import annotations

import hashlib
import secrets

from relay.store.client import Client


class Sessions:
    """Sign-in links and sessions of partners' people. Raises `StoreError`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def new_link(self, partner: str, *, seconds: int) -> str:
        """The secret part of a link that signs one person in as `partner`, once."""
        return await self._new("link", partner, seconds)

    async def use_link(self, link: str) -> str | None:
        """The partner's key, the first time only."""
        return _text(await self._client.ask("GETDEL", self._key("link", link)))

    async def new_session(self, partner: str, *, seconds: int) -> str:
        """The secret of a new session, for a cookie."""
        return await self._new("session", partner, seconds)

    async def session(self, session: str) -> str | None:
        """The partner's key while the session lasts."""
        return _text(await self._client.ask("GET", self._key("session", session)))

    async def end_session(self, session: str) -> None:
        """Sign out."""
        await self._client.ask("DEL", self._key("session", session))

    async def _new(self, what: str, partner: str, seconds: int) -> str:
        secret = secrets.token_urlsafe(32)
        await self._client.ask("SET", self._key(what, secret), partner.casefold(), "EX", seconds)
        return secret

    def _key(self, what: str, secret: str) -> str:
        digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
        return self._client.key(f"{what}:{digest}")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
