"""What of a transfer leaves, and what keeps it back?"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from relay.closed import Audience
from relay.retention import Cutoffs, KeptEvent, KeptTransfer, leaving

SOURCE, TARGET = Audience.SOURCE, Audience.TARGET
DELIVERIES = {SOURCE: ["s1", "s2"], TARGET: ["t1"]}
ALL_DELIVERED = {"s1": "d", "s2": "d", "t1": "d"}
BODIES = Cutoffs(bodies=200, feed=200)
RECORDS = Cutoffs(bodies=200, feed=200, delivered=200, canceled=200)
EVERYTHING = Cutoffs(bodies=200, feed=200, delivered=200, canceled=200, exhausted=200, refusals=200, transfers=200)


def transfer(*, accepted_ms: int = 100, final: bool = True, unplanned: bool = False, gone: bool = False,
             fed: frozenset[Audience] = frozenset({SOURCE, TARGET})) -> KeptTransfer:  # fmt: skip
    one = KeptEvent(1, accepted_ms, DELIVERIES, frozenset({SOURCE, TARGET}), fed, has_event=True, gone=gone)
    last = KeptEvent(2, accepted_ms, has_event=True)
    return KeptTransfer("tr", final, unplanned, 2, accepted_ms, [one, last], {"refused": accepted_ms})


@pytest.mark.parametrize(
    ("of", "letters", "cutoffs", "bodies", "records", "whole", "waits"),
    [
        (transfer(), ALL_DELIVERED, Cutoffs(), [], False, False, False),
        (transfer(), ALL_DELIVERED, BODIES, [SOURCE, TARGET], False, False, False),
        (transfer(), ALL_DELIVERED, RECORDS, [SOURCE, TARGET], True, False, False),
        (transfer(), ALL_DELIVERED, EVERYTHING, [SOURCE, TARGET], True, True, False),
        (transfer(accepted_ms=201), ALL_DELIVERED, EVERYTHING, [], False, False, False),
        (transfer(final=False), ALL_DELIVERED, EVERYTHING, [SOURCE, TARGET], True, False, False),
        (transfer(unplanned=True), ALL_DELIVERED, EVERYTHING, [], False, False, True),
        # What is pending stays, with the body it needs; what others were sent goes.
        (transfer(), {**ALL_DELIVERED, "t1": "p"}, EVERYTHING, [SOURCE], False, False, True),
        (transfer(), {**ALL_DELIVERED, "t1": "l"}, EVERYTHING, [SOURCE], False, False, True),
        (transfer(), {**ALL_DELIVERED, "t1": ""}, EVERYTHING, [SOURCE], False, False, True),
        (transfer(gone=True), {**ALL_DELIVERED, "t1": ""}, EVERYTHING, [SOURCE, TARGET], True, True, False),
        # Nobody took it: it goes last, its body with it.
        (transfer(), {**ALL_DELIVERED, "s2": "x"}, RECORDS, [TARGET], False, False, False),
        (transfer(), {**ALL_DELIVERED, "s2": "x"}, EVERYTHING, [SOURCE, TARGET], True, True, False),
        # A feed's entry keeps its body, and no body outlives its record.
        (transfer(), ALL_DELIVERED, Cutoffs(bodies=200), [], False, False, False),
        (transfer(fed=frozenset({TARGET})), ALL_DELIVERED, Cutoffs(bodies=200), [SOURCE], False, False, False),
        (transfer(fed=frozenset()), ALL_DELIVERED, Cutoffs(delivered=200), [SOURCE, TARGET], True, False, False),
        (transfer(), {**ALL_DELIVERED, "t1": "c"}, Cutoffs(bodies=200, feed=200, delivered=200), [SOURCE, TARGET], False, False, False),
    ],
)  # fmt: skip
def test_what_leaves(
    of: KeptTransfer, letters: Mapping[str, str], cutoffs: Cutoffs, bodies: list[Audience], records: bool,
    whole: bool, waits: bool,
) -> None:  # fmt: skip
    found = leaving(of, letters, cutoffs)
    assert found.bodies == [(1, audience) for audience in bodies]
    assert found.records == ({1: ["s1", "s2", "t1"]} if records else {})
    assert (found.whole, found.waits) == (whole, waits)
    assert found.is_anything == bool(bodies or records or whole)


def test_an_event_that_is_no_longer_the_last_goes_with_the_bodies_and_the_last_stays() -> None:
    assert leaving(transfer(), ALL_DELIVERED, BODIES).events == [1]
    assert leaving(transfer(final=False), ALL_DELIVERED, BODIES).events == []


def test_a_refusal_has_its_own_time() -> None:
    found = leaving(transfer(), ALL_DELIVERED, Cutoffs(refusals=100))
    assert (found.refusals, found.bodies, found.whole) == (["refused"], [], False)
