"""What does each bounce say of the address, and when is it the last one?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.bounces import Report, Rules, Severity, judged, severity_of
from relay.closed import SuppressionReason, SuppressionSource
from relay.readers import Reader, lifted

RULES = Rules(soft=3, soft_within_ms=1000, complaints=2)
TABLE = """
5.1.1   hard   no such user
5.1.10  hard   a null MX
5.1.2   hard   no such system
5.1.3   hard   not an address
5.1.6   hard   moved away
5.2.1   hard   disabled
5.2.2   soft   full
5.1.0   soft   something about the address
5.0.0   soft   something
5.4.1   soft   the way there
5.4.4   soft   no route: also what a resolver that is out of order gives
5.4.7   soft   given up after days
4.4.7   soft   the same, as some put it
4.2.2   soft   full, and given up
4.3.0   soft   its system
4.7.1   none   the sender is throttled or not trusted
5.7.1   none   policy: the message or its sender
5.7.26  none   DMARC
5.6.1   none   the message's form
5.3.4   none   the message's size
5.5.0   none   the protocol
5.1.7   none   the sender's address
5.1.8   none   the sender's system
2.1.5   none   it was taken
-       soft   nobody says
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_a_status_says_what_the_table_says(line: str) -> None:
    status, severity, _ = line.split(None, 2)
    assert severity_of("" if status == "-" else status) == severity


def test_what_is_tried_again_says_nothing_yet() -> None:
    assert severity_of("4.2.2", final=False) is Severity.NONE
    assert severity_of("5.1.1", final=False) is Severity.HARD


def report(severity: Severity, id: str = "1") -> Report:
    return Report(id, "a@x.example", severity, SuppressionSource.SMTP, "5.1.1", "x" * 600, "dlv_1")


def test_one_hard_bounce_is_enough_and_holds() -> None:
    after = judged(Reader(), report(Severity.HARD), RULES, 5)
    assert after.suppressed is not None
    assert (after.suppressed.reason, after.suppressed.at_ms, after.suppressed.delivery) == ("hard_bounce", 5, "dlv_1")
    assert len(after.suppressed.detail) == 512
    assert judged(after, report(Severity.HARD, "2"), RULES, 9) == after


def test_soft_bounces_count_each_once_within_their_time() -> None:
    now = Reader()
    for name, at in (("1", 0), ("1", 10), ("2", 20), ("2", 30)):
        now = judged(now, report(Severity.SOFT, name), RULES, at)
    assert now.suppressed is None
    # The first two are so long ago that they count no more.
    late = judged(judged(now, report(Severity.SOFT, "3"), RULES, 1025), report(Severity.SOFT, "4"), RULES, 1026)
    assert late.suppressed is None
    again = judged(now, report(Severity.SOFT, "3"), RULES, 40)
    assert again.suppressed is not None
    assert again.suppressed.reason is SuppressionReason.SOFT_BOUNCES
    free = lifted(again)
    assert (free.suppressed, free.soft) == (None, {})


def test_complaints_count_each_once_and_outweigh_a_bounce() -> None:
    bounced = judged(Reader(), report(Severity.HARD), RULES, 5)
    one = judged(bounced, report(Severity.COMPLAINT), RULES, 6)
    assert one.suppressed == bounced.suppressed
    assert judged(one, report(Severity.COMPLAINT), RULES, 7) == one
    two = judged(one, report(Severity.COMPLAINT, "2"), RULES, 8)
    assert two.suppressed is not None
    assert (two.suppressed.reason, two.suppressed.at_ms) == ("complaint", 8)


@pytest.mark.parametrize("severity", [Severity.HARD, Severity.SOFT, Severity.COMPLAINT])
def test_an_event_that_comes_again_after_a_lift_changes_nothing(severity: Severity) -> None:
    """A provider posts again what it thinks was not taken, a mail server what it could not hand in."""
    rules = Rules(soft=1, soft_within_ms=1000, complaints=1)
    first = replace(report(severity), event="e1")
    while_listed = replace(report(severity, "2"), event="e2")
    now = judged(judged(Reader(), first, rules, 1), while_listed, rules, 2)
    assert now.suppressed is not None
    free = lifted(now)
    for again in (first, while_listed):
        assert judged(free, again, rules, 3) == free
    # Of the same message, and another event: it bounced once more.
    assert judged(free, replace(first, event="e3"), rules, 4).suppressed is not None
    assert judged(free, replace(first, event=""), rules, 4).suppressed is not None


def test_what_is_switched_off_never_suppresses() -> None:
    never = Rules(soft=0, soft_within_ms=1000, complaints=0)
    for severity in (Severity.SOFT, Severity.COMPLAINT, Severity.NONE):
        assert judged(Reader(), report(severity), never, 5) == Reader()


def test_what_is_counted_does_not_grow_without_end() -> None:
    now, rules = Reader(), Rules(soft=1000, soft_within_ms=10**12, complaints=1000)
    for number in range(200):
        now = judged(now, report(Severity.SOFT, str(number)), rules, number)
        now = judged(now, replace(report(Severity.SOFT, f"e{number}"), event=f"e{number}"), rules, number)
    assert len(now.soft) <= 51 and len(now.heard) <= 51
