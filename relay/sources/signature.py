"""Was this callback signed by Partner Center?

The documented scheme: `Authorization: Signature <base64>` (or `x-ms-signature` with the same text), the
address of a certificate in `X-MS-Certificate-Url`, and `X-MS-Signature-Algorithm`; RSA, PKCS#1 v1.5, over
the raw body. What the documentation leaves to the receiver is decided here: the certificate comes from a
configured folder only, is issued by a configured authority, belongs to the configured organisation and is
valid now; and the algorithm is rsa-sha256, whatever else a sender may name.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import NameOID

ALGORITHM = "rsa-sha256"
MOST_CERTIFICATES = 8
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}\.(?:cer|crt|pem)", re.ASCII)
_SHORTEST_RSA_BITS = 2048
_LONGEST_SIGNATURE = 2048
_SHA256 = hashes.SHA256()


class Forged(Exception):
    """The request does not prove who sent it; says why, never what it carried."""


class Untrusted(Forged):
    """The certificate is where a genuine one would be, but no configured authority issued it: a forgery, or
    a roots_file that lacks one."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a request's headers give: the signature and where the certificate is."""

    signature: bytes
    certificate_url: str


def proof_of(headers: Mapping[str, str], folders: Sequence[str]) -> Proof:
    """From the headers. Raises Forged, so that nothing is fetched for what cannot be genuine."""
    text = headers.get("x-ms-signature") or headers.get("Authorization", "")
    scheme, _, encoded = text.strip().partition(" ")
    if scheme.casefold() != "signature" or not encoded:
        raise Forged("there is no signature: send `Authorization: Signature …` or `x-ms-signature`")
    if headers.get("X-MS-Signature-Algorithm", "").strip().casefold() != ALGORITHM:
        raise Forged(f"the algorithm must be {ALGORITHM}")
    url = headers.get("X-MS-Certificate-Url", "").strip()
    if not is_pinned(url, folders):
        raise Forged("the certificate is not in a folder that this relay trusts")
    return Proof(read_signature(encoded.strip()), url)


def read_signature(text: str) -> bytes:
    """A signature of RSA from base64. Raises Forged."""
    try:
        signature = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Forged("the signature is not base64") from None
    if not 0 < len(signature) <= _LONGEST_SIGNATURE:
        raise Forged("the signature is not one of RSA")
    return signature


def is_pinned(url: str, folders: Sequence[str]) -> bool:
    """Whether `url` names a file directly in one of `folders`. Compared as text, so that no two readers of
    URLs can disagree about what is asked for: no user, port, escape, query or dot segment fits."""
    return any(url.startswith(folder) and _NAME.fullmatch(url[len(folder) :]) for folder in folders)


def read_certificates(raw: bytes) -> list[x509.Certificate]:
    """The signer's certificate, then any that came with it; DER or PEM. Raises Forged."""
    try:
        if b"-----BEGIN" in raw:
            found = x509.load_pem_x509_certificates(raw)
        else:
            found = [x509.load_der_x509_certificate(raw)]
        for one in found:
            _ = (one.subject, one.issuer, one.not_valid_after_utc)
    except (ValueError, UnsupportedAlgorithm):
        raise Forged("what is at the certificate's address is not a certificate") from None
    return found[:MOST_CERTIFICATES]


def check_certificate(
    chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate], organisation: str, now: datetime
) -> None:
    """Returns when the first of `chain` may sign callbacks: issued, directly or through the others, by one of
    `authorities`, for `organisation`, and valid at `now`. Raises Forged."""
    leaf = chain[0]
    names = {
        str(one.value).casefold()
        for name in (leaf.subject, leaf.issuer)
        for one in name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    }
    if organisation.casefold() not in names:
        raise Forged("the certificate is another organisation's")
    check_signer(leaf, now)
    trusted = {one.fingerprint(hashes.SHA256()) for one in authorities}
    here, rest = leaf, list(chain[1:])
    for _ in range(MOST_CERTIFICATES):
        issuer = next(
            (one for one in (*authorities, *rest) if _is_valid(one, now) and _issued(here, one)), None
        )
        if issuer is None:
            break
        if issuer.fingerprint(hashes.SHA256()) in trusted:
            return
        rest.remove(issuer)
        here = issuer
    raise Untrusted(
        f"no authority of roots_file issued the certificate: it is by {leaf.issuer.rfc4514_string()[:200]}"
    )


def check_signer(certificate: x509.Certificate, now: datetime) -> None:
    """Returns when the certificate is valid at `now` and its key is RSA and long enough. Raises Forged."""
    if not _is_valid(certificate, now):
        raise Forged("the certificate is not valid now")
    _key_of(certificate)


def verify(
    raw: bytes,
    signature: bytes,
    certificate: x509.Certificate,
    digest: hashes.HashAlgorithm = _SHA256,
) -> None:
    """Returns when the certificate's key signed `raw` (RSA, PKCS#1 v1.5). Raises Forged."""
    try:
        _key_of(certificate).verify(signature, raw, padding.PKCS1v15(), digest)
    except InvalidSignature:
        raise Forged("the signature is not one of this body") from None


def _key_of(certificate: x509.Certificate) -> RSAPublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise Forged("the certificate's key cannot be read") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < _SHORTEST_RSA_BITS:
        raise Forged(f"the certificate's key is not RSA of {_SHORTEST_RSA_BITS} bits or more")
    return key


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` is an authority and its key made the certificate."""
    try:
        basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError, TypeError, InvalidSignature,
            UnsupportedAlgorithm):  # fmt: skip
        return False
    return basic.ca and _may_sign(issuer)


def _may_sign(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True

