"""Is a cursor only ever taken where it was given?"""

from __future__ import annotations

import re

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from relay.api import deliveries
from relay.api.paging import NUMBER, TIMED, Asked, Listing, Query, cursor, in_order, open_cursor, page_of
from relay.api.problems import Problem
from relay.model import DeliveryStatus
from tests import listings

LIST = Listing("list")


def query(text: str) -> Query:
    return Query(make_mocked_request("GET", f"/?{text}"))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_cursor_opens_to_what_it_was_made_of(position: str) -> None:
    assert open_cursor(LIST, cursor(LIST, position)) == position


@given(st.text())
def test_no_other_text_is_a_cursor(text: str) -> None:
    position = open_cursor(LIST, text)
    assert position is None or cursor(LIST, position) == text


def test_a_cursor_of_another_list_is_refused() -> None:
    assert open_cursor(Listing("partners"), cursor(Listing("deliveries"), "5")) is None


@pytest.mark.parametrize(
    ("form", "sound", "unsound"),
    [
        (NUMBER, ["0", "7", "9007199254740991"], ["", "abc", "-1", "1.5", "+inf", "(1", " 1", "1\n", "1_0", "\u0663", "1|2", "9" * 17]),
        (TIMED, ["0|a", "-1|a", "1790000000000|x|y", "1|a\nb"], ["", "1", "1|", "|a", "+inf|a", "(1|a", "\u0663|a", "1.5|a", "9" * 17 + "|a"]),
        (deliveries.EVERYWHERE.position, ["1|t|1|0", "-1|a|b|2|16"], ["1|t", "1|t|1", "1|t|x|0", "1|t|1|x", "1|t|1|-1", "x|t|1|0"]),
    ],
    ids=["number", "timed", "deliveries"],
)  # fmt: skip
def test_a_cursor_that_somebody_made_is_refused_where_its_position_is_none_of_the_list(
    form: re.Pattern[str], sound: list[str], unsound: list[str]
) -> None:
    listing = Listing("list", form)
    assert [open_cursor(listing, cursor(listing, one)) for one in sound] == sound
    assert [one for one in unsound if open_cursor(listing, cursor(listing, one)) is not None] == []


def test_no_two_lists_have_one_name() -> None:
    names = [one.name for one in listings.every()]
    assert len(names) > 10
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("limit", ["0", "501", "-1", "1.5", "ten", "\uff11\uff10", "00001"])
def test_a_limit_that_is_no_limit_is_refused(limit: str) -> None:
    asked = query(f"limit={limit}&after=junk&status=gone")
    asked.page(LIST)
    asked.choice("status", DeliveryStatus)
    with pytest.raises(Problem) as problem:
        asked.check()
    assert problem.value.status == 422
    assert [fault.pointer for fault in problem.value.errors] == ["/limit", "/after", "/status"]


@pytest.mark.parametrize(
    ("text", "pointers"),
    [("statsu=pending", ["/statsu"]), ("status=pending&status=pending", ["/status"]), ("=x", ["/"]), ("a%2Fb~=1&b=2", ["/a~1b~0", "/b"]),
     ("status=gone&Status=pending", ["/status", "/Status"]), ("x" * 900 + "=1", ["/" + "x" * 64 + "…"])],
)  # fmt: skip
def test_a_parameter_that_there_is_not_or_twice_is_refused_and_those_there_are_are_named(
    text: str, pointers: list[str]
) -> None:
    asked = query(text)
    asked.page(LIST)
    asked.choice("status", DeliveryStatus)
    with pytest.raises(Problem) as problem:
        asked.check()
    assert [fault.pointer for fault in problem.value.errors] == pointers
    unknown = problem.value.errors[-1]
    assert unknown.pointer == "/status" or unknown.detail.endswith("there are limit, after, status")


@given(st.integers(0, 30), st.integers(1, 20))
def test_pages_in_a_lists_own_order_give_every_item_once(count: int, limit: int) -> None:
    seen: list[int] = []
    after: str | None = None
    while True:
        page = in_order(range(count), Asked(after, limit))
        seen += page.data
        if (after := page.next) is None:
            break
    assert seen == list(range(count))


@pytest.mark.parametrize(("text", "limit"), [("", 50), ("limit=1", 1), ("limit=500", 500)])
def test_limits_and_the_default(text: str, limit: int) -> None:
    asked = query(text)
    assert asked.page(LIST) == Asked(None, limit)
    asked.check()


def test_the_plus_of_an_offset_may_arrive_as_a_space() -> None:
    asked = query("since=2026-11-21T01:00:00+09:00")
    assert asked.time_ms("since") == 1_795_190_400_000
    asked.check()


@given(st.sets(st.integers(0, 999)), st.integers(1, 20))
def test_pages_give_every_item_once_newest_first(numbers: set[int], limit: int) -> None:
    items = [f"{number:03d}" for number in numbers]
    seen: list[str] = []
    after: str | None = None
    while True:
        page = page_of(items, str, Asked(after, limit))
        seen += page.data
        if page.next is None:
            break
        after = page.next
    assert seen == sorted(items, reverse=True)
