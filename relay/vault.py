"""How are secrets kept so that a copy of the database gives none of them away?

AES-256-GCM under a ring of keys: the first seals, all of them open, so a key is retired by putting a new
one in front and sealing again what `Vault.is_current` denies. Each value is bound to its place (`context`,
such as `endpoint:<id>:secret`) as associated data: a sealed value copied to another place does not open.

A sealed value is text: `1.<key id>.<base64url of nonce and ciphertext>`. The key id is a digest of the key,
and is part of the associated data. Random 96-bit nonces are sound for 2**32 values a key (NIST SP 800-38D).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from relay.errors import VaultError

KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_FORMAT = "1"
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)


class Vault:
    """Seals and opens short secrets.

    `keys` are 32 bytes each, the sealing one first. VaultError says which of them is unusable and what to
    do, by its place in the list, never by its value.
    """

    __slots__ = ("_current", "_ring")

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise VaultError("no key to seal secrets with: put at least one in secrets.keys")
        for place, key in enumerate(keys, start=1):
            if len(key) != KEY_BYTES:
                raise VaultError(f"key {place} of secrets.keys has {len(key)} bytes; {_CURE}")
        self._ring = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    def __repr__(self) -> str:
        return f"<Vault of {len(self._ring)} keys>"

    def seal(self, plain: bytes, *, context: str) -> str:
        """`plain` as text that only this ring opens, and only under the same `context`."""
        nonce = os.urandom(_NONCE_BYTES)
        locked = self._ring[self._current].encrypt(nonce, plain, _associated(self._current, context))
        return f"{_FORMAT}.{self._current}.{base64.urlsafe_b64encode(nonce + locked).decode()}"

    def open(self, sealed: str, *, context: str) -> bytes:
        """What was sealed. VaultError when no key of the ring made it, or it was altered or moved."""
        key_id, packed = _unpack(sealed)
        key = self._ring.get(key_id)
        if key is None:
            raise VaultError(
                "no key of secrets.keys made this sealed value: put the one that did back in the list"
            )
        try:
            return key.decrypt(packed[:_NONCE_BYTES], packed[_NONCE_BYTES:], _associated(key_id, context))
        except InvalidTag:
            raise VaultError("a sealed value was altered, or moved from where it belongs") from None

    def is_current(self, sealed: str) -> bool:
        """Whether the first key made it; if not, seal it again to let the old key go."""
        return _unpack(sealed)[0] == self._current


def generate_key() -> bytes:
    """32 random bytes, a key for `Vault`."""
    return os.urandom(KEY_BYTES)


def key_from_text(text: str) -> bytes:
    """A key as a person writes it: 64 hex digits, or base64 (standard or URL alphabet, padded or not).

    VaultError says what is wrong without repeating the text.
    """
    text = text.strip()
    if _HEX_KEY.fullmatch(text):
        return bytes.fromhex(text)
    try:
        standard = text.rstrip("=").replace("-", "+").replace("_", "/")
        key = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise VaultError(f"a key of secrets.keys is neither base64 nor hex; {_CURE}") from None
    if len(key) != KEY_BYTES:
        raise VaultError(f"a key of secrets.keys has {len(key)} bytes; {_CURE}")
    return key


_CURE = "give 32 random bytes in base64, as `openssl rand -base64 32` prints"


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"relay vault key id\x00" + key).hexdigest()[:12]


def _associated(key_id: str, context: str) -> bytes:
    return f"{key_id}\x00{context}".encode()


def _unpack(sealed: str) -> tuple[str, bytes]:
    parts = sealed.split(".")
    if len(parts) != 3 or parts[0] != _FORMAT:
        raise VaultError("not a sealed value of this relay")
    try:
        packed = base64.b64decode(parts[2].encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise VaultError("not a sealed value of this relay") from None
    if len(packed) < _NONCE_BYTES + _TAG_BYTES:
        raise VaultError("a sealed value was cut short")
    # Base64 has spare bits at its end: two texts for the same bytes would make an alteration unnoticed.
    if base64.urlsafe_b64encode(packed).decode() != parts[2]:
        raise VaultError("not a sealed value of this relay")
    return parts[1], packed
