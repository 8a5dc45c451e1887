"""Is an event that was judged by a guess judged again as it came?"""

from __future__ import annotations

import pytest

from relay.auth import Caller
from relay.door import Door
from relay.intake import parse
from relay.model import TokenHolder
from relay.record import Recorder
from relay.services import Services
from relay.store.transfers import Acceptance, Accepted
from tests.events import least

LINK = "https://iot.example/accept/one"
CALLER = Caller(TokenHolder.OPERATOR, "operator")


async def test_an_event_whose_transfer_moved_elsewhere_is_accepted_with_all_that_it_brought(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfers, recorder = services.store.transfers, Recorder(services.log, services.store.counters)
    one, other = (
        Door(services.store, services.vault, recorder, services.nudge_fan_out, services.clock) for _ in range(2)
    )
    created = least("sim", id="e1")
    partly = least("sim", "transfer.partially_completed", id="e2", occurred_at="2026-11-21T02:02:03Z")
    going_on = least(
        "sim", "transfer.updated", id="e3", occurred_at="2026-11-21T03:02:03Z", acceptance_url=LINK, unknown=1
    )
    answers = []
    accept = transfers.accept

    async def accepting(acceptance: Acceptance) -> Accepted:
        answers.append(await accept(acceptance))
        return answers[-1]

    monkeypatch.setattr(transfers, "accept", accepting)
    for door, event in ((one, created), (other, partly), (one, going_on)):
        assert (await door.accept(parse(event), CALLER)).body["status"] == "accepted"
    assert answers == [Accepted.DONE, Accepted.DONE, Accepted.MOVED, Accepted.DONE]
    known = await transfers.look("tr-1", "e3")
    assert (known.version, known.sequence) == (3, 3)
    (stored, sealed) = await transfers.fields(("t:tr-1", "x:3", "link"))
    assert stored == parse(going_on).stored
    assert services.vault.open(sealed.decode(), context="transfer:tr-1:link") == LINK.encode()
    assert (await one.accept(parse(going_on), CALLER)).body["status"] == "duplicate"
