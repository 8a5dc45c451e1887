"""Which events follow from what was said and what was fetched?"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.model import EventType, Status
from relay.sources.entity import Unusable, canonical, of_target, read
from relay.sources.steps import Past, decide, event_id
from tests.fakes.partner_center import CUSTOMER, SOURCE, TARGET, line, transfer

CREATED, UPDATED, COMPLETED = EventType.CREATED, EventType.UPDATED, EventType.COMPLETED
PARTIAL, FAILED, EXPIRED, CANCELED = (
    EventType.PARTIALLY_COMPLETED, EventType.FAILED, EventType.EXPIRED, EventType.CANCELED,
)  # fmt: skip
T0, T1, T2, T3, T4 = (f"2024-12-12T14:{minute}:18.6278540Z" for minute in range(44, 49))


def _past(*types: EventType) -> list[Past]:
    return [Past(type_, time) for type_, time in zip(types, (T0, T1, T2, T3), strict=False)]


# what was said · the state that was fetched · what is known · patient · what is told · waits · nothing more comes
TABLE = [
    (CREATED, "Active", (), True, (CREATED,), False, False),
    (CREATED, "Complete", (), True, (CREATED,), False, False),
    (CREATED, "Active", (CREATED,), True, (), False, False),
    (UPDATED, "InProgress", (CREATED,), True, (UPDATED,), False, False),
    (UPDATED, "InProgress", (), True, (CREATED, UPDATED), False, False),
    (UPDATED, "Complete", (CREATED,), True, (UPDATED,), False, False),
    (UPDATED, "Complete", (CREATED, UPDATED, COMPLETED), True, (), False, True),
    (COMPLETED, "Complete", (CREATED, UPDATED), True, (COMPLETED,), False, True),
    (COMPLETED, "Complete", (CREATED,), True, (), True, False),
    (COMPLETED, "Complete", (), True, (CREATED,), True, False),
    (COMPLETED, "Complete", (CREATED,), False, (COMPLETED,), False, True),
    (COMPLETED, "InProgress", (CREATED, UPDATED), True, (), True, False),
    (COMPLETED, "InProgress", (CREATED, UPDATED), False, (COMPLETED,), False, False),
    (COMPLETED, "PartiallyComplete", (CREATED, UPDATED), True, (PARTIAL,), False, False),
    (FAILED, "PartiallyComplete", (CREATED, UPDATED), True, (PARTIAL,), False, False),
    (FAILED, "Failed", (CREATED, UPDATED), True, (FAILED,), False, True),
    (COMPLETED, "Complete", (CREATED, UPDATED, PARTIAL), True, (COMPLETED,), False, True),
    (COMPLETED, "SomethingNew", (CREATED, UPDATED), False, (COMPLETED,), False, False),
    (EXPIRED, "Expired", (CREATED,), True, (EXPIRED,), False, True),
    (None, "Cancel", (CREATED,), False, (CANCELED,), False, True),
    (None, "Expired", (), False, (CREATED, EXPIRED), False, True),
    (None, "Complete", (CREATED,), False, (COMPLETED,), False, True),
    (None, "PartiallyComplete", (CREATED, UPDATED), False, (PARTIAL,), False, False),
    (None, "PartiallyComplete", (CREATED, UPDATED, PARTIAL), False, (), False, False),
    (None, "Active", (CREATED,), False, (), False, False),
    (None, "SomethingNew", (CREATED,), False, (), False, False),
    (None, "SomethingNew", (), False, (CREATED,), False, False),
]


@pytest.mark.parametrize(("said", "state", "known", "patient", "told", "waits", "over"), TABLE)
def test_what_is_told(said, state, known, patient, told, waits, over) -> None:
    found = decide(said, T4 if said else None, read(transfer(state)), _past(*known), patient=patient)
    assert tuple(step.type for step in found.tell) == told
    assert (found.wait, found.over) == (waits, over)


def test_the_source_may_try_again_after_a_partial_outcome() -> None:
    fetched = read(transfer("InProgress"))
    again = decide(UPDATED, T4, fetched, _past(CREATED, UPDATED, PARTIAL), patient=True)
    assert [(step.type, step.number) for step in again.tell] == [(UPDATED, 1)]
    the_first = decide(UPDATED, T1, fetched, _past(CREATED, UPDATED, PARTIAL), patient=True)
    assert the_first.tell == ()
    partial_again = decide(
        None, None, read(transfer("PartiallyComplete", lastModifiedTime=T4)),
        _past(CREATED, UPDATED, PARTIAL, UPDATED), patient=False,
    )  # fmt: skip
    assert [(step.type, step.number) for step in partial_again.tell] == [(PARTIAL, 1)]


def test_an_id_is_that_of_the_step_whoever_tells_it() -> None:
    found = decide(UPDATED, T1, read(transfer("InProgress")), (), patient=True)
    ids = [event_id(case(transfer()["id"]), step) for step in found.tell for case in (str.upper, str.lower)]
    assert len(set(ids)) == 2


@given(st.permutations([CREATED, UPDATED, COMPLETED]), st.lists(st.sampled_from([CREATED, UPDATED, COMPLETED]), max_size=6))
def test_callbacks_in_any_order_tell_each_step_once_and_in_order(order, repeats) -> None:
    at = {CREATED: T0, UPDATED: T1, COMPLETED: T2}
    fetched, past = read(transfer("Complete", createdTime=T0)), []
    waiting = [*order, *repeats]
    for patient in (True, True, True, False):
        for said in list(waiting):
            found = decide(said, at[said], fetched, past, patient=patient)
            past += [Past(step.type, step.occurred_at) for step in found.tell]
            if not found.wait:
                waiting.remove(said)
    assert [one.type for one in past] == [CREATED, UPDATED, COMPLETED]
    assert not waiting


@pytest.mark.parametrize("lacking", ["id", "createdTime", "sourcePartnerTenantId", "customerTenantId"])
def test_what_cannot_be_an_event_says_what_is_lacking(lacking: str) -> None:
    with pytest.raises(Unusable, match=lacking):
        read(transfer(**{lacking: None}))


@pytest.mark.parametrize("value", [None, [], "x", {}, {"lineItems": {}}])
def test_an_answer_that_is_no_transfer_is_unusable(value) -> None:
    with pytest.raises(Unusable):
        read(value)


def test_a_transfer_that_names_its_target_only_as_its_maker_is_understood() -> None:
    found = read(transfer(targetPartnerTenantId=None, targetPartnerName=None))
    assert (found.target.tenant, found.target.name) == (TARGET, TARGET)


def test_odd_fields_do_no_harm() -> None:
    odd = transfer(
        customerEmailId="", customerName=None, lineItems=[None, 7, {"id": None, "quantity": -1, "status": "Odd"}],
        targetProductTypes=None, expirationTime="0001-01-01T00:00:00", lastModifiedTime="2024-04-10T17:26:56",
    )  # fmt: skip
    found = read(odd)
    assert (found.contact, found.expires_at, found.moved_at) == (None, None, "2024-04-10T17:26:56Z")
    made = canonical(found, None, Status.COMPLETED, ("a", "b"))
    assert made["items"] == [{"status": "Odd"}]
    assert "product_types" not in made


def test_the_two_views_together_say_what_has_become_of_each_item() -> None:
    items = [line(0, "Complete"), line(1, "Failed", transferError="SyncState must be SyncComplete")]
    source = read(transfer("PartiallyComplete", lineItems=items))
    target = read(transfer("PartiallyComplete", lineItems=[line(0, "Complete", subscriptionId="new")]))
    made = canonical(source, target, Status.PARTIALLY_COMPLETED, ("contoso", "fabrikam"))
    done, failed = made["items"]
    assert (done["id"], done["result_id"], done["status"]) == (items[0]["subscriptionId"], "new", "completed")
    assert (failed["status"], failed["error"]) == ("failed", {"message": "SyncState must be SyncComplete"})
    assert made["product_types"] == ["online_services_nce"]
    assert made["customer"] == {"id": CUSTOMER, "name": "Relecloud", "contacts": [{"email": "it@relecloud.example"}]}
    assert made["source"] == {"id": "contoso", "name": "Contoso", "tenant_id": SOURCE}


def test_the_targets_view_alone_has_results_and_no_ids_of_the_sources() -> None:
    target = read(transfer("Complete", lineItems=[line(0, "Complete", subscriptionId="new")]))
    (item,) = canonical(of_target(target), target, Status.COMPLETED, ("a", "b"))["items"]
    assert (item.get("id"), item["result_id"]) == (None, "new")


def test_a_step_told_late_shows_nothing_that_came_after_it() -> None:
    done = read(transfer("Complete", lineItems=[line(0, "Complete", transferError="x")]))
    (item,) = canonical(done, done, Status.IN_PROGRESS, ("a", "b"))["items"]
    assert item["status"] == "in_progress"
    assert not {"result_id", "error"} & item.keys()
    for status in (Status.PENDING, Status.EXPIRED, Status.CANCELED):
        assert "items" not in canonical(done, done, status, ("a", "b"))


def test_every_status_on_the_wire_is_read_in_any_spelling() -> None:
    spelled = {"Active": Status.PENDING, "InProgress": Status.IN_PROGRESS, "in progress": Status.IN_PROGRESS,
               "Complete": Status.COMPLETED, "Completed": Status.COMPLETED, "COMPLETE": Status.COMPLETED,
               "PartiallyComplete": Status.PARTIALLY_COMPLETED, "Failed": Status.FAILED, "Expired": Status.EXPIRED,
               "Cancel": Status.CANCELED, "Canceled": Status.CANCELED, "Reject": None, "": None}  # fmt: skip
    assert {text: read(transfer(text)).status for text in spelled} == spelled


def test_a_look_is_never_before_what_is_known() -> None:
    fetched = read(transfer("Cancel", lastModifiedTime=T0))
    (step,) = decide(None, None, fetched, _past(CREATED, UPDATED)[:2], patient=False).tell
    assert step.occurred_at == T1


def test_the_order_of_the_past_does_not_matter_for_being_told_once() -> None:
    for order in itertools.permutations([CREATED, UPDATED, COMPLETED]):
        for said in order:
            assert decide(said, T4, read(transfer("Complete")), _past(*order), patient=True).tell == ()
