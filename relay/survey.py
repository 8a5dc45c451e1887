"""What is there where a URL leads, before anything is sent: an address, a connection, a certificate?

Looks the name up, connects and shakes hands, through the guard of the session that deliveries go through
(`relay.dialer`), and hangs up. When the certificate is not good a second handshake, which verifies and sends
nothing, reads what is in it, so that it can be said what is wrong.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import AddrInfoType, ClientSession
from cryptography import x509
from cryptography.x509.oid import NameOID
from yarl import URL

from relay.dialer import BlockedAddress, GuardedConnector
from relay.model import Outcome
from relay.outcomes import explain

_DER = 2  # _ssl.ENCODING_DER
_MOST_NAMES = 10


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server showed. Times are Unix ms; `chain_ends_ms` is when the first of the certificates behind
    it ends, None where the chain cannot be read. `names` are at most ten."""

    names: tuple[str, ...]
    issuer: str
    begins_ms: int
    ends_ms: int
    chain_ends_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """How far it went. `failed` is why not further, with a sentence; None when all is well. `addresses`: how
    many the name has, 0 for a literal one. `connect_ms` is there when it came so far, and so are the others."""

    addresses: int = 0
    connect_ms: int | None = None
    tls_version: str | None = None
    certificate: Certificate | None = None
    failed: Outcome | None = None
    detail: str = ""


async def survey(session: ClientSession, url: URL, timeout_s: float) -> Survey | None:
    """Look at where `url` leads, for `timeout_s` at most. None where a proxy does all that."""
    connector = session.connector
    assert isinstance(connector, GuardedConnector)
    if connector.is_proxied:
        return None
    try:
        async with asyncio.timeout(timeout_s):
            return await _look(connector, url)
    except TimeoutError as error:
        outcome, detail = explain(error)
        return Survey(failed=outcome, detail=detail)


async def _look(connector: GuardedConnector, url: URL) -> Survey:
    host, port = url.raw_host or "", url.port or 0
    loop = asyncio.get_running_loop()
    try:
        found = await connector.addresses(host, port)
        is_name = any(address[4][0] != host for address in found)
        began = loop.time()
        address = await _first(connector, found)
    except OSError as error:
        outcome, detail = _why_not(error)
        return Survey(failed=outcome, detail=detail)
    seen = Survey(
        addresses=len(found) if is_name else 0, connect_ms=round((loop.time() - began) * 1000)
    )
    return await _handshake(connector, address, host, seen) if url.scheme == "https" else seen


def _why_not(error: OSError) -> tuple[Outcome, str]:
    if isinstance(error, BlockedAddress | TimeoutError):
        return explain(error)
    if isinstance(error, socket.gaierror):
        return Outcome.DNS_FAILED, "The host name could not be found."
    return Outcome.CONNECTION_REFUSED, "The endpoint could not be reached."


async def _first(connector: GuardedConnector, found: list[AddrInfoType]) -> AddrInfoType:
    """The first address that lets itself be connected to; the last error when none does."""
    failure = OSError("there is no address")
    for address in found:
        try:
            (await connector.dial(address)).close()
        except OSError as error:
            failure = error
        else:
            return address
    raise failure


async def _handshake(
    connector: GuardedConnector, address: AddrInfoType, host: str, so_far: Survey
) -> Survey:
    try:
        version, certificate = await _shown(connector, address, host, connector.tls)
        return replace(so_far, tls_version=version, certificate=certificate)
    except (OSError, ssl.SSLError) as error:
        outcome, detail = explain(error)
    failed = replace(so_far, failed=outcome, detail=detail)
    if outcome is not Outcome.TLS_FAILED:
        return failed
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    try:
        version, certificate = await _shown(connector, address, host, unverified)
    except (OSError, ssl.SSLError, ValueError):
        # There is no certificate to be read: what failed is told without it.
        return failed
    return replace(failed, tls_version=version, certificate=certificate)


async def _shown(
    connector: GuardedConnector, address: AddrInfoType, host: str, context: ssl.SSLContext
) -> tuple[str, Certificate]:
    opened = await connector.dial(address)
    try:
        _, writer = await asyncio.open_connection(sock=opened, ssl=context, server_hostname=host)
    except BaseException:
        opened.close()
        raise
    try:
        shaken: Any = writer.get_extra_info("ssl_object")
        leaf: bytes = shaken.getpeercert(binary_form=True)
        return str(shaken.version()), _read(leaf, _chain(shaken) if context.check_hostname else [])
    finally:
        writer.transport.abort()


def _chain(shaken: Any) -> list[bytes]:
    """The certificates that were verified, DER; public in Python from 3.13 on, and there before."""
    public = getattr(shaken, "get_verified_chain", None)
    if public is not None:
        return list(public())
    inner = getattr(getattr(shaken, "_sslobj", None), "get_verified_chain", None)
    return [] if inner is None else [one.public_bytes(_DER) for one in inner() or ()]


def _read(leaf: bytes, chain: list[bytes]) -> Certificate:
    made = x509.load_der_x509_certificate(leaf)
    try:
        named = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(name.value) for name in named]
    except x509.ExtensionNotFound:
        names = []
    issuer = made.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME) or list(made.issuer)
    behind = [_end_ms(x509.load_der_x509_certificate(one)) for one in chain if one != leaf]
    return Certificate(
        names=tuple(name[:253] for name in names[:_MOST_NAMES]),
        issuer=str(issuer[0].value)[:100] if issuer else "",
        begins_ms=round(made.not_valid_before_utc.timestamp() * 1000),
        ends_ms=_end_ms(made),
        chain_ends_ms=min(behind, default=None),
    )


def _end_ms(certificate: x509.Certificate) -> int:
    return round(certificate.not_valid_after_utc.timestamp() * 1000)
