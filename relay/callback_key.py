"""With which certificate are callbacks signed for those who expect Partner Center's?

The documented scheme (see `relay.sources.signature`): RSA with SHA-256 and PKCS#1 v1.5 over the raw body, the
address of the signer's certificate beside it. The relay has an authority of its own, made when it is first
needed and sealed in the database, which issues the certificate that signs. The authority stays; the certificate
is replaced before it ends, under another name. One certificate signs for all endpoints, as in Partner Center:
a receiver that can should verify the Standard Webhooks headers as well, whose secret is its own.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from relay.formats import MEDIA
from relay.model import Record, WebhookFormat
from relay.store.sealed import SealedKey
from relay.times import from_ms
from relay.vault import Vault

CONTEXT: Final = "callbacks:key"
FOLDER: Final = "/cert/"
"""Where certificates are published: a consumer of Partner Center's pins a folder of this name."""
AUTHORITY: Final = "relay-authority.pem"
_BITS = 2048
_AUTHORITY_LASTS = timedelta(days=7300)
_LASTS = timedelta(days=730)
_RENEWED_BEFORE = timedelta(days=90)
_EARLIER = timedelta(days=1)
"""Clocks of receivers may be late."""
_MOST_FORMER = 3
_NAME = re.compile(r"relay-callbacks-[0-9a-f]{1,40}\.cer")


class _Kept(Record, frozen=True, kw_only=True):
    """As it is sealed: PEM texts. `former` are certificates that signed before, the newest first."""

    authority_key: str
    authority: str
    key: str
    certificate: str
    former: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Signer:
    """The same, read. `published`: a file's name -> the certificate in DER."""

    kept: _Kept
    sealed: str
    key: rsa.RSAPrivateKey
    name: str
    certificate: x509.Certificate
    published: dict[str, bytes]

    def is_current(self, organisation: str, now: datetime) -> bool:
        """Whether it may sign for the organisation, for a good while yet."""
        whose = self.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        same = [one.value for one in whose] == [organisation]
        return same and now + _RENEWED_BEFORE < self.certificate.not_valid_after_utc


_KEPT = msgspec.json.Decoder(_Kept)


class CallbackKey:
    """Signs callbacks and publishes certificates. `folder_url` is where they are found; `organisation` whose the
    certificate is. Raises VaultError when no key of the ring opens what is kept, and StoreError."""

    def __init__(self, key: SealedKey, vault: Vault, *, folder_url: str, organisation: str) -> None:
        self._key = key
        self._vault = vault
        self._folder_url = folder_url
        self._organisation = organisation
        self._known: _Signer | None = None
        self._lock = asyncio.Lock()

    async def headers(
        self, format: WebhookFormat, body: bytes, now_ms: int, own: Mapping[str, str]
    ) -> dict[str, str]:
        """What a message of this format carries beside the Standard Webhooks headers."""
        made = {"content-type": MEDIA[format]}
        return made | await self._proof(body, now_ms, own) if format is WebhookFormat.PARTNER_CENTER else made

    async def _proof(self, body: bytes, now_ms: int, own: Mapping[str, str]) -> dict[str, str]:
        """The headers that prove `body`. The signature stands in `Authorization`, or, where the endpoint has a
        header of its own by that name (`own`), in `x-ms-signature`, as Partner Center offers it."""
        signer = await self._signer(now_ms)
        signature = base64.b64encode(signer.key.sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()
        taken = any(name.lower() == "authorization" for name in own)
        return {
            "x-ms-signature" if taken else "authorization": f"Signature {signature}",
            "x-ms-certificate-url": self._folder_url + signer.name,
            "x-ms-signature-algorithm": "rsa-sha256",
        }

    async def published(self, name: str, now_ms: int) -> bytes | None:
        """What is at this name in the folder: a certificate in DER, or the authority in PEM."""
        signer = await self._signer(now_ms)
        if name not in signer.published and _NAME.fullmatch(name):
            sealed = await self._key.get()  # another process may have replaced it
            if sealed is not None and sealed != signer.sealed:
                self._known = signer = self._read(sealed)
        return signer.published.get(name)

    async def _signer(self, now_ms: int) -> _Signer:
        now = from_ms(now_ms)
        known = self._known
        if known is not None and known.is_current(self._organisation, now):
            return known
        async with self._lock:
            sealed = await self._key.get()
            found = None if sealed is None else self._read(sealed)
            if found is None:
                made = await asyncio.to_thread(_made, self._organisation, now)
                found = self._read(await self._key.keep(self._seal(made)))
            if not found.is_current(self._organisation, now):
                made = await asyncio.to_thread(_renewed, found, self._organisation, now)
                await self._key.replace(found.sealed, self._seal(made))
                found = self._read(await self._key.get() or found.sealed)  # or what another process made of it
            self._known = found
            return found

    def _seal(self, kept: _Kept) -> str:
        return self._vault.seal(msgspec.json.encode(kept), context=CONTEXT)

    def _read(self, sealed: str) -> _Signer:
        kept = _KEPT.decode(self._vault.open(sealed, context=CONTEXT))
        certificates = [x509.load_pem_x509_certificate(pem.encode()) for pem in (kept.certificate, *kept.former)]
        published = {_name(one): one.public_bytes(serialization.Encoding.DER) for one in certificates}
        return _Signer(
            kept,
            sealed,
            _private(kept.key),
            _name(certificates[0]),
            certificates[0],
            published | {AUTHORITY: kept.authority.encode()},
        )


def _made(organisation: str, now: datetime) -> _Kept:
    """An authority and its first certificate. Takes a moment of CPU."""
    key = rsa.generate_private_key(65537, _BITS)
    authority = (
        _begun(organisation, "Callback authority", now, _AUTHORITY_LASTS, key.public_key())
        .issuer_name(_called(organisation, "Callback authority"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    leaf, certificate = _issued(organisation, now, key, authority)
    return _Kept(authority_key=_pem(key), authority=_text(authority), key=_pem(leaf), certificate=_text(certificate))


def _renewed(old: _Signer, organisation: str, now: datetime) -> _Kept:
    """Another certificate of the same authority; another authority, too, for another organisation."""
    authority = x509.load_pem_x509_certificate(old.kept.authority.encode())
    whose = authority.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    if [one.value for one in whose] != [organisation] or now + _LASTS > authority.not_valid_after_utc:
        return _made(organisation, now)
    leaf, certificate = _issued(organisation, now, _private(old.kept.authority_key), authority)
    former = (old.kept.certificate, *old.kept.former)[:_MOST_FORMER]
    return msgspec.structs.replace(old.kept, key=_pem(leaf), certificate=_text(certificate), former=former)


def _issued(
    organisation: str, now: datetime, by: rsa.RSAPrivateKey, authority: x509.Certificate
) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(65537, _BITS)
    certificate = (
        _begun(organisation, "Callbacks", now, _LASTS, key.public_key())
        .issuer_name(authority.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        .sign(by, hashes.SHA256())
    )
    return key, certificate


def _begun(
    organisation: str, name: str, now: datetime, lasts: timedelta, key: rsa.RSAPublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_called(organisation, name))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _called(organisation: str, name: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, organisation), (NameOID.COMMON_NAME, name))
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(certificate: x509.Certificate) -> str:
    return f"relay-callbacks-{certificate.serial_number:x}.cer"


def _pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _private(pem: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)  # it was made here
    return key


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
