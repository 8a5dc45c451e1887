"""What an answer says about a mail server, when it is tried again, and how much may go through it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.closed import Outcome
from relay.config_mail import DomainLimit, WarmUp
from relay.mail.pace import domain_of, rate_to, warming_rate
from relay.mail.standing import WELL, Patience, Standing, judged
from relay.mail.verdict import Fault, Step, Verdict, of_babble, of_loss, of_reply

PATIENCE = Patience(suspicions=3, first_ms=5_000, most_ms=300_000)
SURE = Verdict(Outcome.TRANSPORT_DOWN, Fault.SURE)
ACCEPTED = Verdict(Outcome.ACCEPTED)
SUSPECT = Verdict(Outcome.REFUSED, Fault.SUSPECT)
BOUNCED = Verdict(Outcome.BOUNCED)


def after(standing: Standing, verdict: Verdict, now_ms: int = 0, mailbox: str = "a@x.example") -> tuple[Standing, Verdict]:
    return judged(
        standing, verdict, mailbox=mailbox, detail="why", patience=PATIENCE, now_ms=now_ms, chance=0.5
    )


REPLIES = [
    # step, code, text, outcome, fault
    (Step.CONNECT, 421, "4.3.2 busy", Outcome.TRANSPORT_DOWN, Fault.SURE),
    (Step.CONNECT, 554, "go away", Outcome.TRANSPORT_DOWN, Fault.SURE),
    (Step.EHLO, 502, "what?", Outcome.TRANSPORT_DOWN, Fault.SURE),
    (Step.TLS, 454, "4.7.0 no TLS now", Outcome.TRANSPORT_DOWN, Fault.SURE),
    (Step.LOGIN, 535, "5.7.8 wrong", Outcome.TRANSPORT_DOWN, Fault.SURE),
    (Step.MAIL, 421, "bye", Outcome.TRANSPORT_DOWN, Fault.SURE),
    (Step.MAIL, 452, "4.3.1 full", Outcome.TRANSPORT_DOWN, Fault.SURE),
    (Step.MAIL, 550, "5.7.1 this sender may not", Outcome.TRANSPORT_DOWN, Fault.SURE),
    (Step.MAIL, 553, "5.6.7 no UTF-8", Outcome.ADDRESS_UNSUPPORTED, Fault.NONE),
    (Step.RCPT, 530, "5.7.0 sign in", Outcome.TRANSPORT_DOWN, Fault.SURE),
    (Step.RCPT, 421, "4.7.0 too many", Outcome.DEFERRED, Fault.SUSPECT),
    (Step.RCPT, 450, "4.2.0 greylisted", Outcome.DEFERRED, Fault.NONE),
    (Step.RCPT, 450, "busy mailbox", Outcome.DEFERRED, Fault.NONE),
    (Step.RCPT, 451, "4.7.1 later", Outcome.DEFERRED, Fault.SUSPECT),
    (Step.RCPT, 451, "local error", Outcome.DEFERRED, Fault.SUSPECT),
    (Step.RCPT, 451, "4.1.8 no such sender domain just now", Outcome.DEFERRED, Fault.NONE),
    (Step.RCPT, 452, "4.2.2 full mailbox", Outcome.DEFERRED, Fault.NONE),
    (Step.RCPT, 552, "5.2.2 full mailbox", Outcome.DEFERRED, Fault.NONE),
    (Step.RCPT, 550, "5.1.1 unknown", Outcome.BOUNCED, Fault.NONE),
    (Step.RCPT, 550, "5.1.2 no such domain", Outcome.BOUNCED, Fault.NONE),
    (Step.RCPT, 556, "5.1.10 null MX", Outcome.BOUNCED, Fault.NONE),
    (Step.RCPT, 550, "unknown", Outcome.BOUNCED, Fault.NONE),
    (Step.RCPT, 554, "no", Outcome.REFUSED, Fault.NONE),
    (Step.RCPT, 554, "5.7.1 relay access denied", Outcome.REFUSED, Fault.SUSPECT),
    (Step.RCPT, 553, "5.6.7 no UTF-8", Outcome.ADDRESS_UNSUPPORTED, Fault.NONE),
    (Step.DATA, 451, "4.3.0 milter", Outcome.DEFERRED, Fault.SUSPECT),
    (Step.DATA, 554, "no valid recipients", Outcome.REFUSED, Fault.NONE),
    (Step.MESSAGE, 550, "5.1.1 unknown after all", Outcome.BOUNCED, Fault.NONE),
    (Step.MESSAGE, 550, "5.1.2 said of its text", Outcome.REFUSED, Fault.NONE),
    (Step.MESSAGE, 552, "5.3.4 too big", Outcome.REFUSED, Fault.NONE),
    (Step.MESSAGE, 554, "5.7.1 spam", Outcome.REFUSED, Fault.SUSPECT),
    (Step.MESSAGE, 550, "content", Outcome.REFUSED, Fault.NONE),
    (Step.MESSAGE, 354, "go on", Outcome.AMBIGUOUS, Fault.SUSPECT),
    (Step.RCPT, 999, "?", Outcome.PROTOCOL_ERROR, Fault.SUSPECT),
]


@pytest.mark.parametrize(("step", "code", "text", "outcome", "fault"), REPLIES, ids=lambda value: str(value))
def test_each_reply_has_its_verdict(step: Step, code: int, text: str, outcome: Outcome, fault: Fault) -> None:
    assert of_reply(step, code, text) == Verdict(outcome, fault)


@given(st.sampled_from(Step), st.integers(0, 999), st.text(max_size=40))
def test_every_answer_has_a_verdict_and_none_is_accepted(step: Step, code: int, text: str) -> None:
    verdict = of_reply(step, code, text)
    assert verdict.outcome is not Outcome.ACCEPTED
    assert (verdict.outcome is Outcome.TRANSPORT_DOWN) is (verdict.fault is Fault.SURE)


def test_only_what_was_handed_over_whole_is_ambiguous() -> None:
    assert of_loss(Step.MESSAGE, late=False, whole=True).outcome is Outcome.AMBIGUOUS
    assert of_loss(Step.MESSAGE, late=True, whole=True).outcome is Outcome.AMBIGUOUS
    assert of_loss(Step.MESSAGE, late=False).outcome is Outcome.DEFERRED
    assert of_loss(Step.DATA, late=True).outcome is Outcome.TIMED_OUT
    assert of_loss(Step.MAIL, late=False) == of_babble(Step.EHLO) == SURE


def test_a_server_at_fault_is_left_alone_for_a_while_that_doubles_up_to_a_limit() -> None:
    standing, now, waits = WELL, 1_000, []
    for _ in range(9):
        standing, verdict = after(standing, SURE, now)
        assert verdict == SURE and standing.since_ms == 1_000 and standing.detail == "why"
        assert standing.again_ms is not None
        waits.append(standing.again_ms - now)
        now = standing.again_ms
    assert waits == [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]
    assert after(standing, ACCEPTED, now)[0] == WELL


def test_what_was_under_way_when_it_went_down_says_nothing_new() -> None:
    down, _ = after(WELL, SURE, 0)
    assert after(down, SURE, 100)[0] == down


def test_several_mailboxes_in_a_row_are_the_servers_fault_and_cost_no_attempt_from_then_on() -> None:
    one, verdict = after(WELL, SUSPECT, mailbox="a@x.example")
    assert one.is_up and verdict == SUSPECT
    assert after(one, SUSPECT, mailbox="a@x.example")[0] == one, "the same mailbox says more about itself"
    two, _ = after(one, SUSPECT, mailbox="b@x.example")
    two, _ = after(two, BOUNCED, mailbox="c@x.example")
    three, verdict = after(two, SUSPECT, mailbox="d@x.example")
    assert not three.is_up and verdict.outcome is Outcome.TRANSPORT_DOWN
    again, verdict = after(three, SUSPECT, 5_000, mailbox="e@x.example")
    assert not again.is_up and again.failures == 2 and verdict.outcome is Outcome.TRANSPORT_DOWN
    assert after(again, ACCEPTED)[0] == WELL
    assert after(two, ACCEPTED)[0] == WELL


def test_what_may_have_arrived_always_costs_an_attempt() -> None:
    ambiguous = of_loss(Step.MESSAGE, late=False, whole=True)
    standing = WELL
    for n in range(5):
        standing, verdict = after(standing, ambiguous, n * 1_000_000, mailbox=f"{n}@x.example")
        assert verdict.outcome is Outcome.AMBIGUOUS
    assert not standing.is_up


def test_suspicions_can_be_switched_off() -> None:
    patience = dataclasses.replace(PATIENCE, suspicions=0)
    standing = WELL
    for n in range(20):
        standing, verdict = judged(
            standing, SUSPECT, mailbox=f"{n}", detail="", patience=patience, now_ms=0, chance=0.5
        )
        assert standing.is_up and verdict == SUSPECT
        standing = dataclasses.replace(standing, suspects=())


WARM_UP = WarmUp(since=date(2026, 11, 21), per_hour=60, days=4)


@pytest.mark.parametrize(
    ("at", "per_minute"),
    [("2026-11-20T12:00", 1), ("2026-11-21T00:00", 1), ("2026-11-21T23:59", 1), ("2026-11-22T00:00", 2),
     ("2026-11-24T10:00", 8), ("2026-11-25T00:00", None), ("2027-01-01T00:00", None)],
)  # fmt: skip
def test_a_new_server_gets_twice_as_much_each_day(at: str, per_minute: float | None) -> None:
    now_ms = round(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)
    assert warming_rate(WARM_UP, now_ms) == per_minute
    assert warming_rate(None, now_ms) is None


def test_a_domain_has_its_own_limit_else_that_of_all_others() -> None:
    limits = [DomainLimit(domain="Outlook.com", per_minute=120), DomainLimit(domain="*", per_minute=600)]
    assert rate_to(domain_of("It@OUTLOOK.com"), limits) == 120
    assert rate_to("relecloud.example", limits) == 600
    assert rate_to("relecloud.example", limits[:1]) is None
