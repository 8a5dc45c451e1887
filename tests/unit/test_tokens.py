"""Can a token be told from a look-alike without asking anybody?"""

from __future__ import annotations

import pytest

from relay.auth import digest, new_token, token_id
from relay.model import TokenHolder


@pytest.mark.parametrize(
    ("holder", "prefix"), [("producer", "rlr_"), ("partner", "rlp_"), ("operator", "rlo_")]
)
def test_the_prefix_says_whose_it_is(holder: str, prefix: str) -> None:
    stored, text = new_token(TokenHolder(holder), "x", 1)
    assert text.startswith(prefix)
    assert token_id(text) == stored.id
    assert stored.digest == digest(text)


def test_what_is_stored_gives_nothing_of_the_secret_away() -> None:
    stored, text = new_token(TokenHolder.PARTNER, "x", 1)
    assert text[16:48] not in stored.model_dump_json()


def test_a_changed_character_is_noticed() -> None:
    _, text = new_token(TokenHolder.PARTNER, "x", 1)
    for place in range(len(text)):
        wrong = text[:place] + ("a" if text[place] != "a" else "b") + text[place + 1 :]
        assert token_id(wrong) is None


@pytest.mark.parametrize("text", ["", "rlp_", "x" * 54, "é" * 54, "\ud800" * 54])
def test_other_texts_are_no_tokens(text: str) -> None:
    assert token_id(text) is None
