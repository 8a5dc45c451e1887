"""What does Partner Center answer, and when may it be asked again?

The few requests that the relay makes there, with a token of OAuth 2 (RFC 6749): the application's own
(`client_credentials`), or, with a refresh token, for the person who consented; a refresh token that is
replaced in an answer is kept sealed, so that it outlives the process. What does not work is an `Upstream`
of one of the kinds of `relay.sources.trouble`, told by status and type, never by text. No answer beyond
1 MiB is read, no redirect followed.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
from aiohttp import ClientSession, ClientTimeout, FormData

from relay.config_sources import PartnerCenter, Tenant
from relay.errors import RelayError, VaultError
from relay.outcomes import parse_retry_after
from relay.store.sources import Sources
from relay.vault import Vault

_MOST_BYTES = 1 << 20
_SPARE_MS = 60_000
_THROTTLED_S = 60
_LONGEST_WAIT_S = 3600
REGISTRATION = "/webhooks/v1/registration"


class Upstream(RelayError):
    """A request to the system was not answered as it should be. `kind` is one of relay.sources.trouble,
    `after_s` how long the system asked to be left alone."""

    def __init__(self, kind: str, detail: str, *, after_s: int | None = None, status: int = 0) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.after_s = after_s
        self.status = status


class PartnerApi:
    """Partner Center, as one tenant. Raises Upstream, StoreError."""

    def __init__(
        self,
        session: ClientSession,
        settings: PartnerCenter,
        tenant: Tenant,
        store: Sources,
        vault: Vault,
        clock: Callable[[], int],
    ) -> None:
        self._session = session
        self._settings = settings
        self._tenant = tenant
        self._store = store
        self._vault = vault
        self._clock = clock
        self._source = source_of(tenant)
        self._place = f"source:{self._source}:refresh"
        self._configured = hashlib.sha256(tenant.refresh_token.encode()).hexdigest()[:16]
        self._lock = asyncio.Lock()
        self._token = ""
        self._ends_ms = 0

    async def transfer(self, customer: str, transfer: str) -> Any:
        """A transfer as this tenant sees it; None when there is none."""
        return await self._ask("GET", f"/v1/customers/{customer}/transfers/{transfer}", absent=(404,))

    async def registration(self) -> Any:
        """The one registration of this tenant; None when there is none."""
        return await self._ask("GET", REGISTRATION, absent=(404,))

    async def register(self, url: str, events: list[str], *, replace: bool) -> Any:
        """Make the registration, or replace it."""
        body = {"WebhookUrl": url, "WebhookEvents": events}
        return await self._ask("PUT" if replace else "POST", REGISTRATION, body)

    async def event_names(self) -> list[str]:
        """The events that exist there now."""
        found = await self._ask("GET", f"{REGISTRATION}/events")
        return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []

    async def validate(self) -> str | None:
        """Ask for a validation event; its correlation id. At most two a minute are granted."""
        found = await self._ask("POST", f"{REGISTRATION}/validationEvents")
        id_ = found.get("correlationId") if isinstance(found, dict) else None
        return id_ if isinstance(id_, str) else None

    async def validation(self, correlation_id: str) -> Any:
        """How the delivery of a validation event went."""
        return await self._ask("GET", f"{REGISTRATION}/validationEvents/{correlation_id}", absent=(404,))

    async def _ask(
        self, method: str, path: str, body: object = None, *, absent: tuple[int, ...] = ()
    ) -> Any:
        status, answer = await self._send(method, path, body)
        if status == 401:
            # A token may be withdrawn before it ends: a new one is asked for once.
            self._token = ""
            status, answer = await self._send(method, path, body)
        if status in absent:
            return None
        if status in (401, 403):
            raise Upstream("authorization", f"{method} {path} is answered {status}{_said(answer)}", status=status)
        if not 200 <= status < 300:
            raise Upstream("unreachable", f"{method} {path} is answered {status}{_said(answer)}", status=status)
        if not answer:
            return None
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise Upstream("unreachable", f"{method} {path} is answered with what is not JSON") from None

    async def _send(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        headers = {
            "Authorization": f"Bearer {await self._bearer()}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "MS-RequestId": str(uuid.uuid4()),
            "MS-CorrelationId": str(uuid.uuid4()),
        }
        data = b"" if method == "POST" else None
        if body is not None:
            data = orjson.dumps(body)
            headers["Content-Type"] = "application/json"
        return await self._request(method, self._settings.api_url + path, f"{method} {path}", headers, data)

    async def _bearer(self) -> str:
        async with self._lock:
            if not self._token or self._clock() >= self._ends_ms:
                await self._new_token()
            return self._token

    async def _new_token(self) -> None:
        tenant, settings = self._tenant, self._settings
        refresh = await self._refresh_token()
        form = {
            "client_id": tenant.client_id, "client_secret": tenant.client_secret, "scope": settings.scope,
            "grant_type": "refresh_token" if refresh else "client_credentials",
        }  # fmt: skip
        if refresh:
            form["refresh_token"] = refresh
        url = f"{settings.login_url}/{tenant.tenant_id}/oauth2/v2.0/token"
        status, raw = await self._request("POST", url, "a token", {"Accept-Encoding": "identity"}, FormData(form))
        answer = _object(raw)
        if status != 200 or not isinstance(answer.get("access_token"), str):
            code = answer.get("error")
            said = f" {code}" if isinstance(code, str) and code.isascii() and len(code) < 64 else ""
            kind = "authorization" if 400 <= status < 500 or status == 200 else "unreachable"
            raise Upstream(kind, f"no token is given ({status}{said}); check client_id, its secret and the consent")
        lasts = answer.get("expires_in")
        lasts_s = int(lasts) if isinstance(lasts, (int, str)) and re.fullmatch(r"[0-9]{1,9}", str(lasts)) else 300
        self._token = answer["access_token"]
        self._ends_ms = self._clock() + max(1_000, lasts_s * 1000 - _SPARE_MS)
        replaced = answer.get("refresh_token")
        if refresh and isinstance(replaced, str) and replaced and replaced != refresh:
            sealed = self._vault.seal(replaced.encode(), context=self._place)
            await self._store.keep(self._source, "refresh", f"{self._configured} {sealed}".encode())

    async def _refresh_token(self) -> str:
        """The one that came last, unless another was configured since."""
        configured, _, sealed = (await self._store.kept(self._source, "refresh")).decode().partition(" ")
        if not self._tenant.refresh_token or configured != self._configured:
            return self._tenant.refresh_token
        try:
            return self._vault.open(sealed, context=self._place).decode()
        except VaultError:
            return self._tenant.refresh_token

    async def _request(
        self, method: str, url: str, what: str, headers: dict[str, str], data: bytes | FormData | None
    ) -> tuple[int, bytes]:
        timeout = ClientTimeout(total=self._settings.timeout_seconds)
        try:
            async with self._session.request(
                method, url, headers=headers, data=data, allow_redirects=False, timeout=timeout
            ) as answer:
                raw = await read_some(answer, _MOST_BYTES)
                status, after = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Upstream("unreachable", f"{what}: no answer ({type(error).__name__})") from None
        wait = parse_retry_after(after, self._clock()) if after else None
        if status == 429:
            after_s = min(_THROTTLED_S if wait is None else wait, _LONGEST_WAIT_S)
            raise Upstream("throttled", f"{what} is answered 429: wait {after_s} s", after_s=after_s, status=429)
        if status >= 500:
            raise Upstream("unreachable", f"{what} is answered {status}", after_s=wait, status=status)
        if 300 <= status < 400:
            raise Upstream("unreachable", f"{what} is answered {status}, a redirect", status=status)
        return status, raw


def source_of(tenant: Tenant) -> str:
    """The name under which the store, the metrics and the log know a tenant's source."""
    return f"partner-center:{tenant.name}"


async def read_some(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """The body; ClientError when it is longer than `most` bytes."""
    raw = bytearray()
    async for chunk in answer.content.iter_chunked(65_536):
        raw += chunk
        if len(raw) > most:
            raise aiohttp.ClientPayloadError("the answer is too long")
    return bytes(raw)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _said(raw: bytes) -> str:
    """The code of an error of Partner Center (`code`, `description`): never the text, which may name people."""
    code = _object(raw).get("code")
    return f" (code {code})" if isinstance(code, (int, str)) and str(code).isalnum() else ""
