"""Does an endpoint take a signed message right now?

`relay.ping` is about no transfer: it is sent once, by hand, and is not a delivery. It is signed with the
keys, carries the headers and is written in the format that the endpoint's deliveries would.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import orjson

from relay.auth import random_text
from relay.errors import SignatureError, VaultError
from relay.formats import ping as in_format
from relay.model import PING, Attempt, Endpoint, Outcome, Secret, WebhookFormat
from relay.services import Services
from relay.signing import Ed25519Key, HmacKey, Key
from relay.times import format_ms
from relay.vault import Vault


@dataclass(frozen=True, slots=True)
class Ping:
    """What came of it, and the body that was signed."""

    attempt: Attempt
    body: bytes


async def ping(services: Services, endpoint: Endpoint, now_ms: int, *, forged: bool = False) -> Ping:
    """One attempt; the endpoint need not be stored, nor enabled. `forged` signs it with a secret that nobody
    has: who takes it does not verify."""
    message_id = f"ping-{random_text(20)}"
    body = orjson.dumps({"type": PING, "timestamp": format_ms(now_ms), "data": {"endpoint": endpoint.id}})
    config, format_, worn = services.config, endpoint.format, None
    try:
        keys, headers = _opened(services.vault, endpoint, now_ms)
        if format_ is not WebhookFormat.STANDARD:
            body = in_format(format_, config.formats.origins(config.server.base_url)[format_], message_id, body)
            worn = await services.callback_key.headers(format_, body, now_ms, headers)
    except (VaultError, SignatureError, ValueError):
        why = "The endpoint's secret cannot be used; rotate it."
        unsent = Attempt(number=1, at_ms=now_ms, duration_ms=0, outcome=Outcome.UNSENDABLE, detail=why)
        return Ping(unsent, body)
    attempt = await services.sender.attempt(
        number=1,
        url=endpoint.url,
        message_id=message_id,
        body=body,
        keys=[HmacKey(os.urandom(32))] if forged else keys,
        headers=headers,
        now_ms=now_ms,
        origin=endpoint.consent_origin,
        worn=worn,
    )
    return Ping(attempt, body)


def _opened(vault: Vault, endpoint: Endpoint, now_ms: int) -> tuple[list[Key], dict[str, str]]:
    """The keys that sign at this time, and the endpoint's own headers."""
    context = f"endpoint:{endpoint.id}:secret"

    def opened(kept: tuple[Secret, ...]) -> list[str]:
        live = (one for one in kept if one.expires_at_ms is None or one.expires_at_ms > now_ms)
        return [vault.open(one.sealed, context=context).decode() for one in live]

    keys: list[Key] = [HmacKey.parse(text) for text in opened(endpoint.secrets)]
    keys += [Ed25519Key.parse(text) for text in opened(endpoint.signing_keys)]
    if endpoint.sealed_headers is None:
        return keys, {}
    headers: dict[str, str] = orjson.loads(
        vault.open(endpoint.sealed_headers, context=f"endpoint:{endpoint.id}:headers")
    )
    return keys, headers
