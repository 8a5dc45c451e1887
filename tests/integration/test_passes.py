"""What is one call on one server as good as several?

A pass begins in the call that finds who has something due, has with each delivery what it carries, and gives its hint
back in the step that ends it. Times are numbers of the tests' own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from relay.breaker import Breaker, BreakerState
from relay.model import Audience, Channel, Delivery, DeliveryStatus, Endpoint, Partner, Recipient
from relay.store.client import Client
from relay.store.hints import Claim, Hint, Hints
from relay.store.passes import Advanced, Mark, Opening, Result, Taken
from relay.store.queues import Entry, Queues
from relay.store.registry import Registry
from relay.store.stored import FixedPlan, dump
from relay.store.transfers import Transfers

LEASE = 1_000
UNTIL = 1_001.5


@pytest.fixture
def queues(client: Client) -> Queues:
    return Queues(client)


@pytest.fixture
def hints(client: Client) -> Hints:
    return Hints(client)


def made(n: int, *, to: str = "ep_1", transfer: str, partner: str | None = "p", at: int = 0) -> Delivery:
    return Delivery(
        id=f"dlv_{to}_{n}",
        event_id=f"e{n}",
        type="transfer.created",
        transfer=transfer,
        transfer_key=transfer,
        sequence=n,
        created_at_ms=at,
        recipient=Recipient(id=to, channel=Channel.WEBHOOK, audience=Audience.SOURCE, partner=partner),
    )


async def put(
    client: Client, queues: Queues, n: int, *, to: str = "ep_1", transfer: str = "", partner: str | None = "p", at: int = 0
) -> None:
    one = made(n, to=to, transfer=transfer or f"t{n}", partner=partner, at=at)
    await client.batch([queues.enqueuing([Entry(to, one.id, dump(one), one.transfer_key, n, at)])])


async def begin(queues: Queues, now: int = 1, *, want: int = 10, until: float = UNTIL) -> dict[str, tuple[Claim, Advanced]]:
    _, begun = await queues.begin(
        Channel.WEBHOOK, token=f"w-{now}", now_ms=now, until=until, most=64, lease_ms=LEASE, want=want
    )
    return {claim.member: (claim, step) for claim, step in begun}


async def end(queues: Queues, claim: Claim, step: Advanced, *, now: int = 2, token: str = "w-1") -> Advanced:
    results = [Result(one, Mark.DELIVERED) for one in step.taken]
    return await queues.advance(
        claim.member, token=token, now_ms=now, lease_ms=LEASE, want=0, in_flight=0, results=results, claim=claim
    )


async def due(hints: Hints, now: int) -> set[str]:
    claims = await hints.take(Hint.WEBHOOK, now_ms=now, until=now + 0.25, most=64)
    return {claim.member for claim in claims}


async def test_a_pass_begins_over_everybody_who_has_something_due(client: Client, queues: Queues, hints: Hints) -> None:
    for n in (1, 2, 3):
        await put(client, queues, n, to=f"ep_{n}", at=n)
    begun = await begin(queues, 2)
    assert {to: [one.delivery.id for one in step.taken] for to, (_, step) in begun.items()} == {
        "ep_1": ["dlv_ep_1_1"], "ep_2": ["dlv_ep_2_2"]
    }  # fmt: skip
    assert await due(hints, 2) == set()
    assert await due(hints, 3) == {"ep_3"}


async def test_a_delivery_comes_with_its_body_and_the_version_of_its_partners_registrations(
    client: Client, queues: Queues
) -> None:
    registry, transfers = Registry(client), Transfers(client)
    await put(client, queues, 1)
    await put(client, queues, 2)
    await transfers.fix_plans([("t1", "1", FixedPlan(), {"1:source": b"shown", "1:target": b"not to it"})])
    (_, step), = (await begin(queues, 1)).values()
    assert [one.body for one in step.taken] == [b"shown", b""]  # the second is no longer kept
    assert step.version == 0

    await registry.put_partner(Partner(id="p", name="P", created_at_ms=1, updated_at_ms=1))
    await registry.create_endpoint(Endpoint(id="ep_2", partner="p", url="https://x.example", created_at_ms=1, updated_at_ms=1))
    await put(client, queues, 3, to="ep_2")
    (_, step), = (await begin(queues, 2)).values()
    (changed,) = (await registry.registrations([("p", 0)])).values()
    assert step.version == changed.version > 0


@pytest.mark.parametrize("transfer", ['t"1', "t\\1", 't","audience":"target'])
async def test_what_the_script_cannot_read_is_not_told_and_never_anothers(
    client: Client, queues: Queues, transfer: str
) -> None:
    await put(client, queues, 1, transfer=transfer)
    await Transfers(client).fix_plans([(transfer, "1", FixedPlan(), {"1:source": b"shown", "1:target": b"not to it"})])
    (_, step), = (await begin(queues)).values()
    assert [one.body for one in step.taken] == [None]
    ((body, _),) = await Transfers(client).asked_bodies([(transfer, 1, Audience.SOURCE)])
    assert body == b"shown"


async def test_many_large_bodies_are_not_told_at_once(client: Client, queues: Queues) -> None:
    large, transfers = b"x" * (1 << 20), Transfers(client)
    for n in range(1, 9):
        await put(client, queues, n)
        await transfers.fix_plans([(f"t{n}", str(n), FixedPlan(), {f"{n}:source": large})])
    (_, step), = (await begin(queues)).values()
    told = [one.body for one in step.taken]
    assert told[:4] == [large] * 4
    assert told[4:] == [None] * 4


async def test_the_step_that_ends_a_pass_gives_its_hint_back(client: Client, queues: Queues, hints: Hints) -> None:
    await put(client, queues, 1)
    ((claim, step),) = (await begin(queues)).values()
    assert (await end(queues, claim, step)).released
    assert await hints.count(Hint.WEBHOOK) == 0


async def test_a_pass_that_ends_leaves_the_hint_of_what_waits_for_later(
    client: Client, queues: Queues, hints: Hints
) -> None:
    await put(client, queues, 1)
    await put(client, queues, 2, at=500)
    ((claim, step),) = (await begin(queues)).values()
    assert (await end(queues, claim, step)).next_due_ms == 500
    assert await due(hints, 499) == set()
    assert await due(hints, 500) == {"ep_1"}


async def test_what_came_during_a_pass_is_found_by_it_or_has_its_hint(
    client: Client, queues: Queues, hints: Hints
) -> None:
    await put(client, queues, 1)
    ((claim, step),) = (await begin(queues)).values()
    await put(client, queues, 2, at=1)
    assert await due(hints, 3) == set()  # who has the queue finds it
    assert (await end(queues, claim, step)).next_due_ms == 1
    assert await due(hints, 3) == {"ep_1"}


async def test_what_was_made_due_during_a_pass_stays_so(client: Client, queues: Queues, hints: Hints) -> None:
    await put(client, queues, 1)
    ((claim, step),) = (await begin(queues)).values()
    await hints.make_due(Hint.WEBHOOK, [("ep_1", 2)])
    assert (await end(queues, claim, step)).next_due_ms is None
    assert await due(hints, 3) == {"ep_1"}


async def test_what_comes_while_a_dead_worker_has_the_queue_goes_when_its_lease_is_over(
    client: Client, queues: Queues
) -> None:
    await put(client, queues, 1)
    assert await begin(queues)
    await put(client, queues, 2, at=5)
    assert await begin(queues, 900, until=9_999.5) == {}
    ((_, step),) = (await begin(queues, 1_002, until=9_999.5)).values()
    assert [one.delivery.id for one in step.taken] == ["dlv_ep_1_1", "dlv_ep_1_2"]


async def test_another_workers_pass_is_left_to_it(client: Client, queues: Queues, hints: Hints) -> None:
    await put(client, queues, 1)
    await begin(queues)
    await hints.make_due(Hint.WEBHOOK, [("ep_1", 2)])
    ((_, step),) = (await begin(queues, 3)).values()
    assert (step.taken, step.lease_until_ms) == ([], 1 + LEASE)


async def test_who_is_held_is_given_back_in_the_step_that_finds_it(client: Client, queues: Queues, hints: Hints) -> None:
    await put(client, queues, 1)
    await queues.hold("ep_1", held=True, now_ms=0)
    assert await begin(queues) == {}
    assert await hints.count(Hint.WEBHOOK) == 0


async def test_a_chain_stops_where_registrations_are_others_by_now(client: Client, queues: Queues) -> None:
    registry, transfers = Registry(client), Transfers(client)
    await registry.put_partner(Partner(id="a", name="A", created_at_ms=1, updated_at_ms=1))
    (known,) = (await registry.registrations([("a", -1)])).values()
    fixing = transfers.fixing([("t1", "1", FixedPlan(), {"1:source": b"body"})], alone=True)
    assert await client.chain([registry.unchanged([("b", 0), ("a", known.version + 1)]), fixing]) is None
    assert await transfers.body("t1", 1, Audience.SOURCE) is None
    assert await client.chain([registry.unchanged([("b", 0), ("a", known.version)]), fixing]) == [[1], [b""]]


# --- a pass that begins in the step that plans ----------------------------------------------------------

OPENING = Opening("w-plan", UNTIL, 2)


def entry(n: int, *, transfer: str = "", rate: int | None = None, at_hand: bool = True) -> Entry:
    one = made(n, transfer=transfer or f"t{n}")
    taken = Taken(one, 0, 0, None, False, one.transfer_key, b"shown") if at_hand else None
    return Entry("ep_1", one.id, dump(one), one.transfer_key, n, 0, rate, taken)


async def enter(client: Client, queues: Queues, *entries: Entry, by: Opening = OPENING) -> bytes | list[bytes]:
    ((reply,),) = await client.batch([queues.enqueuing(entries, by)])
    answer: bytes | list[bytes] = reply
    return answer


async def record(queues: Queues, *taken: Taken | None, now: int = 2, want: int = 0) -> Advanced:
    results = [Result(one, Mark.DELIVERED) for one in taken if one is not None]
    return await queues.advance(
        "ep_1", token=OPENING.token, now_ms=now, lease_ms=LEASE, want=want, in_flight=0, results=results,
        claim=Claim("ep_1", UNTIL),
    )  # fmt: skip


async def test_a_pass_begins_in_the_step_that_puts_its_delivery_in_the_queue(
    client: Client, queues: Queues, hints: Hints
) -> None:
    one = entry(1)
    assert await enter(client, queues, one) == [b"dlv_ep_1_1"]
    assert await due(hints, 3) == set()
    assert (await begin(queues, 3)) == {}
    step = await record(queues, one.taken)
    assert (step.released, step.next_due_ms) == (True, None)
    assert await hints.count(Hint.WEBHOOK) == 0
    (kept,) = await queues.deliveries(["dlv_ep_1_1"])
    assert kept.status is DeliveryStatus.DELIVERED


async def test_it_takes_as_much_as_it_wants_and_the_rest_is_due(client: Client, queues: Queues) -> None:
    entries = [entry(n) for n in range(1, 4)]
    assert await enter(client, queues, *entries) == [b"dlv_ep_1_1", b"dlv_ep_1_2"]
    step = await record(queues, entries[0].taken, entries[1].taken, want=9)
    assert [one.delivery.id for one in step.taken] == ["dlv_ep_1_3"]


async def test_it_takes_the_first_of_each_transfer_and_the_next_follows(client: Client, queues: Queues) -> None:
    entries = [entry(1, transfer="t"), entry(2, transfer="t")]
    assert await enter(client, queues, *entries) == [b"dlv_ep_1_1"]
    step = await record(queues, entries[0].taken, want=9)
    assert [one.delivery.id for one in step.taken] == ["dlv_ep_1_2"]


async def test_asked_again_it_is_the_same_pass_and_another_is_none(client: Client, queues: Queues) -> None:
    one = entry(1)
    assert await enter(client, queues, one) == [b"dlv_ep_1_1"]
    assert await enter(client, queues, one) == [b"dlv_ep_1_1"]
    assert await enter(client, queues, one, by=Opening("w-other", UNTIL, 2)) == b""
    assert (await record(queues, one.taken)).released


async def test_what_a_dead_worker_had_begun_so_goes_when_its_lease_is_over(client: Client, queues: Queues) -> None:
    await enter(client, queues, entry(1))
    assert await begin(queues, 900, until=9_999.5) == {}
    ((_, step),) = (await begin(queues, 1_002, until=9_999.5)).values()
    assert [(one.delivery.id, one.attempts) for one in step.taken] == [("dlv_ep_1_1", 0)]


async def waits(client: Client, queues: Queues) -> None:
    await put(client, queues, 9)


async def waits_to_be_tried_again(client: Client, queues: Queues) -> None:
    await put(client, queues, 9)
    ((claim, step),) = (await begin(queues)).values()
    results = [Result(one, Mark.AGAIN, 500, attempt=b"{}") for one in step.taken]
    await queues.advance(
        "ep_1", token="w-1", now_ms=2, lease_ms=LEASE, want=0, in_flight=0, results=results, claim=claim
    )


async def is_anothers(client: Client, queues: Queues) -> None:
    await put(client, queues, 9)
    await begin(queues)


async def is_held(client: Client, queues: Queues) -> None:
    await queues.hold("ep_1", held=True, now_ms=0)


async def is_behind_a_breaker(client: Client, queues: Queues) -> None:
    breaker = Breaker(state=BreakerState.OPEN, probe_at_ms=10)
    await queues.advance("ep_1", token="w-1", now_ms=1, lease_ms=LEASE, want=0, in_flight=0, breaker=breaker)


async def is_told_of(client: Client, queues: Queues) -> None:
    await queues.begin_incident("ep_1", 1)


@pytest.mark.parametrize(
    "queue", [waits, waits_to_be_tried_again, is_anothers, is_held, is_behind_a_breaker, is_told_of]
)
async def test_no_pass_begins_where_there_is_more_to_know_of_the_queue(
    client: Client, queues: Queues, queue: Callable[[Client, Queues], Awaitable[None]]
) -> None:
    await queue(client, queues)
    assert isinstance(await enter(client, queues, entry(1)), bytes)
    assert (await queues.counts("ep_1"))["due"] >= 1


@pytest.mark.parametrize("one", [entry(1, rate=60), entry(1, at_hand=False)], ids=["limited", "not at hand"])
async def test_no_pass_begins_with_what_may_not_go_at_once(client: Client, queues: Queues, one: Entry) -> None:
    assert await enter(client, queues, one) == b"0"
    ((_, step),) = (await begin(queues)).values()
    assert [taken.delivery.id for taken in step.taken] == ["dlv_ep_1_1"]
