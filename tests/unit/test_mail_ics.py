"""Does another's reader find the end of the time to accept in the entry that comes with a request?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest
from icalendar import Calendar, Event
from msgspec.structs import replace

from relay.mail.compose import Composed
from relay.mail.samples import DATE_MS, Sample
from tests.fakes.mails import LOCALES, SAMPLES, changed, compose, composer, parsed

REQUEST = "subscription-created-source"
ENDS = datetime(2026, 12, 20, 1, 2, 3, tzinfo=UTC)


def attached(message: Composed) -> list[EmailMessage]:
    found = [part for part in parsed(message).iter_attachments() if isinstance(part, EmailMessage)]
    return [part for part in found if part.get_content_type() == "text/calendar"]


def entry(message: Composed) -> tuple[Calendar, Event]:
    """The calendar of a mail, read by another's reader, and its one event."""
    (part,) = attached(message)
    found = Calendar.from_ical(part.get_content())
    (event,) = found.walk("VEVENT")
    assert not found.errors and not event.errors
    assert part.get_param("method") == str(found["METHOD"])
    return found, event


@pytest.mark.parametrize("locale", LOCALES)
def test_a_request_brings_the_end_of_the_time_to_accept(locale: str) -> None:
    message = compose(SAMPLES[REQUEST], locale)
    calendar, event = entry(message)
    assert (str(calendar["METHOD"]), str(event["STATUS"]), int(event["SEQUENCE"])) == ("PUBLISH", "CONFIRMED", 0)
    assert (event.start, event.end) == (ENDS - timedelta(minutes=30), ENDS)
    assert event["DTSTAMP"].dt == datetime.fromtimestamp(DATE_MS // 1000, UTC)
    assert str(event["SUMMARY"]).endswith(message.subject.partition("] ")[2])
    assert "43FB1D3A-79fe-45a9-863e-9a4acf17b630" in event["DESCRIPTION"]
    assert "attendee" not in {name.lower() for name in event}, "nobody is asked to answer"
    assert [alarm["TRIGGER"].dt for alarm in event.walk("VALARM")] == [timedelta(days=-3), timedelta(days=-1)]
    for line in attached(message)[0].get_payload(decode=True).split(b"\r\n"):
        assert len(line) <= 75
        line.decode()


@pytest.mark.parametrize("locale", LOCALES)
def test_only_a_source_s_request_for_subscriptions_brings_one(locale: str) -> None:
    for name, sample in SAMPLES.items():
        assert bool(attached(compose(sample, locale))) == name.startswith(REQUEST), name


def test_a_reminder_repeats_it_and_every_other_mail_takes_it_out() -> None:
    first = entry(compose(SAMPLES[REQUEST], "de"))[1]
    for name, sample in SAMPLES.items():
        if sample.kind != "subscription" or not name.endswith("-source") or name == REQUEST:
            continue
        calendar, event = entry(compose(sample, "de", invited=True))
        assert event["UID"] == first["UID"] and event.end == first.end
        assert int(event["SEQUENCE"]) > 0
        if name == "subscription-expiring-source":
            assert (str(calendar["METHOD"]), event["STATUS"]) == ("PUBLISH", "CONFIRMED")
        else:
            assert (str(calendar["METHOD"]), event["STATUS"]) == ("CANCEL", "CANCELLED")
            assert str(event["ATTENDEE"]) == "mailto:source@reader.example"


@pytest.mark.parametrize("name", [one for one in SAMPLES if not one.endswith("-source") or one.startswith("sim")])
def test_nobody_else_gets_one_even_as_a_follow_up(name: str) -> None:
    if not name.startswith(REQUEST):
        assert not attached(compose(SAMPLES[name], "en", invited=True))


def test_each_reader_and_each_transfer_has_an_entry_of_its_own() -> None:
    sample = SAMPLES[REQUEST]
    other = replace(sample.recipient, email="second@reader.example")
    uids = {
        str(entry(message)[1]["UID"])
        for message in (
            compose(sample, "en"),
            compose(sample, "ja"),
            compose(sample, "en", recipient=other),
            compose(sample, "en", transfer_key="another"),
        )
    }
    assert len(uids) == 3


def test_a_time_that_is_over_is_no_entry() -> None:
    assert not attached(compose(changed(REQUEST, expires_at="2026-11-21T05:05:00Z"), "en"))
    message = compose(changed(REQUEST, expires_at="2026-11-21T05:05:01.9Z"), "en")
    assert entry(message)[1].end == datetime(2026, 11, 21, 5, 5, 1, tzinfo=UTC)
    assert "attached" in message.text and "attached" in message.html
    assert "attached" not in compose(changed(REQUEST, expires_at="2026-11-21T05:05:00Z"), "en").text


@pytest.mark.parametrize("expires_at", ["2026-12-20T10:02:03+09:00", None])
def test_the_end_is_a_moment_whatever_the_zone_it_was_written_in(expires_at: str | None) -> None:
    assert entry(compose(changed(REQUEST, expires_at=expires_at), "ja"))[1].end == ENDS


@pytest.mark.parametrize(
    "name",
    [
        "A; B, C\\n: D",
        'X"Y',
        "END:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:mine",
        "moc.\u202eelpmaxe\u2028",
        "😀" * 300,
        "👨‍👩‍👧‍👦" * 40,
        "\\" * 60,
    ],
)
def test_a_hostile_name_is_only_a_name_in_a_calendar_too(name: str) -> None:
    sample: Sample = changed(REQUEST, customer={"id": "c", "name": name}, target={"id": "t", "name": name}, id="tr/../é\\x")
    message = compose(sample, "ko", recipient=replace(sample.recipient, name=name))
    calendar, event = entry(message)
    assert len(list(calendar.walk())) == 4, "a calendar, an event and two alarms"
    assert str(event["SUMMARY"]).endswith(message.subject.partition("] ")[2])
    assert "\u202e" not in event["DESCRIPTION"] and "\r" not in event["DESCRIPTION"]
    (part,) = attached(message)
    assert part.get_filename() == "accept-by-tr-x.ics"


def test_only_for_what_follows_is_it_asked_who_got_the_request() -> None:
    """The answer costs a call to the database."""
    assert {name for name, one in SAMPLES.items() if composer().asks_whether_invited(one.body)} == {
        name for name in SAMPLES
        if name.startswith("subscription-") and name.endswith("-source") and not name.startswith(REQUEST)
    }  # fmt: skip
