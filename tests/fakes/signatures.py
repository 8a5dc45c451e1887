"""Does a receiver believe a message's signatures?

dkimpy, which shares nothing with what made them, asks a DNS that has the records the relay says must be there.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from relay.config_mail import DkimSection
from relay.mail.dkim import Record


def pem(key: object, password: bytes = b"") -> str:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()  # type: ignore[attr-defined]


@cache
def keys() -> tuple[DkimSection, ...]:
    """One of each kind."""
    return (
        DkimSection(selector="ed2026", key=pem(Ed25519PrivateKey.generate())),
        DkimSection(selector="rsa2026", key=pem(rsa.generate_private_key(65537, 2048))),
    )


def believed(raw: bytes, published: Iterable[Record]) -> list[bool]:
    """What is said of each signature of `raw`."""
    zone = {f"{one.name}.".encode(): one.value.encode() for one in published}

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        return zone.get(name)

    verifier = dkim.DKIM(raw)
    found = []
    for at in range(raw.split(b"\r\n\r\n")[0].count(b"DKIM-Signature:")):
        try:
            found.append(bool(verifier.verify(idx=at, dnsfunc=look_up)))
        except dkim.DKIMException:
            found.append(False)
    return found
