"""What is found out about an endpoint is said in a plain sentence, with the cure where it is not good."""

from __future__ import annotations

import pytest

from relay.closed import Outcome
from relay.consent import judge
from relay.findings import Check, Level, Seen, of_certificate, of_connection, of_failure, of_forgery, of_ping
from relay.model import Attempt

NOW = 1_795_222_923_000
DAY = 86_400_000
HOST = "hooks.contoso.com"


def seen(**changed: object) -> Seen:
    values: dict[str, object] = {
        "host": HOST, "is_plain": False, "addresses": 2, "connect_ms": 12, "tls_version": "TLSv1.3",
        "names": (HOST,), "issuer": "Contoso CA", "begins_ms": NOW - 30 * DAY, "ends_ms": NOW + 60 * DAY,
    }  # fmt: skip
    return Seen(**(values | changed))  # type: ignore[arg-type]


def attempt(outcome: Outcome, **more: object) -> Attempt:
    return Attempt(number=1, at_ms=NOW, duration_ms=more.pop("duration_ms", 34), outcome=outcome, **more)  # type: ignore[arg-type]


CERTIFICATES = [
    (seen(), Level.OK, "The certificate, by Contoso CA, is valid for 60 days more."),
    (seen(ends_ms=NOW + 9 * DAY), Level.WARNING, "The certificate expires in 9 days, on 2026-11-30: see that its renewal works."),
    (seen(ends_ms=NOW + DAY), Level.WARNING, "The certificate expires in one day, on 2026-11-22: see that its renewal works."),
    (seen(ends_ms=NOW + DAY // 2), Level.WARNING, "expires in less than a day"),
    # One that lives for six days is not late with four left.
    (seen(begins_ms=NOW - 2 * DAY, ends_ms=NOW + 4 * DAY), Level.OK, "is valid for 4 days more"),
    (seen(begins_ms=NOW - 5 * DAY, ends_ms=NOW + DAY), Level.WARNING, "expires in one day"),
    (seen(chain_ends_ms=NOW + 3 * DAY), Level.WARNING, "A certificate behind it expires in 3 days: install"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "level", "says"), CERTIFICATES)
def test_how_long_a_certificate_lasts_is_told_in_days(what: Seen, level: Level, says: str) -> None:
    last = of_certificate(what, NOW)[-1]
    assert (last.check, last.level) == (Check.CERTIFICATE, level)
    assert says in last.detail


BAD = [
    (seen(ends_ms=NOW - 18 * DAY), "The certificate expired on 2026-11-03, 18 days ago: renew it."),
    (seen(begins_ms=NOW + 2 * DAY), "valid from 2026-11-23 only"),
    (seen(names=("a.com", "b.com")), "The certificate is for a.com, b.com and not for hooks.contoso.com: get one for this name."),
    (seen(names=()), "for no name at all and not for"),
    (seen(names=("*.contoso.com",)), "sentence of the handshake"),
    (seen(tls_version=None, begins_ms=None, ends_ms=None), "sentence of the handshake"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "says"), BAD)
def test_what_is_wrong_with_a_certificate_is_said(what: Seen, says: str) -> None:
    failure = attempt(Outcome.TLS_FAILED, detail="The certificate: sentence of the handshake.")
    last = of_failure(failure, what, NOW, quiet=False)[-1]
    assert (last.check, last.level) == (Check.CERTIFICATE, Level.PROBLEM)
    assert says in last.detail


@pytest.mark.parametrize(
    ("outcome", "check"),
    [(Outcome.DNS_FAILED, Check.DNS), (Outcome.BLOCKED, Check.URL), (Outcome.CONNECTION_REFUSED, Check.CONNECT),
     (Outcome.TIMED_OUT, Check.CONNECT), (Outcome.CONNECTION_LOST, Check.CONNECT)],
)  # fmt: skip
def test_of_who_was_not_reached_a_partner_hears_the_outcome_alone(outcome: Outcome, check: Check) -> None:
    (told,) = of_failure(attempt(outcome, detail="planted 10.0.0.1 after 3 ms"), seen(), NOW, quiet=True)
    assert (told.check, told.level) == (check, Level.PROBLEM)
    assert "planted" not in told.detail
    assert told.detail.endswith(".")


def test_plain_http_and_bare_addresses_are_doubtful() -> None:
    assert [one.level for one in of_connection(seen())] == [Level.OK, Level.OK]
    assert "register an https URL" in of_connection(seen(is_plain=True))[-1].detail
    assert "give a name" in of_connection(seen(addresses=0))[0].detail


PINGS = [
    (attempt(Outcome.ACCEPTED, status=204), [(Check.PING, Level.OK), (Check.LATENCY, Level.OK)], "answered in 34 ms"),
    (attempt(Outcome.ACCEPTED, status=200, duration_ms=8100), [(Check.PING, Level.OK), (Check.LATENCY, Level.WARNING)],
     "It took 8.1 s to answer, of the 15 s that the relay waits"),
    (attempt(Outcome.REDIRECTED, status=301, answer_headers={"Location": "https://contoso.com/in"}),
     [(Check.REDIRECT, Level.PROBLEM)], "to https://contoso.com/in"),
    (attempt(Outcome.REJECTED, status=401), [(Check.PING, Level.PROBLEM)], "verify-help"),
]  # fmt: skip


@pytest.mark.parametrize(("ping", "levels", "says"), PINGS)
def test_how_a_ping_fared_is_said(ping: Attempt, levels: list[tuple[Check, Level]], says: str) -> None:
    found = list(of_ping(ping, timeout_s=15, quiet=False))
    assert [(one.check, one.level) for one in found] == levels
    assert says in found[-1].detail


def test_who_takes_a_false_signature_is_told_to_verify() -> None:
    assert of_forgery(attempt(Outcome.ACCEPTED, status=200)).level is Level.WARNING
    assert of_forgery(attempt(Outcome.REJECTED, status=401)).level is Level.OK


ORIGIN = "relay.contoso.com"
ANSWERS = [
    ("*", None, True, None), (ORIGIN, None, True, None), ("Relay.Contoso.com", "*", True, None),
    (f"other.com, {ORIGIN}", "120", True, 120), ("*", " 5 ", True, 5),
    (None, None, False, None), (None, "120", False, None), ("", None, False, None), ("other.com", "120", False, None),
    ("contoso.com", None, False, None), ("*", "0", False, None), ("*", "-1", False, None), ("*", "many", False, None),
    ("*", "1e3", False, None),
]  # fmt: skip


@pytest.mark.parametrize(("allowed", "rate", "given", "a_minute"), ANSWERS)
def test_only_the_named_origin_is_consent(
    allowed: str | None, rate: str | None, given: bool, a_minute: int | None
) -> None:
    consent = judge(allowed, rate, ORIGIN, 200)
    assert (consent.given, consent.rate) == (given, a_minute)
    assert bool(consent.detail) != given
