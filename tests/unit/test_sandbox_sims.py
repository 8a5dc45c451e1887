"""Do SIMs change hands in the sandbox as SORACOM's documents say, and only so?"""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.sandbox import desk
from relay.sandbox.desk import Desk
from relay.sandbox.sims import assisted, billing, handlers, requests, views
from relay.sandbox.sims.model import Sims
from relay.sandbox.sims.sign_in import Keys
from relay.sandbox.sims.world import (
    OTHER_PLAN,
    SOURCE,
    TARGET,
    UNPAID,
    BatchState,
    Phase,
    Status,
    World,
    first,
)
from relay.sandbox.system import Fault, Refusal, Step
from relay.sources.sims import transfer_id
from relay.times import to_datetime, to_ms

KEYS = Keys(b"the sandbox's own")
MODEL = Sims("http://sandbox.example/soracom")
NOW = to_ms(to_datetime("2026-11-21T01:00:00Z"))
DAY = 86_400_000
EMAILS = {one.id: one.email for one in first("", 0).operators.values()}


def fresh() -> World:
    return first("seed", NOW)


def imsis(world: World, count: int = 3) -> list[str]:
    return list(world.sims)[:count]


def offer(world: World, sims: list[str], *, target: str = TARGET, **more: Any) -> Step[World]:
    body = {
        "transferDestinationOperatorEmail": EMAILS[target], "transferDestinationOperatorId": target,
        "transferImsi": sims, **more,
    }  # fmt: skip
    return requests.issue(world, world.operators[SOURCE], body, NOW, KEYS)


def offered(count: int = 3) -> tuple[World, str, list[str]]:
    world = fresh()
    step = offer(world, imsis(world, count))
    return step.state, step.answer.body["token"], imsis(world, count)


def accept(world: World, token: str, who: str = TARGET) -> Step[World]:
    return requests.verify(world, world.operators[who], {"token": token}, NOW + 1000)


def move(world: World, imsi: str, status: Status, who: str = SOURCE) -> Step[World]:
    return requests.move(world, world.operators[who], imsi, status, NOW + 500)


def code(refusal: pytest.ExceptionInfo[Refusal]) -> tuple[int, str]:
    assert set(refusal.value.answer.body) == {"code", "message"}
    return refusal.value.answer.status, refusal.value.answer.body["code"]


def test_an_accepted_batch_belongs_to_the_destination_and_is_ready_there() -> None:
    world, token, sims = offered()
    step = accept(world, token)
    assert step.answer.body == {"transferredImsi": sims}
    for imsi in sims:
        sim = step.state.sims[imsi]
        assert (sim.owner, sim.status, sim.batch) == (TARGET, Status.READY, "")
    with pytest.raises(Refusal) as refusal:
        accept(step.state, token)
    assert code(refusal) == (404, "SBX0003")


def test_what_is_not_carried_over_is_gone() -> None:
    world = fresh()
    imsi = imsis(world)[0]
    body = {
        "targetImsi": imsi, "status": "active", "name": "one SIM's",
        "ruleConfig": {"type": "SimStatusAttributeRule", "properties": {}},
        "actionConfigList": [
            {"type": "ExecuteWebRequestAction", "properties": {"httpMethod": "POST", "url": "https://a.example/"}}
        ],
    }  # fmt: skip
    world = handlers.create(world, world.operators[SOURCE], body, NOW).state
    used = msgspec.structs.replace(world.sims[imsi], expires_ms=NOW + DAY)
    world = msgspec.structs.replace(world, sims={**world.sims, imsi: used})
    assert used.tags and used.group and used.is_protected and world.handlers
    step = offer(world, [imsi])
    after = accept(step.state, step.answer.body["token"]).state
    sim = after.sims[imsi]
    assert (sim.tags, sim.group, sim.expires_ms, sim.is_protected) == ({}, "", 0, False)
    assert not after.handlers


def test_a_batch_is_canceled_as_one_and_can_be_offered_again() -> None:
    world, token, sims = offered()
    step = requests.delete(world, world.operators[SOURCE], token, NOW)
    assert step.answer.status == 204
    assert all(step.state.sims[imsi].batch == "" and step.state.sims[imsi].owner == SOURCE for imsi in sims)
    with pytest.raises(Refusal) as refusal:
        requests.delete(step.state, step.state.operators[SOURCE], token, NOW)
    assert code(refusal) == (404, "SBX0003")
    assert refusal.value.answer.body["message"] == "Transfer token does not exist."
    assert offer(step.state, sims).answer.status == 200


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.READY])
def test_any_change_of_status_voids_a_sim_and_the_last_one_the_batch(status: Status) -> None:
    world, token, sims = offered(2)
    for imsi in sims:
        left = msgspec.structs.replace(world.sims[imsi], is_protected=False)
        world = move(msgspec.structs.replace(world, sims={**world.sims, imsi: left}), imsi, status).state
        if imsi == sims[0]:
            assert accept(world, token).answer.body == {"transferredImsi": sims[1:]}
    assert world.batches[transfer_id(token)].state is BatchState.VOID
    with pytest.raises(Refusal) as refusal:
        accept(world, token)
    assert code(refusal) == (404, "SBX0003")


def test_a_device_that_connects_makes_its_sim_active_and_void() -> None:
    world, token, sims = offered(1)
    step = requests.go_online(world, sims[0], NOW)
    assert step.state.sims[sims[0]].status is Status.ACTIVE
    assert step.state.batches[transfer_id(token)].void == {sims[0]: Status.ACTIVE}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"transferImsi": []}, (400, "SBX0001")),
        ({"transferImsi": "440"}, (400, "SBX0001")),
        ({"transferImsi": ["440109999999999"]}, (404, "SBX0004")),
        ({"transferDestinationOperatorEmail": "other@northwind.example"}, (400, "SBX0008")),
        ({"transferDestinationOperatorEmail": None}, (400, "SBX0001")),
        ({"transferDestinationOperatorId": "OP0000000000"}, (400, "SBX0008")),
        ({"transferDestinationOperatorId": SOURCE, "transferDestinationOperatorEmail": EMAILS[SOURCE]}, (400, "SBX0009")),
        ({"transferDestinationOperatorId": OTHER_PLAN, "transferDestinationOperatorEmail": EMAILS[OTHER_PLAN]}, (400, "SBX0010")),
    ],
)  # fmt: skip
def test_an_offer_that_does_not_fit_is_refused(change: dict[str, Any], expected: tuple[int, str]) -> None:
    world = fresh()
    with pytest.raises(Refusal) as refusal:
        offer(world, imsis(world), **change)
    assert code(refusal) == expected


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.READY])
def test_only_what_is_ready_is_offered(status: Status) -> None:
    world = fresh()
    imsi = imsis(world)[0]
    used = msgspec.structs.replace(world.sims[imsi], status=status)
    world = msgspec.structs.replace(world, sims={**world.sims, imsi: used})
    with pytest.raises(Refusal) as refusal:
        offer(world, [imsi])
    assert code(refusal) == (400, "SBX0006")


def test_what_is_offered_is_not_offered_twice_nor_by_somebody_else() -> None:
    world, _, sims = offered()
    with pytest.raises(Refusal) as refusal:
        offer(world, sims[:1])
    assert code(refusal) == (400, "SBX0007")
    body = {
        "transferDestinationOperatorEmail": EMAILS[TARGET], "transferDestinationOperatorId": TARGET,
        "transferImsi": sims[:1],
    }  # fmt: skip
    with pytest.raises(Refusal) as refusal:
        requests.issue(fresh(), fresh().operators[UNPAID], body, NOW, KEYS)
    assert code(refusal) == (404, "SBX0004")


def test_only_the_destination_accepts_and_only_the_source_cancels() -> None:
    world, token, _ = offered()
    for who in (SOURCE, UNPAID):
        with pytest.raises(Refusal) as refusal:
            accept(world, token, who)
        assert code(refusal) == (403, "SBX0012")
    with pytest.raises(Refusal) as refusal:
        requests.delete(world, world.operators[TARGET], token, NOW)
    assert code(refusal) == (404, "SBX0003")


def test_nothing_is_accepted_without_a_payment_method() -> None:
    world = fresh()
    step = offer(world, imsis(world), target=UNPAID)
    with pytest.raises(Refusal) as refusal:
        accept(step.state, step.answer.body["token"], UNPAID)
    assert code(refusal) == (400, "SBX0011")


def test_what_is_terminated_stays_so_and_nothing_is_ready_again() -> None:
    world = fresh()
    imsi = imsis(world)[0]
    with pytest.raises(Refusal) as refusal:
        move(world, imsi, Status.TERMINATED)
    assert code(refusal) == (400, "SBX0015")
    with pytest.raises(Refusal) as refusal:
        move(world, imsi, Status.READY)
    assert code(refusal) == (400, "SBX0016")
    ended = msgspec.structs.replace(world.sims[imsi], status=Status.TERMINATED)
    with pytest.raises(Refusal) as refusal:
        move(msgspec.structs.replace(world, sims={**world.sims, imsi: ended}), imsi, Status.ACTIVE)
    assert code(refusal) == (400, "SBX0014")


def test_an_acceptance_may_be_asked_to_leave_a_sim_out() -> None:
    world, token, sims = offered()
    world = MODEL.fault(world, Fault(kind="leave_out", item=2), NOW).state
    assert accept(world, token).answer.body == {"transferredImsi": [sims[0], sims[2]]}
    assert not accept(world, token).state.left_out


@pytest.mark.parametrize(("headers", "mine"), [('{"X-Mine": "1"}', "1"), ("[" * 100_000, None)], ids=["typed", "hostile"])
def test_an_event_handler_tells_what_its_customer_typed(headers: str, mine: str | None) -> None:
    world = fresh()
    imsi = imsis(world)[0]
    body = {
        "targetOperatorId": SOURCE, "status": "active", "name": "tell the relay",
        "ruleConfig": {
            "type": "SimStatusAttributeRule",
            "properties": {"inactiveTimeoutDateConst": "NEVER", "sourceStatus": "ready"},
        },
        "actionConfigList": [
            {
                "type": "ExecuteWebRequestAction",
                "properties": {
                    "executionDateTimeConst": "IMMEDIATELY", "httpMethod": "POST", "url": "https://relay.example/sim",
                    "headers": headers, "body": '{"imsi":"${imsi}","from":"${oldStatus}","to":"${newStatus}"}',
                },
            }
        ],
    }  # fmt: skip
    step = handlers.create(world, world.operators[SOURCE], body, NOW)
    assert step.answer.status == 201
    step = move(step.state, imsi, Status.ACTIVE)
    (call,) = step.calls
    assert json.loads(call.body) == {"imsi": imsi, "from": "ready", "to": "active"}
    assert (call.url, call.headers.get("X-Mine"), call.about) == ("https://relay.example/sim", mine, "")
    assert move(step.state, imsi, Status.INACTIVE).calls == ()
    assert len(move(step.state, imsis(world)[1], Status.ACTIVE).calls) == 1


@pytest.mark.parametrize(
    ("accepted", "begins"),
    [
        ("2026-11-20T14:59:59Z", "2026-11-30T15:00:00Z"),  # the 20th in Japan, just before midnight
        ("2026-11-20T15:00:00Z", "2026-12-31T15:00:00Z"),
        ("2026-11-30T15:00:00Z", "2026-12-31T15:00:00Z"),
        ("2026-12-01T00:00:00Z", "2026-12-31T15:00:00Z"),
        ("2026-12-25T00:00:00Z", "2027-01-31T15:00:00Z"),
    ],
)
def test_what_is_accepted_by_the_20th_begins_with_the_next_month(accepted: str, begins: str) -> None:
    assert assisted.begins(to_ms(to_datetime(accepted))) == to_ms(to_datetime(begins))


def test_the_assisted_transfer_carries_over_what_the_other_does_not() -> None:
    world = fresh()
    imsi = imsis(world)[0]
    used = msgspec.structs.replace(
        world.sims[imsi], status=Status.SUSPENDED, imei_lock="3512", containers=("plan01s",), speed_class="s1.fast",
        has_session=True, expires_ms=NOW + DAY,
    )  # fmt: skip
    world = msgspec.structs.replace(world, sims={**world.sims, imsi: used})
    form = assisted.Form(source=SOURCE, target=TARGET, email=EMAILS[TARGET], imsis=(imsi,), group="theirs")
    step = assisted.apply(world, form, NOW)
    world = assisted.accept(step.state, step.answer.body["id"], NOW).state
    table = Desk(world)
    early = desk.passed(MODEL, table, assisted.begins(NOW) - 1).desk.state
    assert early.sims[imsi].owner == SOURCE
    after = desk.passed(MODEL, table, NOW + 100 * DAY).desk.state
    sim = after.sims[imsi]
    assert (sim.owner, sim.status, sim.tags, sim.imei_lock, sim.containers, sim.expires_ms) == (
        TARGET, Status.SUSPENDED, used.tags, "3512", ("plan01s",), NOW + DAY,
    )  # fmt: skip
    assert (sim.group, sim.speed_class, sim.has_session) == ("theirs", "s1.standard", False)
    assert [one.phase for one in after.applications.values()] == [Phase.DONE]
    assert sim.owners[-1].from_ms == assisted.begins(NOW)


@pytest.mark.parametrize(("status", "expected"), [(Status.TERMINATED, "SBX0014"), (Status.READY, "SBX0017")])
def test_what_is_terminated_or_still_ready_is_not_applied_for(status: Status, expected: str) -> None:
    world = fresh()
    imsi = imsis(world)[0]
    world = msgspec.structs.replace(world, sims={imsi: msgspec.structs.replace(world.sims[imsi], status=status)})
    with pytest.raises(Refusal) as refusal:
        assisted.apply(world, assisted.Form(source=SOURCE, target=TARGET, email=EMAILS[TARGET], imsis=(imsi,)), NOW)
    assert code(refusal)[1] == expected


def test_the_source_is_billed_until_the_day_before_and_the_destination_from_that_day_on() -> None:
    world, token, sims = offered(1)
    after = accept(world, token).state
    sim = after.sims[sims[0]]
    assert [billing.billed(sim, date(2026, 11, day)) for day in (20, 21, 22)] == ["", TARGET, TARGET]
    later = requests.verify(world, world.operators[TARGET], {"token": token}, NOW + 3 * DAY).state
    bill = billing.bill(later, date(2026, 11, 21), date(2026, 11, 30))
    assert (bill[SOURCE][sims[0]], bill[TARGET][sims[0]]) == (3, 7)
    assert billing.bill(later, date.max, date.max)[TARGET] == {sims[0]: 1}


def test_a_token_is_two_uuids_and_is_not_kept() -> None:
    world, token, _ = offered()
    assert [len(part) for part in token.split("-")] == [8, 4, 4, 4, 12] * 2
    kept = desk.dump(MODEL, Desk(world))
    assert token.encode() not in kept and token.split("-")[0].encode() not in kept
    assert MODEL.load(MODEL.dump(world)) == world


def test_a_sim_in_transfer_looks_as_the_definition_allows() -> None:
    world, _, sims = offered(1)
    shown = views.sim(world.sims[sims[0]])
    assert shown["status"] == "ready"
    assert views.subscriber(world.sims[sims[0]])["operatorId"] == SOURCE


def test_who_does_not_sign_in_is_nobody() -> None:
    world = fresh()
    granted = KEYS.grant(world, {"email": EMAILS[TARGET], "password": KEYS.password(TARGET)}, NOW)
    headers = {"X-Soracom-API-Key": granted["apiKey"], "X-Soracom-Token": granted["token"]}
    assert KEYS.asker(world, headers, NOW).id == TARGET
    wrong = [
        {}, {**headers, "X-Soracom-API-Key": KEYS.api_key(SOURCE)}, {**headers, "X-Soracom-Token": "x"},
        {**headers, "X-Soracom-Token": "\udcff.1.x"},
        {**headers, "X-Soracom-Token": headers["X-Soracom-Token"].replace(TARGET, SOURCE)},
    ]  # fmt: skip
    for one in wrong:
        with pytest.raises(Refusal):
            KEYS.asker(world, one, NOW)
    with pytest.raises(Refusal):
        KEYS.asker(world, headers, NOW + DAY)
    with pytest.raises(Refusal):
        KEYS.grant(world, {"email": EMAILS[TARGET], "password": "guess"}, NOW)


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.sets(st.integers(0, 5), min_size=1, max_size=4)),
        st.tuples(st.just("accept"), st.integers(0, 5)),
        st.tuples(st.just("delete"), st.integers(0, 5)),
        st.tuples(st.just("move"), st.tuples(st.integers(0, 5), st.sampled_from(list(Status)))),
        st.tuples(st.just("connect"), st.integers(0, 5)),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=150)
@given(_STEPS)
def test_whatever_is_asked_a_sim_has_one_owner_and_is_in_at_most_one_offer(steps: list[tuple[str, Any]]) -> None:
    world, tokens = fresh(), ["none"]
    sims = imsis(world, 6)
    for what, how in steps:
        before = world
        try:
            match what:
                case "offer":
                    step = offer(world, [sims[place] for place in how])
                    tokens.append(step.answer.body["token"])
                case "accept":
                    step = accept(world, tokens[how % len(tokens)])
                case "delete":
                    step = requests.delete(world, world.operators[SOURCE], tokens[how % len(tokens)], NOW)
                case "move":
                    step = move(world, sims[how[0]], how[1])
                case _:
                    step = requests.go_online(world, sims[how], NOW)
        except Refusal:
            continue
        world = step.state
        for imsi in sims:
            was, sim = before.sims[imsi], world.sims[imsi]
            assert not (sim.status is Status.READY and was.status is not Status.READY), "ready again"
            assert sim.owner == was.owner or (was.status is Status.READY and what == "accept")
            holding = [
                one.id for one in world.batches.values()
                if one.state is BatchState.OFFERED and imsi in one.imsis and imsi not in one.void
            ]  # fmt: skip
            assert holding == ([sim.batch] if sim.batch else [])
        for batch in world.batches.values():
            assert not set(batch.moved) & batch.void.keys()
            assert (batch.state is BatchState.VOID) == (set(batch.imsis) == batch.void.keys())
    assert MODEL.load(MODEL.dump(world)) == world
