"""Which passes begin in the step that plans, and with what?"""

from __future__ import annotations

import pytest

from relay.engine.carrying import begun_of
from relay.model import Audience, Channel, Delivery, Recipient
from relay.store.passes import Opening, Taken
from relay.store.queues import Entry

OPENING = Opening("w-1", 1_000.5, 12)


def entry(audience: Audience, *, to: str = "ep_1", event: str = "e1", transfer: str = "t", body: bytes = b"") -> Entry:
    recipient = Recipient(id=to, channel=Channel.WEBHOOK, audience=audience, partner="p")
    made = Delivery(
        id=f"dlv_{to}_{event}", event_id=event, type="transfer.created", transfer=transfer, transfer_key=transfer,
        sequence=1, created_at_ms=1, recipient=recipient,
    )  # fmt: skip
    return Entry(to, made.id, b"", transfer, 1, 1, None, Taken(made, 0, 0, None, False, transfer, body))


def test_a_pass_knows_its_lease_and_the_version_of_its_partners_registrations() -> None:
    entries = [entry(Audience.SOURCE, body=b"a"), entry(Audience.TARGET, to="ep_2", body=b"b")]
    ((claim, begun),) = begun_of(entries, [b"7", [b"dlv_ep_2_e1"]], OPENING, {"p": 3}, {("t", 1)})
    assert (claim.member, claim.score) == ("ep_2", 1_000.5)
    assert (begun.token, begun.lease_until_ms, begun.step.version) == ("w-1", 1_000, 3)
    assert [one.body for one in begun.step.taken] == [b"b"]


def test_a_partner_that_is_two_audiences_is_sent_what_its_queue_holds() -> None:
    entries = [entry(Audience.SOURCE, body=b"the source's"), entry(Audience.RESELLER, body=b"the reseller's")]
    ((_, begun),) = begun_of(entries, [[b"dlv_ep_1_e1"]], OPENING, {}, {("t", 1)})
    assert [(one.body, one.delivery.recipient.audience) for one in begun.step.taken] == [
        (b"the source's", Audience.SOURCE)
    ]


@pytest.mark.parametrize(("ours", "body"), [({("t", 1)}, b"ours"), (set(), None), ({("t", 2), ("u", 1)}, None)])
def test_what_somebody_else_fixed_is_asked_for(ours: set[tuple[str, int]], body: bytes | None) -> None:
    ((_, begun),) = begun_of([entry(Audience.SOURCE, body=b"ours")], [[b"dlv_ep_1_e1"]], OPENING, {}, ours)
    assert [one.body for one in begun.step.taken] == [body]
