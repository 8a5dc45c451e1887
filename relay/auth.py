"""Who is calling?

A bearer token, or the three Standard Webhooks headers made with a producer's secret. Tokens look like
`rlp_<id><secret><checksum>`: the prefix says whose it is (`rlo_` the operator's, `rlr_` a producer's,
`rlp_` a partner's) so that a leaked one is recognised, the checksum (CRC-32) lets a scanner tell a token
from a look-alike without asking, and the secret has 190 bits. Only the SHA-256 of the whole is stored.

Tokens and producers are kept in this process for at most half a second, so that a busy producer costs
two reads a second, and a revocation is in force everywhere after that; at once where it was made. When a
token was last used is noted here and written at times, to the minute.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from aiohttp import hdrs, web

from relay.errors import RelayError, SignatureError, VaultError
from relay.model import Producer, Scope, Secret, Token, TokenHolder
from relay.signing import HmacKey, verify
from relay.store.registry import Registry
from relay.vault import Vault

K = TypeVar("K")
V = TypeVar("V")

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID, _SECRET, _CHECKSUM = 12, 32, 6
_PREFIX = {TokenHolder.OPERATOR: "rlo_", TokenHolder.PRODUCER: "rlr_", TokenHolder.PARTNER: "rlp_"}
_FRESH_S = 0.5
_log = structlog.get_logger("relay.auth")
_MOST_CACHED = 10_000
_USE_WRITTEN_MS = 60_000


class NotAuthenticated(RelayError):
    """Nobody is proven to be calling: answer 401."""


class NotAllowed(RelayError):
    """The caller is known and may not do this: answer 403."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling. `id` is the partner's key (casefolded), the producer's id, or `operator`.
    `all_transfers`: a producer that may post about transfers that another producer named first."""

    holder: TokenHolder
    id: str
    all_transfers: bool = False
    scope: Scope = Scope.ALL

    @property
    def is_operator(self) -> bool:
        """Whether this is the operator, who may do everything."""
        return self.holder is TokenHolder.OPERATOR


# --- tokens -----------------------------------------------------------------------------------------


def new_token(
    holder: TokenHolder,
    holder_id: str,
    now_ms: int,
    *,
    name: str = "",
    scope: Scope = Scope.ALL,
    not_before_ms: int | None = None,
    expires_at_ms: int | None = None,
) -> tuple[Token, str]:
    """A new token as it is stored, and its text, which is shown once."""
    id_, secret = random_text(_ID), random_text(_SECRET)
    body = f"{_PREFIX[holder]}{id_}{secret}"
    text = body + _checksum(body)
    stored = Token(
        id=id_,
        holder=holder,
        holder_id=holder_id,
        digest=digest(text),
        created_at_ms=now_ms,
        name=name,
        scope=scope,
        not_before_ms=not_before_ms,
        expires_at_ms=expires_at_ms,
    )
    return stored, text


def token_id(text: str) -> str | None:
    """The id inside a well-formed token; None for any other text. Pure: nothing is looked up."""
    body, checksum = text[:-_CHECKSUM], text[-_CHECKSUM:]
    if len(text) != 4 + _ID + _SECRET + _CHECKSUM or not text.isascii():
        return None
    if text[:4] not in _PREFIX.values() or _checksum(body) != checksum:
        return None
    return body[4 : 4 + _ID]


def digest(text: str) -> str:
    """How a token is stored: SHA-256, hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def random_text(length: int) -> str:
    """Unguessable letters and digits, 5.95 bits each."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    rest = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM):
        rest, digit = divmod(rest, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


@dataclass(frozen=True, slots=True)
class _Known:
    producer: Producer
    keys: list[tuple[HmacKey, Secret]]

    def keys_at(self, now_ms: int) -> list[HmacKey]:
        return [key for key, secret in self.keys if _in_its_time(secret, now_ms)]


# --- proving a request ------------------------------------------------------------------------------


class Authenticator:
    """Proves requests against the registry. Raises NotAuthenticated, or StoreError."""

    def __init__(
        self,
        registry: Registry,
        vault: Vault,
        operator_token: str,
        *,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._vault = vault
        self._operator = digest(operator_token).encode()
        self._clock = clock
        self._used: dict[str, int] = {}
        self._written: dict[str, int] = {}
        self._tokens: _Recent[str, Token | None] = _Recent(registry.get_token, monotonic)
        self._known: _Recent[None, dict[str, _Known]] = _Recent(self._read_producers, monotonic)

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """Whose bearer token the `Authorization` header carries."""
        scheme, _, text = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise NotAuthenticated("send your token in the header `Authorization: Bearer <token>`")
        return await self.caller_of(text.strip())

    async def caller_of(self, text: str) -> Caller:
        """Whose token `text` is."""
        presented = digest(text).encode()
        if hmac.compare_digest(presented, self._operator):
            return Caller(TokenHolder.OPERATOR, "operator")
        id_ = token_id(text)
        token = await self._tokens.get(id_) if id_ is not None else None
        if token is None or not hmac.compare_digest(presented, token.digest.encode()):
            raise NotAuthenticated("this token is not known, or was revoked")
        now_ms = self._clock()
        if not _in_its_time(token, now_ms):
            raise NotAuthenticated("this token has expired, or is not valid yet")
        self._used[token.id] = now_ms
        if token.holder is TokenHolder.PRODUCER:
            producers = await self._known.get(None)
            if token.holder_id not in producers:
                self._known.forget(None)  # it may have been made a moment ago, by another process
                producers = await self._known.get(None)
            if token.holder_id not in producers:
                raise NotAuthenticated("this token is not known, or was revoked")
            return _producer(producers[token.holder_id].producer)
        return Caller(token.holder, token.holder_id, scope=token.scope)

    async def write_used(self) -> None:
        """Write when tokens were last used: each at most once a minute. Raises StoreError."""
        due = {
            token: at for token, at in self._used.items() if at - self._written.get(token, 0) >= _USE_WRITTEN_MS
        }
        if due:
            await self._registry.used(due)
            if len(self._used) > _MOST_CACHED:
                self._used.clear()
                self._written.clear()
            self._written |= due

    async def verify_signed(self, headers: Mapping[str, str], body: bytes, now_s: int) -> Caller | None:
        """Which producer's secret made the Standard Webhooks headers over `body`, the raw bytes as they
        came; None when no active producer's did."""
        for known in (await self._known.get(None)).values():
            try:
                verify(headers, body, known.keys_at(now_s * 1000), now_s=now_s)
            except SignatureError:
                continue
            return _producer(known.producer)
        return None

    async def producer_keys(self, now_ms: int) -> dict[str, list[HmacKey]]:
        """The secrets that are valid now, by producer id."""
        return {id_: known.keys_at(now_ms) for id_, known in (await self._known.get(None)).items()}

    def forget_token(self, token: str) -> None:
        """A token was revoked here: the next request with it is refused."""
        self._tokens.forget(token)

    def forget_producers(self) -> None:
        """A producer was made or revoked here."""
        self._known.forget(None)

    async def _read_producers(self, _: None) -> dict[str, _Known]:
        return {one.id: _Known(one, self._keys(one)) for one in await self._registry.list_producers()}

    def _keys(self, producer: Producer) -> list[tuple[HmacKey, Secret]]:
        found = []
        for secret in producer.secrets:
            try:
                text = self._vault.open(secret.sealed, context=f"producer:{producer.id}:secret")
            except VaultError as error:
                # It proves nobody any more; the other producers' must.
                _log.error("producer.sealed", producer=producer.id, detail=str(error))
                continue
            found.append((HmacKey.parse(text.decode()), secret))
        return found


AUTH: web.AppKey[Authenticator] = web.AppKey("auth", Authenticator)


async def authenticate(request: web.Request) -> Caller:
    """Who sent this request, by its bearer token. Raises NotAuthenticated, or StoreError."""
    return await request.app[AUTH].authenticate(request.headers)


def _in_its_time(one: Token | Secret, now_ms: int) -> bool:
    return (one.not_before_ms or 0) <= now_ms and (one.expires_at_ms is None or now_ms < one.expires_at_ms)


def _producer(producer: Producer) -> Caller:
    return Caller(TokenHolder.PRODUCER, producer.id, producer.all_transfers)


class _Recent(Generic[K, V]):
    """What was read at most `_FRESH_S` ago. Requests that ask for the same at once share one read; what
    is absent is not remembered, so that a new token works at once."""

    def __init__(self, read: Callable[[K], Awaitable[V]], monotonic: Callable[[], float]) -> None:
        self._read = read
        self._monotonic = monotonic
        self._kept: dict[K, tuple[float, V]] = {}
        self._reading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        kept = self._kept.get(key)
        if kept is not None and self._monotonic() - kept[0] <= _FRESH_S:
            return kept[1]
        task = self._reading.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._refresh(key))
            self._reading[key] = task
        return await asyncio.shield(task)  # one caller going away does not fail the others

    def forget(self, key: K) -> None:
        self._kept.pop(key, None)
        self._reading.pop(key, None)  # a read that began before the change does not count any more

    async def _refresh(self, key: K) -> V:
        task = asyncio.current_task()
        began = self._monotonic()
        try:
            value = await self._read(key)
            if value is not None and self._reading.get(key) is task:
                if len(self._kept) >= _MOST_CACHED:
                    self._kept.clear()
                self._kept[key] = (began, value)
            return value
        finally:
            if self._reading.get(key) is task:
                del self._reading[key]
