"""Do the scripts keep what was promised, whoever calls them, how often and in whatever order?

Times are numbers of the tests' own: a script is told `now`. `D` of a recipient `r` is named so that its id
names its queue, as the plan does.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relay.errors import StoreError
from relay.lifecycle import Standing
from relay.model import (
    Attempt,
    Audience,
    Channel,
    Delivery,
    DeliveryStatus,
    EventType,
    Kind,
    Outcome,
    Recipient,
    Status,
)
from relay.store.client import Call, Client, Script
from relay.store.hints import Hint, Hints
from relay.store.ledger import Ledger, Line
from relay.store.passes import Advanced, Mark, Result, Taken
from relay.store.queues import Entry, Queues
from relay.store.stored import AcceptedStep, Activity, FixedPlan, Held, reader
from relay.store.stored import dump as packed
from relay.store.transfers import Acceptance, Accepted, Transfers

LEASE = 1_000
TAKEN: dict[str, Taken] = {}
"""What the passes of the running test were given."""
ATTEMPT = packed(Attempt(number=1, at_ms=1, duration_ms=1, outcome=Outcome.TIMED_OUT))


async def dump(client: Client) -> dict[str, Any]:
    """Everything under the test's prefix, comparable."""
    found: dict[str, Any] = {}
    async for raw in client.redis.scan_iter(match=f"{client.prefix}:*", count=1000):
        kind = (await client.redis.type(raw)).decode()
        name = raw.decode()
        if kind == "hash":
            found[name] = await client.ask("HGETALL", raw)
        elif kind == "zset":
            found[name] = await client.redis.zrange(raw, 0, -1, withscores=True)
        else:
            found[name] = await client.redis.get(raw)
    return found


# --- transfers ----------------------------------------------------------------------------------------------


def held(sequence: int = 1, moved_ns: int = 5) -> Held:
    return Held(
        id="T1",
        kind=Kind.SIM,
        status=Status.PENDING,
        moved=str(moved_ns),
        sequence=sequence,
        current=sequence,
        source="a",
        target="b",
        source_id="A",
        target_id="B",
        customer="",
        created_ms=1,
        updated_ms=2,
    )


def acceptance(event: str = "e1", *, version: int = 0, sequence: int = 1, **more: Any) -> Acceptance:
    step = AcceptedStep(
        sequence=sequence, event_id=event, type=EventType.CREATED, occurred_at="", accepted_at_ms=1, producer=None
    )
    made: dict[str, Any] = {"fingerprint": f"f-{event}", "held": held(sequence), "link": "", "step": step, "body": b"{}", "now_ms": 1}
    return Acceptance(key=more.pop("key", "t1"), event_id=event, version=version, **(made | more))


@pytest.fixture
def transfers(client: Client) -> Transfers:
    return Transfers(client)


async def test_an_event_is_accepted_once(client: Client, transfers: Transfers) -> None:
    assert await transfers.accept(acceptance()) is Accepted.DONE
    before = await dump(client)
    assert await transfers.accept(acceptance()) is Accepted.REPEATED
    assert await dump(client) == before
    known = await transfers.look("t1", "e1")
    assert (known.claim, known.version, known.sequence) == (b"f-e1", 1, 1)


async def test_a_transfer_that_has_moved_is_judged_again(client: Client, transfers: Transfers) -> None:
    await transfers.accept(acceptance("e1"))
    before = await dump(client)
    assert await transfers.accept(acceptance("e2", version=0)) is Accepted.MOVED
    assert await dump(client) == before
    assert await transfers.accept(acceptance("e2", version=1, sequence=2)) is Accepted.DONE


async def test_an_id_belongs_to_its_first_body_in_every_transfer(client: Client, transfers: Transfers) -> None:
    await transfers.accept(acceptance())
    before = await dump(client)
    assert await transfers.accept(acceptance(fingerprint="other")) is Accepted.CLAIMED
    assert await transfers.accept(acceptance(key="t2", fingerprint="other")) is Accepted.CLAIMED
    assert await dump(client) == before


async def test_of_many_who_judged_the_same_version_one_is_accepted(transfers: Transfers) -> None:
    answers = await asyncio.gather(*(transfers.accept(acceptance(f"e{n}")) for n in range(20)))
    assert sorted(answers) == [Accepted.DONE] + [Accepted.MOVED] * 19


async def test_without_a_joint_slot_the_id_is_claimed_first(client: Client) -> None:
    apart = Transfers(client, joint=False)
    assert await apart.accept(acceptance()) is Accepted.DONE
    assert await apart.accept(acceptance()) is Accepted.REPEATED
    assert await apart.accept(acceptance(key="t2", fingerprint="other")) is Accepted.CLAIMED


async def test_the_link_is_kept_until_it_is_erased(transfers: Transfers) -> None:
    async def link() -> str | None:
        link = (await transfers.asked_bodies([("t1", 1, Audience.TARGET)]))[0][1]
        return None if link is None else link.decode()

    await transfers.accept(acceptance("e1", link="sealed"))
    assert await link() == "sealed"
    await transfers.accept(acceptance("e2", version=1, sequence=2))
    assert await link() == "sealed"
    await transfers.accept(acceptance("e3", version=2, sequence=3, link="-"))
    assert await link() is None


@pytest.mark.parametrize("moved_ns", [0, -62_135_596_800 * 10**9, 253_402_300_799 * 10**9 + 999_999_999])
def test_a_standing_of_any_year_comes_back_as_it_was(moved_ns: int) -> None:
    kept = held(moved_ns=moved_ns)
    assert reader(Held).decode(packed(kept)) == kept
    assert kept.standing == Standing(Kind.SIM, Status.PENDING, moved_ns)


async def test_the_first_plan_holds(client: Client, transfers: Transfers) -> None:
    await transfers.accept(acceptance())
    bodies = {"1:source": b"one"}
    one, two = FixedPlan(unordered=["one"]), FixedPlan(unordered=["two"])
    assert await transfers.fix_plans([("t1", "1", one, bodies)]) == [None]
    before = await dump(client)
    assert await transfers.fix_plans([("t1", "1", two, {"1:source": b"two"})]) == [one]
    assert await transfers.fix_plans([("t1", "1", one, bodies)]) == [one]
    assert await dump(client) == before
    assert await transfers.body("t1", 1, Audience.SOURCE) == b"one"


async def test_an_inbox_is_emptied_in_order_and_once(client: Client, transfers: Transfers) -> None:
    for n in range(1, 13):
        await transfers.accept(acceptance(f"e{n}", version=n - 1, sequence=n))
    ((_, found),) = await transfers.inboxes(["t1"], 100)
    assert [one.sequence for one in found] == list(range(1, 13))
    assert (await client.batch([transfers.planning_done([("t1", "1")])]))[0] == [1]
    assert (await client.batch([transfers.planning_done([("t1", "1")])]))[0] == [0]


async def test_one_audience_is_told_afterwards_once(client: Client, transfers: Transfers) -> None:
    await transfers.accept(acceptance())
    await client.batch([transfers.planning_done([("t1", "1")])])
    for _ in range(2):
        await transfers.retell("t1", 1, Audience.TARGET)
    ((_, found),) = await transfers.inboxes(["t1"], 9)
    assert [(one.member, one.audience) for one in found] == [("1~target", Audience.TARGET)]
    await transfers.fix_plans([("t1", "1~target", b"{}", {})])
    await client.batch([transfers.planning_done([("t1", "1~target")])])
    before = await dump(client)
    await transfers.retell("t1", 1, Audience.TARGET)
    assert await dump(client) == before


# --- queues ----------------------------------------------------------------------------------------------------


@pytest.fixture
def queues(client: Client) -> Queues:
    return Queues(client)


def did(n: int | str, recipient: str = "ep_1") -> str:
    return f"dlv_{recipient}_{n}"


def entry(n: int, *, lane: str = "t1", at: int = 0, rate: int | None = None, recipient: str = "ep_1") -> Entry:
    made = Delivery(
        id=did(n, recipient),
        event_id=f"e{n}",
        type="transfer.created",
        transfer=lane,
        transfer_key=lane,
        sequence=n,
        created_at_ms=at,
        recipient=Recipient(id=recipient, channel=Channel.WEBHOOK, audience=Audience.SOURCE),
    )
    return Entry(recipient, made.id, packed(made), lane, n, at, rate)


async def put(client: Client, queues: Queues, *entries: Entry) -> list[Any]:
    (replies,) = await client.batch([queues.enqueuing(entries)])
    return replies


async def step(queues: Queues, now: int, *results: Result, token: str = "p1", want: int = 10, flying: int = 0,
               **more: Any) -> Advanced:  # fmt: skip
    advanced = await queues.advance(
        "ep_1", token=token, now_ms=now, lease_ms=LEASE, want=want, in_flight=flying, results=results, **more
    )
    TAKEN.update({one.delivery.id: one for one in advanced.taken})
    return advanced


def taken(advanced: Advanced) -> list[int]:
    return [int(one.delivery.id.rpartition("_")[2]) for one in advanced.taken]


def result(n: int, mark: Mark, at: int = 0, **more: Any) -> Result:
    attempt = b"" if mark in (Mark.BACK, Mark.KEEP, Mark.CANCELED) else ATTEMPT
    return Result(TAKEN[did(n)], mark, at, attempt=attempt, **more)


async def test_a_delivery_enters_its_queue_once(client: Client, queues: Queues) -> None:
    assert await put(client, queues, entry(1, at=7)) == [b"7"]
    before = await dump(client)
    assert await put(client, queues, entry(1, at=7)) == [b"7"]
    assert await dump(client) == before


async def test_what_is_in_flight_or_settled_does_not_enter_again(client: Client, queues: Queues) -> None:
    await put(client, queues, entry(1))
    assert taken(await step(queues, 1)) == [1]
    assert await put(client, queues, entry(1)) == [b""]
    assert taken(await step(queues, 2, flying=1)) == []
    await step(queues, 3, result(1, Mark.DELIVERED))
    assert await put(client, queues, entry(1)) == [b""]
    assert (await step(queues, 4)).released


async def test_one_pass_at_a_time_drains_a_queue(client: Client, queues: Queues) -> None:
    await put(client, queues, entry(1))
    assert taken(await step(queues, 0)) == [1]
    other = await step(queues, 1, token="p2")
    assert (other.taken, other.lease_until_ms) == ([], LEASE)


async def test_a_pass_that_lost_its_lease_records_nothing(client: Client, queues: Queues) -> None:
    await put(client, queues, entry(1))
    await step(queues, 0)
    assert taken(await step(queues, LEASE, token="p2")) == [1]
    before = await dump(client)
    busy = await step(queues, LEASE + 1, result(1, Mark.DELIVERED))
    assert busy.lease_until_ms == 2 * LEASE
    assert await dump(client) == before
    lost = await step(queues, 3 * LEASE, result(1, Mark.DELIVERED))
    assert lost.lost
    assert (await step(queues, 3 * LEASE, flying=1)).lost
    assert await dump(client) == before


async def test_what_a_dead_pass_had_in_flight_is_due_again(client: Client, queues: Queues) -> None:
    await put(client, queues, entry(1), entry(2), entry(3, lane=""))
    assert set(taken(await step(queues, 0))) == {1, 3}
    again = await step(queues, LEASE, token="p2")
    assert set(taken(again)) == {1, 3}
    assert {one.attempts for one in again.taken} == {0}


async def test_a_lane_is_in_order_through_retries(client: Client, queues: Queues) -> None:
    await put(client, queues, entry(2), entry(1), entry(3), entry(4, lane="other"))
    assert set(taken(await step(queues, 0))) == {1, 4}
    assert taken(await step(queues, 1, result(1, Mark.AGAIN, 50), flying=1)) == []
    assert taken(await step(queues, 49, flying=1)) == []
    assert taken(await step(queues, 50, flying=1)) == [1]
    assert taken(await step(queues, 51, result(1, Mark.DELIVERED), flying=1)) == [2]
    assert taken(await step(queues, 52, result(2, Mark.EXHAUSTED), flying=1)) == [3]


async def test_a_lower_sequence_that_comes_late_goes_before_those_that_wait(client: Client, queues: Queues) -> None:
    await put(client, queues, entry(2), entry(3))
    await put(client, queues, entry(1))
    assert taken(await step(queues, 0)) == [1]
    assert taken(await step(queues, 1, result(1, Mark.DELIVERED))) == [2]


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_reopening_below_what_is_in_flight_waits_for_it(
    client: Client, queues: Queues, order: tuple[int, int]
) -> None:
    await put(client, queues, entry(1), entry(2), entry(3))
    await step(queues, 0)
    await step(queues, 1, result(1, Mark.EXHAUSTED))
    assert taken(await step(queues, 2, result(2, Mark.EXHAUSTED))) == [3]
    for n in order:
        await queues.reopen([did(n)], 3)
    assert taken(await step(queues, 4, flying=1)) == []
    assert taken(await step(queues, 5, result(3, Mark.AGAIN, 6))) == [1]
    assert taken(await step(queues, 7, result(1, Mark.DELIVERED))) == [2]
    assert taken(await step(queues, 8, result(2, Mark.DELIVERED))) == [3]


async def test_without_a_lane_everything_goes_at_once(client: Client, queues: Queues) -> None:
    await put(client, queues, *(entry(n, lane="") for n in range(1, 6)))
    assert set(taken(await step(queues, 0))) == {1, 2, 3, 4, 5}


async def test_what_is_held_waits_and_is_released_in_order(client: Client, queues: Queues) -> None:
    await put(client, queues, entry(1), entry(2), entry(9, lane="other", at=5))
    assert await queues.hold("ep_1", held=True, now_ms=1) is None
    advanced = await step(queues, 10)
    assert (advanced.taken, advanced.released, advanced.next_due_ms) == ([], True, None)
    (record,) = await queues.deliveries([did(1)])
    assert (record.status, record.held, record.next_attempt_at_ms) == (DeliveryStatus.PENDING, True, None)
    before = await dump(client)
    await queues.hold("ep_1", held=True, now_ms=1)
    assert await dump(client) == before
    assert await queues.hold("ep_1", held=False, now_ms=11) == 0
    assert taken(await step(queues, 12)) == [1, 9]
    assert taken(await step(queues, 13, result(1, Mark.DELIVERED), flying=1)) == [2]


async def test_what_was_tried_before_it_was_held_is_released_in_its_place(client: Client, queues: Queues) -> None:
    await put(client, queues, entry(1, lane="a", at=1), entry(2, lane="b", at=2), entry(3, lane="c", at=3))
    assert taken(await step(queues, 4, want=1)) == [1]
    await step(queues, 5, result(1, Mark.AGAIN, 90_000), want=0)
    await queues.hold("ep_1", held=True, now_ms=6)
    assert await queues.hold("ep_1", held=False, now_ms=7) == 1
    assert taken(await step(queues, 8)) == [1, 2, 3]


@pytest.mark.parametrize("lane", ["a", ""])
@pytest.mark.parametrize("touched", ["reopened", "joined"])
async def test_what_was_released_goes_once_and_is_not_put_off(
    client: Client, queues: Queues, lane: str, touched: str
) -> None:
    await put(client, queues, entry(1, lane=lane, at=1))
    await step(queues, 1)
    await step(queues, 2, result(1, Mark.AGAIN, 90_000), want=0)
    await queues.hold("ep_1", held=False, now_ms=3)
    if touched == "reopened":
        await queues.reopen([did(1)], 4)
    else:  # by another of its lane, behind it
        await put(client, queues, entry(2, lane=lane, at=4))
    assert 1 in taken(await step(queues, 5))
    assert 1 not in taken(await step(queues, 90_000, flying=1))


async def test_an_overloaded_endpoint_is_left_alone_until_its_time(client: Client, queues: Queues) -> None:
    await put(client, queues, entry(1), entry(2, lane="other"))
    assert taken(await step(queues, 0, want=1)) == [1]
    waits = await step(queues, 1, result(1, Mark.AGAIN, 500), hold_until_ms=400)
    assert (waits.taken, waits.released, waits.next_due_ms) == ([], True, 400)
    assert taken(await step(queues, 400)) == [2]


async def test_a_rate_limit_spaces_requests(client: Client, queues: Queues) -> None:
    await put(client, queues, *(entry(n, lane="", rate=60) for n in range(1, 5)))
    assert len(taken(await step(queues, 0))) == 1
    assert taken(await step(queues, 999, flying=1)) == []
    assert len(taken(await step(queues, 1_000, flying=1))) == 1
    waits = await step(queues, 1_001)
    assert (waits.released, waits.next_due_ms) == (True, 2_000)
    assert len(taken(await step(queues, 9_000))) == 1  # what was not used is not saved up
    assert len(taken(await step(queues, 9_000, rate=0, flying=1))) == 3  # no limit any more


async def test_a_high_rate_may_be_a_second_ahead(client: Client, queues: Queues) -> None:
    await put(client, queues, *(entry(n, lane="", rate=600) for n in range(1, 31)))
    assert len(taken(await step(queues, 0, want=30))) == 10
    assert len(taken(await step(queues, 100, want=30, flying=9))) == 1


async def test_first_tries_go_first_but_leave_a_quarter_to_retries(client: Client, queues: Queues) -> None:
    await put(client, queues, *(entry(n, lane="") for n in range(1, 41)))
    first = taken(await step(queues, 0, want=20))
    await step(queues, 1, *(result(n, Mark.AGAIN, 1) for n in first), want=0)
    second = taken(await step(queues, 2, want=8))
    assert len([n for n in second if n in first]) == 2


async def test_retries_do_not_starve_where_one_may_go_at_a_time(client: Client, queues: Queues) -> None:
    await put(client, queues, entry(1, lane="retried"))
    await step(queues, 0)
    await step(queues, 1, result(1, Mark.AGAIN, 2), want=0)
    await put(client, queues, *(entry(n, lane="") for n in range(2, 30)))
    gone: list[int] = []
    for now in range(10, 18):
        gone += taken(await step(queues, now, *(result(n, Mark.DELIVERED) for n in gone[-1:]), want=1))
    assert 1 in gone
    assert len(gone) == 8


async def test_each_mark_does_to_its_delivery_what_it_says(client: Client, queues: Queues) -> None:
    await put(client, queues, *(entry(n, lane="") for n in range(1, 7)))
    await step(queues, 0)
    keep = result(6, Mark.KEEP, sealed="sealed")
    await step(queues, 1, keep, want=0, flying=6)
    results = (
        result(1, Mark.DELIVERED),
        result(2, Mark.EXHAUSTED, reason="timed_out"),
        result(3, Mark.CANCELED, reason="endpoint_removed"),
        result(4, Mark.AGAIN, 100),
        result(5, Mark.BACK, 200),
    )
    await step(queues, 2, *results, want=0, flying=1)
    before = await dump(client)
    await step(queues, 2, *results, want=0, flying=1)
    assert await dump(client) == before
    records = await queues.deliveries([did(n) for n in range(1, 7)])
    assert [record.status.value for record in records] == [
        "delivered", "exhausted", "canceled", "pending", "pending", "pending",
    ]  # fmt: skip
    assert [len(record.attempts) for record in records] == [1, 1, 0, 1, 0, 0]
    assert [record.reason for record in records] == [None, "timed_out", "endpoint_removed", None, None, None]
    assert [record.settled_at_ms for record in records] == [2, 2, 2, None, None, None]
    assert [record.next_attempt_at_ms for record in records[3:5]] == [100, 200]
    again = {one.delivery.id: one.sealed for one in (await step(queues, 2 + LEASE, token="p2")).taken}
    assert again == {did(4): None, did(5): None, did(6): "sealed"}


async def test_failures_count_from_the_first_until_something_is_taken(client: Client, queues: Queues) -> None:
    await put(client, queues, entry(1), entry(2, lane="b"))
    await step(queues, 0)
    assert (await step(queues, 5, result(1, Mark.AGAIN, 6), want=0, flying=1)).failing_since_ms == 5
    assert taken(await step(queues, 7, flying=1)) == [1]
    assert (await step(queues, 9, result(1, Mark.AGAIN, 10), want=0, flying=1)).failing_since_ms == 5
    await queues.begin_incident("ep_1", 5, warned=True)
    assert await queues.was_warned("ep_1")
    assert (await step(queues, 11, result(2, Mark.DELIVERED), want=0)).failing_since_ms is None
    assert not await queues.was_warned("ep_1")


async def test_reopening_begins_the_schedule_again_and_keeps_the_attempts(client: Client, queues: Queues) -> None:
    await put(client, queues, entry(1))
    for now in (0, 10):
        await step(queues, now)
        await step(queues, now + 1, result(1, Mark.AGAIN, now + 2), want=0)
    await step(queues, 20)
    await step(queues, 21, result(1, Mark.EXHAUSTED, reason="timed_out"))
    assert await queues.reopen([did(1), did("none")], 30) == [("reopened", 30), ("absent", None)]
    before = await dump(client)
    assert await queues.reopen([did(1)], 30) == [("pending", 30)]
    assert await dump(client) == before
    (record,) = await queues.deliveries([did(1)])
    assert (record.status, record.reason, record.settled_at_ms) == (DeliveryStatus.PENDING, None, None)
    assert len(record.attempts) == 3
    (one,) = (await step(queues, 30)).taken
    assert (one.attempts, one.base) == (3, 3)
    assert await queues.reopen([did(1)], 31) == [("pending", None)]


# --- hints --------------------------------------------------------------------------------------------------------


@pytest.fixture
def hints(client: Client) -> Hints:
    return Hints(client)


async def test_a_hint_is_taken_by_one_and_due_again_if_it_dies(hints: Hints) -> None:
    await hints.make_due(Hint.WEBHOOK, [("ep_1", 5)])
    assert await hints.take(Hint.WEBHOOK, now_ms=4, until=10.5, most=4) == []
    (claim,) = await hints.take(Hint.WEBHOOK, now_ms=5, until=10.5, most=4)
    assert await hints.take(Hint.WEBHOOK, now_ms=10, until=20.25, most=4) == []
    (other,) = await hints.take(Hint.WEBHOOK, now_ms=11, until=20.25, most=4)
    await hints.give_back(Hint.WEBHOOK, claim, None)
    assert await hints.count(Hint.WEBHOOK) == 1
    await hints.give_back(Hint.WEBHOOK, other, None)
    assert await hints.count(Hint.WEBHOOK) == 0


async def test_work_that_came_meanwhile_is_not_forgotten_by_who_gives_back(hints: Hints) -> None:
    await hints.make_due(Hint.PLAN, [("t1", 0)])
    (claim,) = await hints.take(Hint.PLAN, now_ms=1, until=100.5, most=4)
    await hints.make_due(Hint.PLAN, [("t1", 2)])
    await hints.give_back(Hint.PLAN, claim, None)
    assert [c.member for c in await hints.take(Hint.PLAN, now_ms=2, until=200.5, most=4)] == ["t1"]


@pytest.mark.parametrize("joint", [True, False], ids=["in one step", "in its own"])
async def test_what_comes_for_later_is_not_forgotten_by_who_gives_back(
    client: Client, hints: Hints, queues: Queues, joint: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint asked to be left alone for longer than a claim lasts; its queue was empty when it was looked at."""
    await put(client, queues, entry(1))
    (claim,) = await hints.take(Hint.WEBHOOK, now_ms=1, until=100.5, most=4)
    await step(queues, 1)
    done = await step(queues, 2, result(1, Mark.DELIVERED), hold_until_ms=500)
    assert (done.released, done.next_due_ms) == (True, None)
    monkeypatch.setattr(client, "joint", joint)
    (due,) = await put(client, queues, entry(2, lane="t2", at=3))
    assert due == b"500"
    if not joint:
        await hints.make_due(Hint.WEBHOOK, [("ep_1", 500)])
    await hints.give_back(Hint.WEBHOOK, claim, None)
    assert [c.member for c in await hints.take(Hint.WEBHOOK, now_ms=500, until=600.5, most=4)] == ["ep_1"]


async def test_a_hint_is_never_put_off(hints: Hints) -> None:
    await hints.make_due(Hint.PLAN, [("t1", 5)])
    await hints.make_due(Hint.PLAN, [("t1", 50)])
    assert len(await hints.take(Hint.PLAN, now_ms=5, until=9.5, most=4)) == 1


async def test_lost_hints_are_found_again(client: Client, hints: Hints, queues: Queues, transfers: Transfers) -> None:
    await transfers.accept(acceptance(key="odd}:in {t:*}"))
    await put(client, queues, entry(1, recipient="ep_1"), entry(2, recipient="mb_1"), entry(3, recipient="ep_2"))
    await step(queues, 0)
    await hints.rebuild()
    before = await dump(client)
    await hints.rebuild()
    assert await dump(client) == before

    async def members(hint: Hint) -> set[str]:
        return {claim.member for claim in await hints.take(hint, now_ms=1, until=99.5, most=40)}

    assert await members(Hint.PLAN) == {"odd}:in {t:*}"}
    assert await members(Hint.WEBHOOK) == {"ep_1", "ep_2"}
    assert await members(Hint.EMAIL) == {"mb_1"}


async def test_finding_hints_again_takes_nothing_from_who_has_them(hints: Hints, client: Client, queues: Queues) -> None:
    await put(client, queues, entry(1))
    await hints.make_due(Hint.WEBHOOK, [("ep_1", 0)])
    await hints.take(Hint.WEBHOOK, now_ms=1, until=99.5, most=4)
    await hints.rebuild()
    assert await hints.take(Hint.WEBHOOK, now_ms=2, until=99.5, most=4) == []


# --- logs ------------------------------------------------------------------------------------------------------------


async def test_a_partners_records_grow_by_an_event_once(client: Client, transfers: Transfers) -> None:
    ledger = Ledger(client, transfers)
    record = Activity(id="e1:source", type="transfer.created", at_ms=1)
    line = Line("p1", "e1:source", record, "1|source|e1|t|1", "t|1", 5)
    await ledger.append([line])
    before = await dump(client)
    await ledger.append([line])
    await client.batch([ledger.indexing([("t|1", 1, 2, 3)])])
    indexed = await dump(client)
    await client.batch([ledger.indexing([("t|1", 1, 2, 3)])])
    assert await dump(client) == indexed
    assert before.items() <= indexed.items()
    page = await ledger.activity("p1")
    assert [one.id for one in page.data] == ["e1:source"]
    assert [(one.transfer_key, one.cursor) for one in await ledger.feed("p1")] == [("t|1", "1")]
    assert await ledger.feed("p1", after="1") == []


async def test_events_add_the_same_to_a_partners_records_one_by_one_as_together(
    client: Client, transfers: Transfers
) -> None:
    ledger = Ledger(client, transfers)

    def lines(partner: str) -> list[Line]:
        """Of two transfers, the second before the first; the last event comes twice."""
        many = [
            Line(partner, f"e{n}:source", Activity(id=f"e{n}:source", type="t", at_ms=n) if logged else None, feed, t, n)
            for n, (logged, feed, t) in enumerate(
                [(True, "1|source|e0|t|2", "t|2"), (True, "", "t|1"), (False, "2|source|e2|t|1", "t|1"), (True, "", "")]
            )
        ]
        return [*many, many[-1], many[1]]

    for line in lines("p1"):
        await ledger.append([line])
    await ledger.append(lines("p2"))
    stored = await dump(client)
    one, other = (
        {name.partition("}:")[2]: found for name, found in stored.items() if f"{{p:{partner}}}" in name}
        for partner in ("p1", "p2")
    )
    assert one.keys() == {"records", "ends", "activity", "feed", "transfers"}
    assert one == other


# --- the call ---------------------------------------------------------------------------------------------------------


async def test_scripts_the_server_forgot_are_sent_again(client: Client, queues: Queues) -> None:
    await client.redis.script_flush()
    await put(client, queues, entry(1))
    await client.redis.script_flush()
    calls = [queues.enqueuing([entry(1)]), queues.enqueuing([entry(2)]), Call(Script.read("count"), [("n", "a", 0)])]
    assert await client.batch(calls) == [[b"0"], [b"0"], [1]]
    assert taken(await step(queues, 0)) == [1]


async def test_a_chain_is_done_in_its_order(client: Client, transfers: Transfers, queues: Queues) -> None:
    await transfers.accept(acceptance("e1", version=0, sequence=1))
    plan = ("t1", "1", FixedPlan(), {"1:source": b"body"})
    done = [queues.enqueuing([entry(1, at=7)]), transfers.planning_done([("t1", "1")])]
    await client.redis.script_flush()
    for fixed, left in ((b"", 1), (b"=", 0)):
        assert await client.chain([transfers.fixing([plan], alone=True), *done]) == [[fixed], [b"7"], [left]]
    assert await transfers.body("t1", 1, Audience.SOURCE) == b"body"
    assert taken(await step(queues, 7)) == [1]


async def test_a_chain_stops_at_anothers_plan(client: Client, transfers: Transfers, queues: Queues) -> None:
    await transfers.accept(acceptance("e1", version=0, sequence=1))
    await transfers.fix_plans([("t1", "1", FixedPlan(unordered=["other"]), {"1:source": b"first"})])
    mine = transfers.fixing([("t1", "1", FixedPlan(), {"1:source": b"second"})], alone=True)
    assert await client.chain([mine, queues.enqueuing([entry(1)]), transfers.planning_done([("t1", "1")])]) is None
    assert await transfers.body("t1", 1, Audience.SOURCE) == b"first"
    assert not (await step(queues, 0)).taken
    assert [len(found) for _, found in await transfers.inboxes(["t1"], 9)] == [1]


async def test_what_follows_a_failure_in_a_chain_is_not_done(
    client: Client, transfers: Transfers, queues: Queues
) -> None:
    await transfers.accept(acceptance("e1", version=0, sequence=1))
    await client.plain.set(client.key("r:ep_1", "all"), "no sorted set")
    with pytest.raises(StoreError):
        await client.chain([queues.enqueuing([entry(1)]), transfers.planning_done([("t1", "1")])])
    assert [len(found) for _, found in await transfers.inboxes(["t1"], 9)] == [1]


async def test_who_waits_for_a_shared_call_is_told_whatever_went_wrong(queues: Queues, client: Client) -> None:
    with pytest.raises(UnicodeEncodeError):
        await step(queues, 0, token="\ud800")
    assert (await step(queues, 0)).released
