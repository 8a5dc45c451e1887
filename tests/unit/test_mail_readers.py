"""Whose language, whose time zone, and how much of a long list a reader gets."""

from __future__ import annotations

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
        locale="zh",
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


def test_a_time_zone_that_does_not_exist_is_a_configuration_problem() -> None:
    with pytest.raises(ConfigError):
        Composer(PlainMailSettings(timezone="Mars/Olympus"), TEMPLATES)


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
