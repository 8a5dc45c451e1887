"""How does an operator show who it is?

By an API key and a token, which a sign-in with its e-mail and password gives (`POST /v1/auth`); the token
expires. All of them follow from the sandbox's secret: none is kept. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Mapping
from typing import Any, Final

from relay.sandbox.sims.refusals import Code
from relay.sandbox.sims.world import Operator, World

_SHORTEST_S, _USUAL_S, _LONGEST_S = 180, 86_400, 172_800
_KEY_LENGTH: Final = 40


class Keys:
    """What only the sandbox can make; `secret` is its own."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def password(self, operator: str) -> str:
        """The root user's."""
        return self._derived("password", operator)[:24]

    def api_key(self, operator: str) -> str:
        """The same at each sign-in."""
        return f"api-{self._derived('key', operator)[:32]}"

    def facade(self, coverage: str, operator: str) -> str:
        """The part of the relay's path that this operator calls by."""
        return self._derived(f"facade {coverage}", operator)[:_KEY_LENGTH]

    def transfer_token(self, seed: str, number: int) -> str:
        """Two UUIDs, joined: as SORACOM's look."""
        first, second = (
            uuid.UUID(self._derived(f"transfer {place}", f"{seed}:{number}")[:32], version=4) for place in (1, 2)
        )
        return f"{first}-{second}"

    def grant(self, world: World, body: Any, now_ms: int) -> dict[str, str]:
        """`POST /v1/auth`. Raises Refusal."""
        fields = body if isinstance(body, dict) else {}
        email, password = str(fields.get("email", "")), str(fields.get("password", ""))
        found = next((one for one in world.operators.values() if one.email == email), None)
        if found is None or not hmac.compare_digest(password.encode(), self.password(found.id).encode()):
            raise Code.UNAUTHORIZED.refuse()
        asked = fields.get("tokenTimeoutSeconds", _USUAL_S)
        lasts_s = asked if isinstance(asked, int) and _SHORTEST_S <= asked <= _LONGEST_S else _USUAL_S
        until = now_ms + lasts_s * 1000
        return {
            "apiKey": self.api_key(found.id),
            "operatorId": found.id,
            "token": f"{found.id}.{until}.{self._derived('session', f'{found.id}:{until}')}",
            "userName": "root",
        }

    def asker(self, world: World, headers: Mapping[str, str], now_ms: int) -> Operator:
        """Who asks, by the two headers. Raises Refusal."""
        operator, _, rest = headers.get("X-Soracom-Token", "").partition(".")
        until, _, proof = rest.partition(".")
        expected = self._derived("session", f"{operator}:{until}")
        key = headers.get("X-Soracom-API-Key", "")
        found = world.operators.get(operator)
        is_theirs = hmac.compare_digest(proof.encode("utf-8", "replace"), expected.encode())
        is_key = hmac.compare_digest(key.encode("utf-8", "replace"), self.api_key(operator).encode())
        if found is None or not (is_theirs and is_key) or int(until) <= now_ms:
            raise Code.UNAUTHORIZED.refuse()
        return found

    def _derived(self, use: str, about: str) -> str:
        return hmac.new(self._secret, f"soracom {use} {about}".encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
