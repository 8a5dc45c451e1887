"""Whose language, whose time zone, and how much of a long list a reader gets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from relay.errors import ConfigError
from relay.mail.compose import MAX_HTML, Composer
from relay.mail.settings import PlainMailSettings
from tests.fakes.mails import (
    SAMPLES,
    TEMPLATES,
    both,
    changed,
    compose,
    parsed,
)

# --- languages, times, long lists ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "used"),
    [
        ("ja", "ja"),
        ("ja-JP", "ja"),
        ("JA_jp", "ja"),
        ("en-GB", "en"),
        ("zh-Hant", "en"),
        ("zh-TW", "en"),
        ("zh-CN", "zh-Hans"),
        ("zh", "zh-Hans"),
        ("zh-hans-SG", "zh-Hans"),
        ("fr-CA", "fr"),
        ("ko_KR", "ko"),
        ("", "en"),
        ("x", "en"),
    ],
)
def test_the_language_falls_back(wanted: str, used: str) -> None:
    message = compose(SAMPLES["subscription-created-source"], wanted)
    assert message.locale == used
    assert parsed(message)["Content-Language"] == used


def test_the_recipient_s_language_serves_when_none_is_asked_for() -> None:
    sample = SAMPLES["subscription-created-source"]
    recipient = replace(sample.recipient, locale="ja-JP")
    assert compose(sample, "", recipient=recipient).locale == "ja"


def test_the_default_language_is_the_configuration_s() -> None:
    other = Composer(PlainMailSettings(default_locale="ja", timezone="Europe/Berlin"), TEMPLATES)
    sample = SAMPLES["subscription-created-source"]
    message = other.compose(
        body=sample.body,
        recipient=sample.recipient,
        delivery_id="d",
        event_id="e",
        transfer_key="k",
        date_ms=0,
        locale="zh-Hant",
    )
    assert message.locale == "ja"
    english = other.compose(
        body=sample.body,
        recipient=sample.recipient,
        delivery_id="d",
        event_id="e",
        transfer_key="k",
        date_ms=0,
        locale="en",
    )
    assert "Sunday, 20 December 2026, 02:02 CET" in english.text


@pytest.mark.parametrize(
    ("locale", "shown"),
    [
        ("en", "Sunday, 20 December 2026, 01:02 UTC"),
        ("de", "Sonntag, 20. Dezember 2026, 02:02 Uhr MEZ"),
        ("es", "domingo, 20 de diciembre de 2026, 01:02 UTC"),
        ("fr", "dimanche 20 décembre 2026 à 01:02 UTC"),
        ("ja", "2026年12月20日(日) 10:02 JST"),
        ("ko", "2026년 12월 20일(일) 10:02 KST"),
        ("zh-Hans", "2026年12月20日（星期日）09:02 UTC+8"),
    ],
)
def test_a_deadline_is_written_as_its_reader_writes_it(locale: str, shown: str) -> None:
    zones = {"de": "Europe/Berlin", "ja": "Asia/Tokyo", "ko": "Asia/Seoul", "zh-Hans": "Asia/Shanghai"}
    words = Composer(PlainMailSettings(timezones=zones), TEMPLATES)._words[locale]
    assert words.moment(datetime(2026, 12, 20, 1, 2, 3, tzinfo=UTC)) == shown


def test_an_offset_stands_where_a_zone_s_short_name_is_not_clear() -> None:
    for zone, shown in (
        ("America/Chicago", "UTC-6"),
        ("Asia/Kolkata", "UTC+5:30"),
        ("America/St_Johns", "UTC-3:30"),
    ):
        words = Composer(PlainMailSettings(timezone=zone), TEMPLATES)._words["en"]
        assert words.moment(datetime(2026, 12, 20, 12, 0, tzinfo=UTC)).endswith(shown)


def test_a_time_zone_that_does_not_exist_is_a_configuration_problem() -> None:
    with pytest.raises(ConfigError):
        Composer(PlainMailSettings(timezone="Mars/Olympus"), TEMPLATES)


def test_every_language_and_time_zone_that_there_is_not_is_said_once() -> None:
    settings = PlainMailSettings(
        default_locale="tlh", timezone="Mars/Olympus", timezones={"ja": "Asia/Edo", "zh": "Asia/Shanghai"}
    )
    with pytest.raises(ConfigError) as wrong:
        Composer(settings, TEMPLATES)
    named = [problem.partition(":")[0] for problem in wrong.value.problems]
    assert named == ["mail.timezone", "mail.default_locale", "mail.timezones.ja", "mail.timezones.zh"]
    assert "there are de, en, es, fr, ja, ko, zh-Hans" in wrong.value.problems[1]


def test_a_sender_that_is_no_address_is_a_configuration_problem() -> None:
    with pytest.raises(ConfigError, match=r"mail\.from_address"):
        Composer(PlainMailSettings(from_address="nobody"), TEMPLATES)


def test_without_an_expiry_the_deadline_is_30_days_after_the_request() -> None:
    sample = changed("subscription-created-source", expires_at=None, created_at="2026-11-01T10:00:00+09:00")
    assert "Tuesday, 1 December 2026, 01:00 UTC" in compose(sample, "en").text


def test_a_long_list_is_cut_and_counted_with_what_went_wrong_first() -> None:
    sims = [
        {
            "imsi": f"44010{number:010}",
            "name": f"SIM {number}",
            "status": "active" if number == 499 else "ready",
        }
        for number in range(500)
    ]
    message = compose(changed("sim-failed-source", items=sims), "en")
    for part in both(message):
        assert "440100000000499" in part and "and450more" in part and "440100000000200" not in part
        assert "Ready:499" in part
    assert len(message.html.encode()) < MAX_HTML


def test_the_longest_names_and_errors_still_fit() -> None:
    items = [
        {
            "id": "x" * 128,
            "name": "😀" * 300,
            "quantity": 10**9,
            "status": "failed",
            "error": {"code": "c" * 128, "message": "譲" * 4096},
        }
        for _ in range(500)
    ]
    message = compose(changed("subscription-failed-source", items=items), "ja")
    assert len(message.html.encode()) < MAX_HTML and "ほか" in message.text


def test_a_status_not_known_yet_passes_through() -> None:
    sample = changed("sim-failed-source", items=[{"imsi": "1", "status": "quarantined"}])
    for part in both(compose(sample, "en")):
        assert "quarantined" in part
