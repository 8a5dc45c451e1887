"""Who asks, and is the token theirs?

OAuth 2 as Microsoft Entra grants it (RFC 6749, sections 4.4 and 6): `client_credentials` for an application
alone, `refresh_token` for one of its people, who once consented. Secrets and tokens are functions of the
sandbox's own secret, so that none is kept. Times are of the sandbox's clock.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import uuid
from collections.abc import Mapping
from typing import Any, Final

import orjson

from relay.sandbox.subscriptions.refusals import Code
from relay.sandbox.subscriptions.requests import Asker
from relay.sandbox.subscriptions.world import World
from relay.sandbox.system import Answer, Refusal

LASTS_S: Final = 3600
_SPACE: Final = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")


class Tokens:
    """Gives and reads them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def client_id(self, tenant: str) -> str:
        """The id of a tenant's application."""
        return str(uuid.uuid5(_SPACE, f"application of {tenant}"))

    def client_secret(self, tenant: str) -> str:
        """The secret of that application."""
        return self._mac(f"client {tenant}")

    def refresh_token(self, tenant: str, email: str) -> str:
        """What one of a tenant's people gave by consenting."""
        return f"{_text(email)}.{self._mac(f'refresh {tenant} {email}')}"

    def grant(self, world: World, tenant: str, form: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
        """The answer of the token endpoint. Raises Refusal."""
        tenant = tenant.casefold()
        if tenant not in world.partners:
            raise _refused(400, "invalid_request", "there is no such tenant")
        given = [form.get("client_id"), form.get("client_secret")]
        ours = (self.client_id(tenant), self.client_secret(tenant))
        if not all(isinstance(one, str) and _same(one, own) for one, own in zip(given, ours, strict=True)):
            raise _refused(401, "invalid_client", "the client's id or its secret is wrong")
        kind, person, more = form.get("grant_type"), "", {}
        if kind == "refresh_token":
            refresh = form.get("refresh_token")
            people = world.partners[tenant].people
            person = next(
                (one.email for one in people if _same(str(refresh), self.refresh_token(tenant, one.email))), ""
            )
            if not person:
                raise _refused(400, "invalid_grant", "the refresh token is nobody's here")
            more = {"refresh_token": refresh}
        elif kind != "client_credentials":
            raise _refused(400, "unsupported_grant_type", "client_credentials or refresh_token")
        about = _text(orjson.dumps({"t": tenant, "p": person, "at": now_ms}).decode())
        return {
            "token_type": "Bearer", "expires_in": LASTS_S - 1, "ext_expires_in": LASTS_S - 1,
            "access_token": f"{about}.{self._mac(about)}", **more,
        }  # fmt: skip

    def asker(self, world: World, authorization: str, now_ms: int) -> Asker:
        """Who asks, by the Authorization header. Raises Refusal."""
        scheme, _, token = authorization.partition(" ")
        if scheme.casefold() != "bearer" or not token:
            raise Code.TOKEN_MISSING.refuse()
        about, _, mac = token.strip().rpartition(".")
        if not about or not _same(mac, self._mac(about)):
            raise Code.ACCESS_DENIED.refuse(why="the token is none of ours")
        try:
            said = orjson.loads(base64.urlsafe_b64decode(about + "=" * (-len(about) % 4)))
        except (ValueError, binascii.Error):
            raise Code.ACCESS_DENIED.refuse(why="the token cannot be read") from None
        if not world.tokens_from_ms <= said["at"] <= now_ms < said["at"] + LASTS_S * 1000:
            raise Code.ACCESS_DENIED.refuse(why="the token has expired")
        if said["t"] not in world.partners:
            raise Code.ACCESS_DENIED.refuse(why="the tenant is unknown")
        return Asker(said["t"], said["p"])

    def _mac(self, text: str) -> str:
        return hmac.new(self._secret, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode())


def _text(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _refused(status: int, error: str, description: str) -> Refusal:
    return Refusal(Answer(status, {"error": error, "error_description": description}), f"{status} {error}: {description}")
