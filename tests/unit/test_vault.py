"""Secrets open only with the right key, in the right place, unaltered."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import VaultError
from relay.vault import Vault, generate_key, key_from_text

PLACE = "endpoint:ep_1:secret"


@given(st.binary(max_size=300), st.text(max_size=60))
def test_what_is_sealed_opens_in_its_place(plain: bytes, context: str) -> None:
    vault = Vault([generate_key()])
    assert vault.open(vault.seal(plain, context=context), context=context) == plain


def test_two_seals_of_one_value_differ() -> None:
    vault = Vault([generate_key()])
    assert vault.seal(b"same", context=PLACE) != vault.seal(b"same", context=PLACE)


def test_a_sealed_value_does_not_open_in_another_place() -> None:
    vault = Vault([generate_key()])
    sealed = vault.seal(b"whsec", context=PLACE)
    with pytest.raises(VaultError, match="moved"):
        vault.open(sealed, context="endpoint:ep_2:secret")


def test_the_first_key_seals_and_all_open() -> None:
    old, new = generate_key(), generate_key()
    sealed_long_ago = Vault([old]).seal(b"x", context=PLACE)
    ring = Vault([new, old])
    assert ring.open(sealed_long_ago, context=PLACE) == b"x"
    assert not ring.is_current(sealed_long_ago)
    fresh = ring.seal(b"x", context=PLACE)
    assert ring.is_current(fresh)
    assert Vault([new]).open(fresh, context=PLACE) == b"x"


def test_a_value_of_a_key_no_longer_in_the_ring_does_not_open() -> None:
    sealed = Vault([generate_key()]).seal(b"x", context=PLACE)
    with pytest.raises(VaultError, match="no key"):
        Vault([generate_key()]).open(sealed, context=PLACE)


def test_every_altered_character_is_noticed() -> None:
    vault = Vault([generate_key()])
    sealed = vault.seal(b"abc", context=PLACE)
    for place, character in enumerate(sealed):
        altered = sealed[:place] + ("A" if character != "A" else "B") + sealed[place + 1 :]
        with pytest.raises(VaultError):
            vault.open(altered, context=PLACE)


@given(st.text(max_size=80))
def test_garbage_is_a_vault_error(text: str) -> None:
    with pytest.raises(VaultError):
        Vault([bytes(32)]).open(text, context=PLACE)


@pytest.mark.parametrize("packed", ["", "AAAA", "not base64!", "é"])
def test_a_truncated_value_is_a_vault_error(packed: str) -> None:
    vault = Vault([bytes(32)])
    key_id = vault.seal(b"", context=PLACE).split(".")[1]
    with pytest.raises(VaultError):
        vault.open(f"1.{key_id}.{packed}", context=PLACE)


@pytest.mark.parametrize("keys", [[], [b"short"], [bytes(32), bytes(31)]])
def test_an_unusable_ring_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(VaultError, match=r"secrets\.keys"):
        Vault(keys)


def test_keys_are_read_as_people_write_them() -> None:
    key = bytes(range(220, 252))
    standard = base64.b64encode(key).decode()
    urlsafe = base64.urlsafe_b64encode(key).decode()
    for text in (
        standard,
        standard.rstrip("="),
        urlsafe,
        urlsafe.rstrip("="),
        key.hex(),
        key.hex().upper(),
        f" {standard}\n",
    ):
        assert key_from_text(text) == key


@pytest.mark.parametrize("text", ["", "hunter2", base64.b64encode(bytes(16)).decode(), "00" * 16, "é" * 44])
def test_an_unusable_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(VaultError, match="32 random bytes") as refused:
        key_from_text(text)
    assert not text or text not in str(refused.value)


def test_neither_ring_nor_error_shows_a_key() -> None:
    key = generate_key()
    assert key.hex() not in repr(Vault([key]))
