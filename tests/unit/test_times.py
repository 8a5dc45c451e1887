"""Which texts are moments, and which moment each is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.times import format_ms, from_ms, from_ns, to_datetime, to_ms, to_ns

SECOND = 1_000_000_000
BASE = 1_795_222_923 * SECOND  # 2026-11-21T01:02:03Z


@pytest.mark.parametrize("digits", range(1, 10))
def test_up_to_nine_fractional_digits_count(digits: int) -> None:
    fraction = "123456789"[:digits]
    assert to_ns(f"2026-11-21T01:02:03.{fraction}Z") - to_ns("2026-11-21T01:02:03Z") == int(fraction.ljust(9, "0"))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T01:02:03Z", "2026-11-21t01:02:03z", "2026-11-21T10:02:03+09:00",
        "2026-11-20T19:32:03-05:30", "2026-11-21T01:02:03+00:00", "2026-11-21T01:02:03-00:00",
    ],
)  # fmt: skip
def test_one_moment_in_many_zones(text: str) -> None:
    assert to_ns(text) == BASE


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-11-21", "2026-11-21T01:02:03", "2026-11-21T01:02:03.5", "2026-11-21 01:02:03Z",
        "2026-11-21T01:02Z", "2026-11-21T01:02:03.Z", "2026-11-21T01:02:03.1234567890Z",
        "2026-11-21T01:02:03+0900", "2026-11-21T01:02:03+24:00", "2026-11-21T01:02:03+09:60",
        "2026-13-21T01:02:03Z", "2026-02-29T01:02:03Z", "2026-11-21T24:00:00Z", "2026-11-21T23:59:60Z",
        "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
        "1795222923", "2026-11-21T01:02:03Z\n", " 2026-11-21T01:02:03Z", "２０２６-11-21T01:02:03Z",
    ],
)  # fmt: skip
def test_what_is_not_an_rfc_3339_time_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        to_ns(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"])
def test_the_first_and_the_last_moment_can_be_computed_with(text: str) -> None:
    assert to_datetime(text).tzinfo is UTC
    assert from_ms(to_ms(to_datetime(text))).year in (1, 9999)


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),
    st.integers(-23 * 60, 23 * 60),
)
def test_what_python_writes_is_read_as_the_same_moment(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert to_datetime(moment.isoformat()) == moment


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_a_value_error(text: str) -> None:
    try:
        from_ns(to_ns(text))
    except ValueError:
        pass


@given(st.integers(0, 253_402_300_799_999))
def test_milliseconds_come_back_as_they_were(ms: int) -> None:
    assert to_ms(from_ms(ms)) == ms
    assert to_ns(format_ms(ms)) == ms * 1_000_000
