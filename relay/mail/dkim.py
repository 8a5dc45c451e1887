"""Who vouches for a message?

A DKIM signature over the final bytes for each key that the operator has: relaxed/relaxed, without a length, the
headers that a forger would add signed once more than they occur. The relay signs only where nobody after it
does; most send through a server that signs for them.
Sources: RFC 6376 (DKIM), 8301 (no SHA-1, RSA of 2,048 bits), 8463 (ed25519), 8058 (what one-click needs signed).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from relay.errors import ConfigError

_SIGNED_ONCE_MORE = (
    "From",
    "To",
    "Cc",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
)
"""Nobody can add another one, nor one that is not there, without breaking the signature."""
_SIGNED = ("Auto-Submitted", "Content-Language", "List-Id")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_LEAST_BITS = 2048
_TXT = 255
"""Characters; what one string of a TXT record holds (RFC 1035, 3.3.14)."""
_SPACE = re.compile(rb"[ \t]+")


class DkimKey(Protocol):
    """One of `[mail] dkim`: where its public key is published, and a PEM file or its text."""

    @property
    def selector(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def key_file(self) -> str: ...
    @property
    def key(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Record:
    """What the domain's DNS must say: the name of a TXT record and its value."""

    name: str
    value: str

    def __str__(self) -> str:
        """As a line of a zone file: a long value is several strings, which are read as one."""
        strings = [f'"{self.value[at : at + _TXT]}"' for at in range(0, len(self.value), _TXT)]
        return f"{self.name}. IN TXT {' '.join(strings)}"


@dataclass(frozen=True, slots=True)
class _Signature:
    domain: str
    selector: str
    key: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        return "ed25519" if isinstance(self.key, Ed25519PrivateKey) else "rsa"

    def made(self, data: bytes) -> bytes:
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(sha256(data).digest())  # the hash is what is signed (RFC 8463, 3)
        return self.key.sign(data, PKCS1v15(), SHA256())

    def record(self) -> Record:
        if isinstance(self.key, Ed25519PrivateKey):
            public = self.key.public_key().public_bytes_raw()
        else:
            public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        value = f"v=DKIM1; k={self.algorithm}; p={b64encode(public).decode('ascii')}"
        return Record(f"{self.selector}._domainkey.{self.domain}", value)


class Signer:
    """Signs with every one of `keys`, for `from_domain` where a key names no other one.

    ConfigError, with all that is wrong, for keys that cannot be used.
    """

    def __init__(self, keys: Sequence[DkimKey], from_domain: str) -> None:
        self._signatures: list[_Signature] = []
        problems: list[str] = []
        for at, key in enumerate(keys):
            try:
                self._signatures.append(_signature(key, from_domain.lower()))
            except ValueError as problem:
                problems.append(f"mail.dkim.{at}{problem}")
        places = [(one.selector, one.domain) for one in self._signatures]
        if len(set(places)) != len(places):
            problems.append("mail.dkim: two keys have the same selector; give each its own")
        if problems:
            raise ConfigError(problems)

    @property
    def records(self) -> list[Record]:
        """What has to be published, one record a key."""
        return [one.record() for one in self._signatures]

    def signed(self, raw: bytes, at_s: int) -> bytes:
        """`raw`, a whole message with CRLF, with a signature of each key before it. `at_s` is Unix time."""
        if not self._signatures:
            return raw
        head, _, body = raw.partition(b"\r\n\r\n")
        headers = [_relaxed(line) for line in re.split(rb"\r\n(?![ \t])", head)]
        chosen = _chosen(headers)
        content = b64encode(sha256(_relaxed_body(body)).digest()).decode("ascii")
        made = [_header(one, headers, chosen, content, at_s) for one in self._signatures]
        return b"".join([*made, raw])


def _signature(key: DkimKey, from_domain: str) -> _Signature:
    """ValueError, its text going on after the key's place, where it cannot be used."""
    if not _NAME.fullmatch(key.selector):
        raise ValueError(".selector: give a name of letters, digits and hyphens, such as relay2026")
    domain = key.domain.lower() or from_domain
    if not _NAME.fullmatch(domain) or not f".{from_domain}".endswith(f".{domain}"):
        raise ValueError(f".domain: {domain} is neither {from_domain}, from which mails come, nor above it")
    if bool(key.key) == bool(key.key_file):
        raise ValueError(": give either key_file, a PEM file, or key, its text")
    return _Signature(domain, key.selector, _private(key))


def _private(key: DkimKey) -> RSAPrivateKey | Ed25519PrivateKey:
    where = f".key_file: {key.key_file}" if key.key_file else ".key: it"
    try:
        pem = Path(key.key_file).read_bytes() if key.key_file else key.key.encode()
        private = load_pem_private_key(pem, None)
    except OSError as error:
        raise ValueError(f"{where} cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a password
        raise ValueError(f"{where} is not a private key in PEM without a password") from None
    match private:
        case Ed25519PrivateKey():
            return private
        case RSAPrivateKey() if private.key_size >= _LEAST_BITS:
            return private
        case RSAPrivateKey():
            raise ValueError(f"{where} has {private.key_size} bits: make one of {_LEAST_BITS} (RFC 8301)")
        case _:
            raise ValueError(f"{where} is of a kind that DKIM does not know: make an RSA or an Ed25519 key")


def _relaxed(line: bytes) -> bytes:
    """One header, unfolded, as RFC 6376 (3.4.2) has it, without the end of its line."""
    name, _, value = line.partition(b":")
    flat = _SPACE.sub(b" ", value.replace(b"\r\n", b"")).strip(b" \t")
    return name.rstrip(b" \t").lower() + b":" + flat


def _relaxed_body(body: bytes) -> bytes:
    """A body as RFC 6376 (3.4.4) has it: nothing when nothing is in it, else one end of line at the end."""
    lines = [_SPACE.sub(b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def _chosen(headers: list[bytes]) -> list[str]:
    """The names that a signature covers, in its order, each as often as it is signed."""
    there = [line.partition(b":")[0] for line in headers]
    names = []
    for name in (*_SIGNED_ONCE_MORE, *_SIGNED):
        names += [name] * (there.count(name.lower().encode()) + (name in _SIGNED_ONCE_MORE))
    return names


def _header(one: _Signature, headers: list[bytes], names: list[str], content: str, at_s: int) -> bytes:
    """The finished header field of one signature, with the end of its line."""
    listed = ":\r\n ".join(":".join(names[at : at + 4]) for at in range(0, len(names), 4))
    bare = (
        f"DKIM-Signature: v=1; a={one.algorithm}-sha256; c=relaxed/relaxed; t={at_s};\r\n"
        f" d={one.domain}; s={one.selector};\r\n h={listed};\r\n bh={content};\r\n b="
    )
    left = list(headers)
    signed = []
    for name in names:  # the last of several comes first (RFC 6376, 5.4.2); one that is not there is nothing
        start = name.lower().encode() + b":"
        at = next((at for at in reversed(range(len(left))) if left[at].startswith(start)), None)
        if at is not None:
            signed.append(left.pop(at) + b"\r\n")
    made = b64encode(one.made(b"".join(signed) + _relaxed(bare.encode()))).decode("ascii")
    folded = "\r\n ".join(made[at : at + 72] for at in range(0, len(made), 72))
    return f"{bare}{folded}\r\n".encode()
