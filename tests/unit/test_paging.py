"""Is a cursor only ever taken where it was given?"""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from relay.api.paging import Asked, Query, cursor, in_order, open_cursor, page_of
from relay.api.problems import Problem
from relay.model import DeliveryStatus


def query(text: str) -> Query:
    return Query(make_mocked_request("GET", f"/?{text}"))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_cursor_opens_to_what_it_was_made_of(position: str) -> None:
    assert open_cursor("list", cursor("list", position)) == position


@given(st.text())
def test_no_other_text_is_a_cursor(text: str) -> None:
    position = open_cursor("list", text)
    assert position is None or cursor("list", position) == text


def test_a_cursor_of_another_list_is_refused() -> None:
    assert open_cursor("partners", cursor("deliveries", "5")) is None


@pytest.mark.parametrize("limit", ["0", "501", "-1", "1.5", "ten", "\uff11\uff10", "00001"])
def test_a_limit_that_is_no_limit_is_refused(limit: str) -> None:
    asked = query(f"limit={limit}&after=junk&status=gone")
    asked.page("list")
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
    asked.page("list")
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
    assert asked.page("list") == Asked(None, limit)
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
