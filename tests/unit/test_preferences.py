"""When somebody is told: what they chose, what cannot be chosen, and at which hour the daily mail goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.model import Audience, Channel, Delivery, Recipient, When
from relay.people import daily_id, is_daily, mailbox_id
from relay.preferences import (
    ALWAYS,
    CHOOSABLE,
    DAILY,
    Preferences,
    as_chosen,
    daily_ms,
    may_choose,
    may_go_ms,
    slot,
    slot_of,
    wanted,
    when,
    without,
)

AGENT = Recipient(
    id=mailbox_id(Audience.SOURCE, "contoso", "aoi@contoso.example"), channel=Channel.EMAIL, audience=Audience.SOURCE,
    partner="contoso", email="Aoi@Contoso.example",
)  # fmt: skip
ROOT = Recipient(
    id="mb_root", channel=Channel.EMAIL, audience=Audience.TARGET, partner="fabrikam", email="root@f.example",
    is_root=True, with_link=True,
)  # fmt: skip
CREATED, COMPLETED = "transfer.created", "transfer.completed"


def _said(**types: str) -> dict[str, Preferences]:
    chosen = Preferences(types={name.replace("__", "."): When(at) for name, at in types.items()})
    return {"aoi@contoso.example": chosen, "root@f.example": chosen}


@pytest.mark.parametrize(
    ("to", "type_", "known", "told"),
    [
        (AGENT, CREATED, {}, When.AT_ONCE),
        (AGENT, CREATED, _said(), When.AT_ONCE),
        (AGENT, CREATED, _said(transfer__created="never"), When.NEVER),
        (AGENT, CREATED, _said(transfer__created="daily"), When.DAILY),
        (AGENT, COMPLETED, _said(transfer__created="never"), When.AT_ONCE),
        # Who accepts a SIM transfer by this mail gets it, whatever they chose; all else as they chose.
        (ROOT, CREATED, _said(transfer__created="never"), When.AT_ONCE),
        (ROOT, COMPLETED, _said(transfer__completed="never"), When.NEVER),
        (AGENT, "endpoint.disabled", _said(endpoint__disabled="never"), When.AT_ONCE),
        (AGENT, "endpoint.warned", _said(endpoint__warned="daily"), When.AT_ONCE),
        (AGENT, "endpoint.recovered", _said(endpoint__recovered="never"), When.NEVER),
    ],
)
def test_when_somebody_is_told(to: Recipient, type_: str, known: dict[str, Preferences], told: When) -> None:
    assert when(known, to, type_) is told


def test_what_comes_in_any_case_cannot_be_chosen() -> None:
    assert not set(ALWAYS) & set(CHOOSABLE)
    assert all(may_choose(type_, root=False) for type_ in CHOOSABLE)
    assert not any(may_choose(type_, root=root) for type_ in ALWAYS for root in (False, True))


def test_what_is_daily_waits_in_one_queue_whatever_the_role() -> None:
    known = _said(transfer__created="daily")
    to = as_chosen(known, AGENT, CREATED)
    assert to is not None and is_daily(to.id) and to.id == daily_id("contoso", "aoi@contoso.example")
    assert (to.email, to.audience) == (AGENT.email, AGENT.audience)
    assert as_chosen(known, AGENT, COMPLETED) == AGENT
    assert daily_id("contoso", "a@x.example") != daily_id("fabrikam", "a@x.example") != daily_id(None, "a@x.example")
    assert not is_daily(AGENT.id)


def test_a_customer_s_contact_is_nobody_s_people_and_no_partner_s() -> None:
    found = slot(None, "IT@relecloud.example")
    assert found == slot(None, "it@relecloud.example") and " " in found
    assert slot_of(AGENT) == "contoso" == slot("contoso", "x@y.example")


def test_a_notice_s_mails_go_as_their_readers_chose() -> None:
    def made(to: Recipient) -> Delivery:
        return Delivery(
            id=f"dlv_{to.id}_1", event_id="incident", type="endpoint.recovered", transfer="", transfer_key="k",
            sequence=1, created_at_ms=1, recipient=to,
        )  # fmt: skip

    other = Recipient(id="mb_o", channel=Channel.EMAIL, audience=Audience.SOURCE, partner="contoso", email="o@c.example")
    kept, skips = wanted([made(AGENT), made(other)], _said(endpoint__recovered="never"))
    assert [one.recipient for one in kept] == [other]
    assert [(skip.email, skip.reason.value) for skip in skips] == [(AGENT.email, "muted")]
    kept, skips = wanted([made(AGENT)], _said(endpoint__recovered="daily"))
    assert not skips and is_daily(kept[0].recipient.id) and kept[0].id.startswith(f"dlv_{kept[0].recipient.id}_")


@pytest.mark.parametrize(
    ("types", "clicked", "left"),
    [
        ({}, CREATED, {CREATED: "never"}),
        ({CREATED: "daily", COMPLETED: "never"}, CREATED, {CREATED: "never", COMPLETED: "never"}),
        ({CREATED: "daily", COMPLETED: "at_once"}, DAILY, {CREATED: "never", COMPLETED: "at_once"}),
        ({}, DAILY, {}),
    ],
)
def test_one_click_ends_one_kind_of_mail(types: dict[str, str], clicked: str, left: dict[str, str]) -> None:
    before = Preferences(types={type_: When(at) for type_, at in types.items()}, daily_hour=7, timezone="Asia/Tokyo")
    after = without(before, clicked, 5)
    assert after.types == left and (after.daily_hour, after.timezone, after.updated_at_ms) == (7, "Asia/Tokyo", 5)
    assert without(after, clicked, 5) == after


# --- at which hour ----------------------------------------------------------------------------------------


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("since", "hour", "zone", "at"),
    [
        ("2026-11-21T05:05:00+00:00", 8, "Asia/Tokyo", "2026-11-22T08:00:00+09:00"),
        ("2026-11-20T22:59:59+00:00", 8, "Asia/Tokyo", "2026-11-21T08:00:00+09:00"),
        # At the hour itself it is for the next day: what comes in that moment is not in the mail any more.
        ("2026-11-20T23:00:00+00:00", 8, "Asia/Tokyo", "2026-11-22T08:00:00+09:00"),
        ("2026-12-31T23:30:00+00:00", 0, "UTC", "2027-01-01T00:00:00+00:00"),
        # Europe's clocks go forward at 02:00 on 28 March 2027 and back at 03:00 on 31 October 2027.
        ("2027-03-27T12:00:00+00:00", 8, "Europe/Berlin", "2027-03-28T08:00:00+02:00"),
        ("2027-03-27T12:00:00+00:00", 2, "Europe/Berlin", "2027-03-28T03:00:00+02:00"),
        ("2027-10-30T12:00:00+00:00", 2, "Europe/Berlin", "2027-10-31T02:00:00+02:00"),
        ("2027-10-31T00:00:00+00:00", 2, "Europe/Berlin", "2027-11-01T02:00:00+01:00"),
    ],
)
def test_the_daily_mail_goes_at_the_reader_s_hour(since: str, hour: int, zone: str, at: str) -> None:
    assert daily_ms(_ms(since), hour, ZoneInfo(zone)) == _ms(at)


ZONES = st.sampled_from(["UTC", "Asia/Tokyo", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"])
TIMES = st.integers(_ms("2011-01-01T00:00:00+00:00"), _ms("2040-01-01T00:00:00+00:00"))


@given(TIMES, st.integers(0, 23), ZONES)
def test_it_is_always_later_and_never_by_much_more_than_a_day(since_ms: int, hour: int, zone: str) -> None:
    at = daily_ms(since_ms, hour, ZoneInfo(zone))
    # Samoa went from 29 to 31 December 2011: a day that it never had.
    assert since_ms < at <= since_ms + 50 * 3_600_000
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone))
    skipped = (local - timedelta(hours=2)).utcoffset() != local.utcoffset()
    assert (local.minute == 0 and local.hour == hour) or skipped


@given(TIMES, TIMES, st.integers(0, 23), ZONES)
def test_what_is_planned_later_does_not_go_earlier(one: int, other: int, hour: int, zone: str) -> None:
    first, second = sorted((one, other))
    assert daily_ms(first, hour, ZoneInfo(zone)) <= daily_ms(second, hour, ZoneInfo(zone))


def test_who_no_longer_wants_it_daily_waits_no_longer() -> None:
    to = as_chosen(_said(transfer__created="daily"), AGENT, CREATED)
    assert to is not None
    planned = Delivery(
        id="dlv", event_id="e", type=CREATED, transfer="t", transfer_key="t", sequence=1,
        created_at_ms=_ms("2026-11-21T05:05:00+00:00"), recipient=to,
    )  # fmt: skip
    tokyo, own = ZoneInfo("Asia/Tokyo"), Preferences(types={CREATED: When.DAILY}, daily_hour=18, timezone="UTC")
    assert may_go_ms(_said(transfer__created="daily"), planned, 8, tokyo) == _ms("2026-11-22T08:00:00+09:00")
    assert may_go_ms({"aoi@contoso.example": own}, planned, 8, tokyo) == _ms("2026-11-21T18:00:00+00:00")
    assert may_go_ms({}, planned, 8, tokyo) == planned.created_at_ms
