"""Who sent this message, and are these the bytes that were sent?

Standard Webhooks 1.0.0: the signature covers `{id}.{timestamp}.{raw body}`, as HMAC-SHA256 (`v1`, secrets
`whsec_…`) and Ed25519 (`v1a`, secret keys `whsk_…`, public keys `whpk_…`). One code path for what the
relay sends and for what producers send to it. Pure: bytes in, headers out; only the two `new_…` functions
draw random bytes.

Keys are parsed once and kept, so that signing decodes nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from relay.errors import SignatureError

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
TOLERANCE_S = 300

# Visible ASCII without the full stop, which separates the signed parts: an id with one could be shifted
# into the timestamp.
_MESSAGE_ID = re.compile(r"[!-\-/-~]{1,256}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_MAX_HEADER_CHARS = 8192
_MAX_CANDIDATES = 32
_REFUSED = "the signature does not prove who sent this request"


class HmacKey:
    """A symmetric secret, `whsec_` and base64 of 24 to 64 bytes; signs as `v1`."""

    __slots__ = ("_secret",)
    version: Final = "v1"

    def __init__(self, secret: bytes) -> None:
        if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
            raise SignatureError(f"a signing secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
        self._secret = secret

    @classmethod
    def parse(cls, text: str) -> HmacKey:
        """From its text form. SignatureError, without the text in it, when that is not one."""
        return cls(_decode(text, "whsec_"))

    def __repr__(self) -> str:
        return "HmacKey(•••)"

    def sign(self, content: bytes) -> bytes:
        """The 32-byte signature of the signed content."""
        return hmac.digest(self._secret, content, "sha256")

    def is_valid(self, signature: bytes, content: bytes) -> bool:
        """Whether this key made `signature`; in constant time."""
        return hmac.compare_digest(self.sign(content), signature)


class Ed25519Key:
    """A key pair, `whsk_` and base64 of 64 bytes (libsodium's layout: seed, public key); signs as `v1a`."""

    __slots__ = ("_private", "_public", "public_text")
    version: Final = "v1a"

    def __init__(self, seed_and_public: bytes) -> None:
        if len(seed_and_public) != 64:
            raise SignatureError("a signing key has 64 bytes: the seed, then the public key")
        self._private = Ed25519PrivateKey.from_private_bytes(seed_and_public[:32])
        self._public = self._private.public_key()
        public = self._public.public_bytes_raw()
        # A key whose halves disagree would sign what its published half refuses, for ever.
        if not hmac.compare_digest(public, seed_and_public[32:]):
            raise SignatureError("the two halves of a signing key do not belong together")
        self.public_text = "whpk_" + base64.b64encode(public).decode()

    def jwk(self) -> dict[str, str]:
        """The public half as a JSON Web Key (RFC 8037); `kid` is its thumbprint (RFC 7638). `whpk` is the
        same in the text form of Standard Webhooks."""
        members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(self._public.public_bytes_raw())}
        canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
        thumbprint = _base64url(hashlib.sha256(canonical).digest())
        return members | {"use": "sig", "alg": "EdDSA", "kid": thumbprint, "whpk": self.public_text}

    @classmethod
    def parse(cls, text: str) -> Ed25519Key:
        """From its text form. SignatureError, without the text in it, when that is not one."""
        return cls(_decode(text, "whsk_"))

    def __repr__(self) -> str:
        return f"Ed25519Key({self.public_text})"

    def sign(self, content: bytes) -> bytes:
        """The 64-byte signature of the signed content."""
        return self._private.sign(content)

    def is_valid(self, signature: bytes, content: bytes) -> bool:
        """Whether this key made `signature`."""
        try:
            self._public.verify(signature, content)
        except InvalidSignature:
            return False
        return True


Key = HmacKey | Ed25519Key


def is_signed(public_text: str, signature: bytes, content: bytes) -> bool:
    """Whether the key whose public half is `public_text` (`whpk_…`) made `signature` over `content`. False
    for a text that is no key."""
    try:
        Ed25519PublicKey.from_public_bytes(_decode(public_text, "whpk_")).verify(signature, content)
    except (InvalidSignature, SignatureError, ValueError):
        return False
    return True


def new_secret() -> str:
    """A fresh symmetric secret: `whsec_` and base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


def new_signing_key() -> tuple[str, str]:
    """A fresh Ed25519 pair as (`whsk_…` to keep, `whpk_…` to publish)."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    secret = "whsk_" + base64.b64encode(private.private_bytes_raw() + public).decode()
    return secret, "whpk_" + base64.b64encode(public).decode()


def sign(message_id: str, timestamp_s: int, body: bytes, keys: Sequence[Key]) -> str:
    """The value of `webhook-signature`: one `<version>,<base64>` a key, space between, `v1` before `v1a`.

    `timestamp_s` is the Unix second of this attempt, the same number as in `webhook-timestamp`. Keys of
    one kind keep their order: the current secret first, then the previous one while it is valid.
    SignatureError when there is no key, or the id could not be told from the timestamp (a full stop).
    """
    content = signed_content(message_id, timestamp_s, body)
    if len(keys) == 1:
        key = keys[0]
        return f"{key.version},{binascii.b2a_base64(key.sign(content), newline=False).decode()}"
    if not keys:
        raise SignatureError("there is no key to sign with")
    return " ".join(
        f"{key.version},{base64.b64encode(key.sign(content)).decode()}"
        for key in sorted(keys, key=lambda key: len(key.version))
    )


def signed_content(message_id: str, timestamp_s: int, body: bytes) -> bytes:
    """The very bytes that are signed, `{id}.{timestamp}.{body}`; SignatureError on an unusable id."""
    if not _MESSAGE_ID.fullmatch(message_id):
        raise SignatureError("a message id is 1 to 256 visible ASCII characters without a full stop")
    return b"%b.%d.%b" % (message_id.encode("ascii"), timestamp_s, body)


def verify(
    headers: Mapping[str, str],
    body: bytes,
    keys: Sequence[Key],
    *,
    now_s: int,
    tolerance_s: int = TOLERANCE_S,
) -> None:
    """Returns when one of `keys` signed these headers and these raw `body` bytes within the tolerance.

    Otherwise SignatureError, always with the same words: what failed (a header missing, the time, the
    key, the bytes) would help only somebody who guesses. No `keys` costs as much as a wrong one.
    Signature versions not known here are skipped, as the standard asks.
    """
    message_id = _header(headers, ID_HEADER)
    timestamp = _header(headers, TIMESTAMP_HEADER)
    sound = (
        _MESSAGE_ID.fullmatch(message_id) is not None
        and _TIMESTAMP.fullmatch(timestamp) is not None
        and abs(now_s - int(timestamp)) <= tolerance_s
    )
    content = b"%b.%b.%b" % (
        message_id.encode("utf-8", "replace"),
        timestamp.encode("utf-8", "replace"),
        body,
    )
    candidates = _candidates(_header(headers, SIGNATURE_HEADER))
    proven = False
    for key in keys or (_NOBODY,):
        for version, signature in candidates or [(key.version, b"")]:
            if version == key.version and key.is_valid(signature, content):
                proven = proven or key is not _NOBODY
    if not (sound and proven):
        raise SignatureError(_REFUSED)


_NOBODY = HmacKey(os.urandom(32))


def _header(headers: Mapping[str, str], name: str) -> str:
    """A header by its name in any case; aiohttp's mappings do that themselves, a plain dict does not."""
    value = headers.get(name)
    if value is None:
        value = next((text for key, text in headers.items() if key.lower() == name), "")
    return value


def _candidates(header: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    if len(header) > _MAX_HEADER_CHARS:
        return found
    for item in header.split(" ")[:_MAX_CANDIDATES]:
        version, _, text = item.partition(",")
        try:
            found.append((version, base64.b64decode(text.encode("ascii"), validate=True)))
        except (UnicodeEncodeError, binascii.Error):
            continue
    return found


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str, prefix: str) -> bytes:
    if not text.startswith(prefix):
        raise SignatureError(f"a key of this kind begins with {prefix}")
    try:
        return base64.b64decode(text[len(prefix) :].encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise SignatureError(f"what follows {prefix} is not base64") from None
