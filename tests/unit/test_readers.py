"""Is one address the same however it is written, and only to who has the key?"""

from __future__ import annotations

import pytest

from relay.closed import SuppressionReason, SuppressionSource
from relay.readers import Reader, Suppression, lifted, normalised, reader_key, suppressed

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("Aoi@Fabrikam.Example", "aoi@fabrikam.example"),
        (" aoi@fabrikam.example. ", "aoi@fabrikam.example"),
        ("aoi@bücher.example", "AOI@xn--bcher-kva.example"),
        ("aoi@BÜCHER.example", "aoi@bücher.example"),
        ("ao\u0308i@x.example", "aöi@x.example"),
        ("用户@例子.example", "用户@xn--fsqu00a.example"),
        ("aoi@-broken-.example", "AOI@-BROKEN-.example"),
    ],
)
def test_one_address_has_one_name(written: str, same: str) -> None:
    assert normalised(written) == normalised(same)
    assert reader_key(written, KEY) == reader_key(same, KEY)


def test_only_the_key_tells_whose_it_is() -> None:
    assert reader_key("aoi@fabrikam.example", KEY) != reader_key("aoi@fabrikam.example", b"x" * 32)
    assert reader_key("aoi@fabrikam.example", KEY) != reader_key("aoi2@fabrikam.example", KEY)
    assert "aoi" not in reader_key("aoi@fabrikam.example", KEY)


def test_the_first_suppression_holds_until_it_is_lifted() -> None:
    first = Suppression(reason=SuppressionReason.HARD_BOUNCE, source=SuppressionSource.SMTP, at_ms=1)
    second = Suppression(reason=SuppressionReason.COMPLAINT, source=SuppressionSource.POSTMARK, at_ms=2)
    reader = suppressed(suppressed(Reader(), first), second)
    assert reader.suppressed == first
    assert lifted(Reader()) == Reader()
    free = lifted(reader)
    assert (free.suppressed, free.lifted) == (None, 1)
    assert suppressed(free, second).suppressed == second
