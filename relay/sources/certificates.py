"""Which certificate signed what came in, and may it?

Fetched from a pinned folder over the guarded session, without redirects, at most 64 KiB, and kept: forged
requests cost no request of ours for each, and a certificate host that is down delays nothing that was
signed by a known certificate. At most so many are fetched a minute, whatever is sent to us; of one address fewer, and
what strangers name neither replaces a certificate that was right nor uses up what it is fetched again by.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import aiohttp
from aiohttp import ClientSession, ClientTimeout
from cryptography import x509

from relay.config_sources import PartnerCenter
from relay.errors import ConfigError, RelayError
from relay.sources.signature import Forged, read_certificates
from relay.times import from_ms

_MOST_BYTES = 65_536
_MOST_KEPT = 32
_MOST_WRONG = 256
_FRESH_MS = 3_600_000
_WRONG_MS = 60_000
_KNOWN_A_MINUTE, _UNKNOWN_A_MINUTE, _OF_ONE_A_MINUTE = 12, 48, 8
"""How many are fetched: of those that were right before, of others, and of these on behalf of one address."""


class CertificateAway(RelayError):
    """A certificate cannot be fetched just now: answer 503, and the callback comes again."""


class TooManyAsked(CertificateAway):
    """Too many were asked for in a minute, which says nothing about their host."""


@dataclass(slots=True)
class _Kept:
    chain: list[x509.Certificate]
    wrong: Forged | None
    at_ms: int


class Certificates:
    """Fetches, checks and keeps signers' certificates. `check(chain, now)` raises Forged for one that may not sign."""

    def __init__(
        self,
        session: ClientSession,
        timeout_s: float,
        check: Callable[[Sequence[x509.Certificate], datetime], None],
        clock: Callable[[], int],
    ) -> None:
        self._session = session
        self._timeout = ClientTimeout(total=timeout_s)
        self._check = check
        self._clock = clock
        self._right: dict[str, _Kept] = {}
        self._wrong: dict[str, _Kept] = {}
        self._fetching: dict[str, asyncio.Task[_Kept]] = {}
        self._fetched: list[tuple[int, str]] = []

    async def signer(self, url: str, asker: str) -> x509.Certificate:
        """The certificate at a pinned `url`, checked as of now, for who is at the address `asker`. Raises Forged,
        CertificateAway."""
        now = self._clock()
        kept = self._right.get(url) or self._wrong.get(url)
        if kept is None or now - kept.at_ms > (_WRONG_MS if kept.wrong else _FRESH_MS):
            try:
                kept = await self._fetch(url, "" if url in self._right else asker)
            except CertificateAway:
                if kept is None or kept.wrong:
                    raise
        if kept.wrong:
            raise kept.wrong
        self._check(kept.chain, from_ms(now))
        return kept.chain[0]

    async def _fetch(self, url: str, asker: str) -> _Kept:
        task = self._fetching.get(url)
        if task is None:
            self._spend(asker)
            task = asyncio.get_running_loop().create_task(self._get(url))
            self._fetching[url] = task
            task.add_done_callback(lambda _: self._fetching.pop(url, None))
        return await asyncio.shield(task)

    def _spend(self, asker: str) -> None:
        """One more is fetched for this address; "" for one that was right before. Raises TooManyAsked."""
        now = self._clock()
        self._fetched = [(at, who) for at, who in self._fetched if now - 60_000 < at <= now]
        mine = sum(1 for _, who in self._fetched if who == asker)
        others = sum(1 for _, who in self._fetched if who)
        if mine >= (_OF_ONE_A_MINUTE if asker else _KNOWN_A_MINUTE) or (asker and others >= _UNKNOWN_A_MINUTE):
            raise TooManyAsked("too many certificates were asked for in a minute")
        self._fetched.append((now, asker))

    async def _get(self, url: str) -> _Kept:
        now = self._clock()
        try:
            async with self._session.get(
                url, allow_redirects=False, timeout=self._timeout, headers={"Accept-Encoding": "identity"}
            ) as answer:
                if answer.status >= 500 or answer.status == 429:
                    raise CertificateAway(f"the certificate's host answers {answer.status}")
                raw = await answer.content.read(_MOST_BYTES + 1) if answer.status == 200 else b""
                while 0 < len(raw) <= _MOST_BYTES and (more := await answer.content.read(_MOST_BYTES + 1)):
                    raw += more
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise CertificateAway(f"the certificate's host does not answer ({type(error).__name__})") from None
        kept = _Kept([], None, now)
        try:
            if not 0 < len(raw) <= _MOST_BYTES:
                raise Forged("there is no certificate at the address")
            kept.chain = read_certificates(raw)
            self._check(kept.chain, from_ms(now))
        except Forged as forged:
            kept.wrong = forged
        for ours, most in ((self._right, _MOST_KEPT), (self._wrong, _MOST_WRONG)):
            ours.pop(url, None)
            if len(ours) >= most:
                ours.pop(next(iter(ours)))
        (self._wrong if kept.wrong else self._right)[url] = kept
        return kept


def read_authorities(settings: PartnerCenter) -> list[x509.Certificate]:
    """Who may have issued a signer's certificate. Raises ConfigError."""
    if not settings.roots_file:
        ders = ssl.create_default_context().get_ca_certs(binary_form=True)
        return [one for der in ders if (one := _readable(der)) is not None]
    try:
        found = x509.load_pem_x509_certificates(Path(settings.roots_file).read_bytes())
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
    except ValueError:
        why = "is not PEM with certificates"
    else:
        return found
    raise ConfigError([f"sources.partner_center.roots_file: {settings.roots_file} {why}"])


def _readable(der: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:  # an authority of the system's that breaks a rule is nobody's issuer here
        return None
