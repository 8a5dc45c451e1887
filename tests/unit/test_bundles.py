"""Which deliveries go together, which wait, and that none is left out or there twice."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from relay.bundles import Ticket, bundle
from relay.model import Audience, Channel, Delivery, Recipient, When
from relay.people import daily_id
from relay.preferences import Preferences

TO = Recipient(
    id=daily_id("contoso", "a@x.example"), channel=Channel.EMAIL, audience=Audience.SOURCE, partner="contoso",
    email="a@x.example",
)  # fmt: skip
KNOWN = {"a@x.example": Preferences(types={"transfer.created": When.DAILY})}
UTC = ZoneInfo("UTC")
DAY, HOUR = 86_400_000, 3_600_000


def one(name: str, created_ms: int) -> Delivery:
    return Delivery(
        id=name, event_id=name, type="transfer.created", transfer=name, transfer_key=name, sequence=1,
        created_at_ms=created_ms, recipient=TO,
    )  # fmt: skip


def test_what_was_planned_after_the_hour_waits_for_the_next_day() -> None:
    waiting = [(one("b", 3 * HOUR), None), (one("a", 2 * HOUR), None), (one("c", 9 * HOUR), None)]
    made = bundle(waiting, KNOWN, now_ms=10 * HOUR, hour=8, zone=UTC, most=40)
    assert (made.fresh, made.begun, made.later) == ([["a", "b"]], {}, {"c": DAY + 8 * HOUR})


def test_a_mail_that_was_begun_stays_as_it_was() -> None:
    ticket = Ticket("a", 2)
    waiting = [(one("a", 2), ticket), (one("b", 1), ticket), (one("c", 3), None), (one("d", 9 * HOUR), None)]
    made = bundle(waiting, KNOWN, now_ms=10 * HOUR, hour=8, zone=UTC, most=40)
    assert made.begun == {"a": ["b", "a"]} and made.fresh == [["c"]] and list(made.later) == ["d"]


def test_what_lost_the_mail_it_was_to_go_by_goes_by_another() -> None:
    waiting = [(one("b", 11 * HOUR), Ticket("a", 2))]
    made = bundle(waiting, KNOWN, now_ms=12 * HOUR, hour=8, zone=UTC, most=40)
    assert made.fresh == [["b"]] and not made.begun and not made.later


def test_a_ticket_is_read_back_with_its_letter() -> None:
    ticket = Ticket("dlv_mb_daily_0_1", 40)
    assert Ticket.from_bytes(ticket.to_bytes(b'["x"]\nraw\n')) == (ticket, b'["x"]\nraw\n')
    assert Ticket.from_bytes(ticket.to_bytes()) == (ticket, b"")
    assert Ticket.from_bytes(b'["a@x.example"]\nraw') is None


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.tuples(st.integers(0, 3 * DAY), st.none() | st.sampled_from("abcdef")), max_size=30),
    st.integers(0, 4 * DAY), st.integers(0, 23), st.integers(1, 7),
)  # fmt: skip
def test_each_is_in_one_place(
    named: dict[str, tuple[int, str | None]], now_ms: int, hour: int, most: int
) -> None:
    waiting = [(one(name, at), None if lead is None else Ticket(lead, 1)) for name, (at, lead) in named.items()]
    made = bundle(waiting, KNOWN, now_ms=now_ms, hour=hour, zone=UTC, most=most)
    places = [*made.later, *(x for group in (*made.fresh, *made.begun.values()) for x in group)]
    assert sorted(places) == sorted(named)
    assert all(0 < len(group) <= most for group in made.fresh)
    assert all(at > now_ms for at in made.later.values())
    assert all(lead in group for lead, group in made.begun.items())
