"""How are callbacks signed, and where is the certificate?

RSA over the raw body (PKCS#1 v1.5, SHA-256) with a certificate that an authority of the sandbox's own has
issued: made once, kept in the folder. The certificate is published beside the API; the authority's is what
the relay trusts instead of Microsoft's (`roots_file`), for an organisation that is not Microsoft.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from relay.embedded import kept_secret
from relay.sandbox.subscriptions.telling import OWN_HEADER
from relay.sandbox.system import Call

ORGANISATION: Final = "Transfer Relay Sandbox"
FILE: Final = "pcnotifications-sandbox.cer"
_KEY, _LEAF, _ROOT = "signer-key.pem", "signer.pem", "roots.pem"
_LASTS: Final = timedelta(days=20 * 366)


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs; `roots` is the file with the authority, `der` the certificate as it is published."""

    key: rsa.RSAPrivateKey
    der: bytes
    roots: Path
    url: str

    def sign(self, call: Call, raw: bytes) -> Mapping[str, str]:
        """The headers of a callback with this raw body."""
        signed = raw + b"?" if call.is_badly_signed else raw
        signature = self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        text = "Signature " + base64.b64encode(signature).decode()
        return {
            OWN_HEADER if call.scheme == OWN_HEADER else "Authorization": text,
            "X-MS-Certificate-Url": self.url,
            "X-MS-Signature-Algorithm": "rsa-sha256",
        }


def kept(folder: Path, url: str) -> Signer:
    """The signer of this folder, made with the first call. `url` is where its certificate will be published.

    Call it once before processes that share the folder start.
    """
    if not all((folder / name).exists() for name in (_KEY, _LEAF, _ROOT)):
        _make(folder)
    key = serialization.load_pem_private_key((folder / _KEY).read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{folder / _KEY} is not an RSA key; remove it, and another is made")
    leaf = x509.load_pem_x509_certificate((folder / _LEAF).read_bytes())
    return Signer(key, leaf.public_bytes(serialization.Encoding.DER), folder / _ROOT, url)


def _make(folder: Path) -> None:
    """A new authority, whose key is forgotten at once, and a certificate by it."""
    now = datetime.now(UTC)
    authority, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    issuer = _name("Sandbox authority")
    root = _signed(issuer, issuer, authority.public_key(), authority, now, is_authority=True)
    leaf = _signed(_name("pcnotifications.sandbox"), issuer, key.public_key(), authority, now, is_authority=False)
    for name in (_KEY, _LEAF, _ROOT):
        (folder / name).unlink(missing_ok=True)
    pem, format_ = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    kept_secret(folder / _KEY, lambda: key.private_bytes(pem, format_, serialization.NoEncryption()).decode().strip())
    kept_secret(folder / _LEAF, lambda: leaf.public_bytes(pem).decode().strip())
    kept_secret(folder / _ROOT, lambda: root.public_bytes(pem).decode().strip())


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    public: rsa.RSAPublicKey,
    by: rsa.RSAPrivateKey,
    now: datetime,
    *,
    is_authority: bool,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LASTS)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(by, hashes.SHA256())
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, common), x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION)]
    )
