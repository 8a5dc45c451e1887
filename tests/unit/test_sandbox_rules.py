"""Does the sandbox's Partner Center refuse what the real one does, and move what it moves?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.sandbox.subscriptions import customers, hooks, requests, views
from relay.sandbox.subscriptions.customers import Bought, ConsentBody, CustomerBody, PartnerBody
from relay.sandbox.subscriptions.model import Subscriptions
from relay.sandbox.subscriptions.requests import Asker
from relay.sandbox.subscriptions.tokens import Tokens
from relay.sandbox.subscriptions.world import (
    DIRECT,
    PROVIDER,
    RESELLER,
    SOURCE,
    TARGET,
    UNSIGNED,
    Product,
    State,
    Transfer,
    World,
)
from relay.sandbox.system import Fault, Refusal, Step

NOW, MINUTE, HOUR, DAY = 1_790_000_000_000, 60_000, 3_600_000, 86_400_000
URL = "http://sandbox.example/partner-center"
MODEL = Subscriptions(URL)
PEOPLE = {
    SOURCE: "kenji@kaiyo-cloud.example", TARGET: "aoi.tanaka@fabrikam.example", DIRECT: "lee@adatum.example",
    PROVIDER: "ana@tailspin.example", RESELLER: "max@woodgrove.example", UNSIGNED: "jo@wingtip.example",
}  # fmt: skip
ASKED = {"sourcePartnerTenantId": SOURCE, "sourcePartnerName": "S", "customerEmailId": "it@relecloud.example"}


def agent(tenant: str) -> Asker:
    return Asker(tenant, PEOPLE[tenant])


def customer_of(world: World) -> str:
    return next(iter(world.customers))


def ready(tenant: str = TARGET, *, consent: bool = True, agreement: bool = True) -> World:
    """The first world, where the customer is ready to go to `tenant`."""
    world = MODEL.new("seed", NOW)
    customer = customer_of(world)
    if consent:
        world = customers.consent(world, tenant, ConsentBody(customer=customer), NOW).state
        if agreement:
            world = customers.confirm(world, agent(tenant), customer, {"type": customers.AGREEMENT}, NOW).state
    return world


def created(world: World, tenant: str = TARGET, **changes: Any) -> Step[World]:
    body = {name: one for name, one in (ASKED | changes).items() if one is not None}
    return requests.create(world, agent(tenant), customer_of(world), body, NOW, URL)


def pending(world: World | None = None, **changes: Any) -> tuple[World, Transfer]:
    world = created(world or ready(), **changes).state
    return world, next(iter(world.transfers.values()))


def bought(world: World, *products: Product, owner: str = SOURCE) -> list[dict[str, str]]:
    wanted = products or (Product.NCE,)
    return [
        {"subscriptionId": one.id, "productType": one.product.value}
        for one in world.subscriptions.values() if one.product in wanted and one.owner == owner and one.is_active
    ]  # fmt: skip


def submitted(world: World, transfer: Transfer, lines: Any, now: int = NOW, who: Asker | None = None) -> Step[World]:
    body = {"id": transfer.id, "lineItems": lines}
    return requests.change(world, who or agent(SOURCE), transfer, body, now, URL)


def at(world: World, now: int) -> tuple[World, list[str]]:
    """The world by then, and the events that were told on the way."""
    told = []
    while (due := MODEL.due(world)) is not None and due <= now:
        step = MODEL.tick(world, due)
        world = step.state
        told += [call.event for call in step.calls]
    return world, told


def refusal(do: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        do()
    body = caught.value.answer.body
    assert set(body) == {"code", "description", "data", "source"}
    return caught.value.answer.status, body["code"]


# --- creating --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "status", "code"),
    [
        (lambda: created(ready(), sourcePartnerTenantId=None), 400, "900136"),
        (lambda: created(ready(), sourcePartnerName=None), 400, "900136"),
        (lambda: created(ready(), sourcePartnerTenantId=TARGET), 400, "900148"),
        (lambda: created(ready(), sourcePartnerTenantId=TARGET.upper()), 400, "900148"),
        (lambda: created(ready(), sourcePartnerTenantId="0" * 36), 404, "60003"),
        (lambda: created(ready(), sourcePartnerTenantId=RESELLER), 403, "900137"),
        (lambda: created(ready(), sourcePartnerTenantId=UNSIGNED), 403, "900137"),
        (lambda: created(ready(RESELLER), RESELLER), 403, "900137"),
        (lambda: created(ready(UNSIGNED), UNSIGNED), 403, "900137"),
        (lambda: created(ready(consent=False)), 403, "20002"),
        (lambda: created(ready(agreement=False)), 403, "13605"),
        (lambda: created(ready(), customerEmailId=None), 400, "800002"),
        (lambda: created(ready(), customerEmailId="nobody"), 400, "800002"),
        (lambda: created(ready(), targetPartnerTenantId=DIRECT), 403, "2032"),
        (lambda: created(ready(), targetProductTypes="OnlineServicesNCE"), 400, "800002"),
        (lambda: created(ready(), targetProductTypes=["Software"]), 400, "800002"),
        (lambda: created(ready(), targetProductTypes=["AzureSubscription"]), 400, "900133"),
        (lambda: created(ready(DIRECT), DIRECT, partnerOnRecord="123"), 400, "800016"),
        (lambda: requests.create(ready(), agent(TARGET), "0" * 36, ASKED, NOW, URL), 404, "60003"),
        (lambda: requests.create(ready(), agent(TARGET), "0" * 36, [], NOW, URL), 400, "800002"),
        (lambda: requests.create(ready(), Asker(TARGET), "", ASKED, NOW, URL), 403, "2032"),
        (lambda: requests.create(ready(), Asker(TARGET, "sales@fabrikam.example"), "", ASKED, NOW, URL), 403, "2032"),
    ],
)
def test_creation_is_refused_with_the_documented_code(do: Callable[[], Any], status: int, code: str) -> None:
    assert refusal(do) == (status, code)


@pytest.mark.parametrize("source", [SOURCE, PROVIDER])
@pytest.mark.parametrize("target", [DIRECT, TARGET])
def test_direct_bill_partners_and_indirect_providers_transfer_in_each_direction(source: str, target: str) -> None:
    step = created(ready(target), target, sourcePartnerTenantId=source)
    assert step.answer.status == 201
    assert step.answer.body["status"] == "Active"


def test_the_azure_plan_is_asked_for_only_where_azure_is_named() -> None:
    assert created(ready()).answer.status == 201
    assert created(ready(), targetProductTypes=["OnlineServicesNCE"]).answer.status == 201
    world = ready()
    with_plan = customers.change(world, TARGET, PartnerBody(azure_plan_for=customer_of(world)), NOW).state
    assert created(with_plan, targetProductTypes=["AzureSubscription"]).answer.status == 201


def test_a_created_transfer_has_no_items_and_thirty_days() -> None:
    _, transfer = pending(targetProductTypes=["OnlineServicesNCE"], targetPartnerEmailId="a tag of ours")
    for tenant in (SOURCE, TARGET):
        seen = views.entity(transfer, tenant)
        assert seen["lineItems"] == []
        assert seen["targetProductTypes"] == ["OnlineServicesNCE"]
        assert seen["targetPartnerEmailId"] == "a tag of ours"
    assert transfer.expires_ms - transfer.created_ms == 30 * DAY


# --- accepting and canceling -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        (lambda world: [], 400, "800002"),
        (lambda world: "all", 400, "800002"),
        (lambda world: ["one"], 400, "800002"),
        (lambda world: bought(world) * 2, 400, "800002"),
        (lambda world: [{"subscriptionId": f"s{n}", "productType": "x"} for n in range(26)], 400, "800002"),
        (lambda world: [{"subscriptionId": "unknown", "productType": "OnlineServicesNCE"}], 400, "800078"),
        (lambda world: bought(world, owner=""), 400, "800078"),
        (lambda world: bought(world, Product.SOFTWARE), 400, "800078"),
        (lambda world: bought(world, Product.SAAS), 400, "900146"),
        (lambda world: bought(world, Product.AZURE), 400, "800002"),
        (lambda world: [{**bought(world)[0], "productType": "AzureSubscription"}], 400, "800002"),
        (lambda world: [{"subscriptionId": bought(world)[0]["subscriptionId"]}], 400, "800002"),
    ],
)
def test_acceptance_is_refused_with_the_documented_code(lines: Any, status: int, code: str) -> None:
    world, transfer = pending(targetProductTypes=["OnlineServicesNCE"])
    assert refusal(lambda: submitted(world, transfer, lines(world))) == (status, code)


def test_anything_that_can_be_transferred_may_come_where_no_type_is_named() -> None:
    world, transfer = pending()
    lines = bought(world, Product.NCE, Product.AZURE, Product.RESERVATION, Product.SAVINGS_PLAN)
    assert submitted(world, transfer, lines).answer.body["status"] == "InProgress"


@pytest.mark.parametrize("quantity", [-5, 0, customers.MOST_OF_ONE + 1, 2**64])
def test_nobody_buys_none_of_something_or_more_than_there_is(quantity: int) -> None:
    body = CustomerBody(name="C", email="c@c.example", owner=SOURCE, bought=(Bought(name="p", quantity=quantity),))
    assert refusal(lambda: customers.add(ready(), body, NOW))[0] == 400


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "7", '{"Field":"x","Value":1}'])
def test_a_filter_that_is_none_is_refused(text: str) -> None:
    assert refusal(lambda: hooks.records(ready(), TARGET, "", "", NOW, text))[0] == 400


@pytest.mark.parametrize("said", ["", "Bearer", "Basic x", "Bearer x", "Bearer x.y", "Bearer \udcff.x", "Bearer x.\udcff"])
def test_who_has_no_token_of_the_sandboxs_is_nobody(said: str) -> None:
    tokens = Tokens(b"s" * 32)
    assert refusal(lambda: tokens.asker(ready(), said, NOW))[0] == 401


def test_twenty_five_items_are_not_too_many() -> None:
    world = ready()
    step = customers.add(
        world, CustomerBody(name="C", email="c@c.example", owner=SOURCE, bought=(Bought(name="p"),) * 26), NOW
    )
    customer = step.answer.body["customerTenantId"]
    world = customers.consent(step.state, TARGET, ConsentBody(customer=customer), NOW).state
    world = customers.confirm(world, agent(TARGET), customer, {"type": customers.AGREEMENT}, NOW).state
    world = requests.create(world, agent(TARGET), customer, ASKED, NOW, URL).state
    (transfer,) = world.transfers.values()
    lines = [{"subscriptionId": one["id"], "productType": one["productType"]} for one in step.answer.body["subscriptions"]]
    assert refusal(lambda: submitted(world, transfer, lines)) == (400, "800002")
    assert len(submitted(world, transfer, lines[:25]).answer.body["lineItems"]) == 25


def test_only_the_source_accepts_and_only_the_target_cancels_and_only_an_admin_agent() -> None:
    world, transfer = pending()
    lines, cancel = bought(world), {"status": "Cancel"}
    assert refusal(lambda: submitted(world, transfer, lines, who=agent(TARGET))) == (403, "2032")
    assert refusal(lambda: submitted(world, transfer, lines, who=Asker(SOURCE))) == (403, "2032")
    sales = Asker(SOURCE, "eigyo@kaiyo-cloud.example")
    assert refusal(lambda: submitted(world, transfer, lines, who=sales)) == (403, "2032")
    assert refusal(lambda: requests.change(world, agent(SOURCE), transfer, cancel, NOW, URL)) == (403, "2032")
    assert refusal(lambda: requests.seen(world, agent(DIRECT), transfer.customer, transfer.id)) == (404, "900100")
    assert refusal(lambda: requests.change(world, agent(SOURCE), transfer, {}, NOW, URL)) == (400, "800002")


def test_a_transfer_is_canceled_while_it_is_pending_and_told_to_nobody() -> None:
    world, transfer = pending(registered())
    step = requests.change(world, agent(TARGET), transfer, {"id": transfer.id, "status": "Cancel"}, NOW, URL)
    after = step.state.transfers[transfer.id]
    assert (after.status, step.calls, step.answer.body["status"]) == (State.CANCEL, (), "Cancel")
    assert step.state.audits == world.audits
    assert refusal(lambda: submitted(step.state, after, bought(world))) == (400, "900102")
    running = submitted(world, transfer, bought(world)).state
    moving = running.transfers[transfer.id]
    cancel = {"status": "Cancel"}
    assert refusal(lambda: requests.change(running, agent(TARGET), moving, cancel, NOW, URL)) == (409, "900101")


def test_a_subscription_that_is_on_its_way_cannot_be_submitted_again() -> None:
    world, first = pending()
    world = submitted(world, first, bought(world)).state
    world = created(world).state
    second = list(world.transfers.values())[-1]
    assert refusal(lambda: submitted(world, second, bought(world))) == (409, "900101")
    world, _ = at(world, NOW + HOUR)
    lines = [{"subscriptionId": one.subscription, "productType": one.product.value} for one in world.transfers[first.id].lines]
    assert refusal(lambda: submitted(world, second, lines)) == (400, "800078")


# --- what happens by itself ------------------------------------------------------------------------------


def registered() -> World:
    world = ready()
    for tenant in (SOURCE, TARGET):
        body = {"WebhookUrl": "https://relay.example/hook", "WebhookEvents": list(hooks.KNOWN)}
        world = hooks.write(world, tenant, body, NOW, replace=False).state
    return world


def running(*faults: Fault) -> tuple[World, Transfer]:
    world, transfer = pending(registered())
    for fault in faults:
        world = MODEL.fault(world, fault, NOW).state
    return submitted(world, transfer, bought(world)).state, transfer


def test_it_usually_takes_fifteen_minutes_and_the_target_gets_new_ids() -> None:
    world, transfer = running()
    assert at(world, NOW + MINUTE)[0].transfers[transfer.id].status is State.IN_PROGRESS
    world, told = at(world, NOW + 15 * MINUTE)
    done = world.transfers[transfer.id]
    assert done.status is State.COMPLETE
    assert told == ["complete-transfer"] * 2
    source, target = (views.entity(done, tenant)["lineItems"] for tenant in (SOURCE, TARGET))
    old, new = ({line["subscriptionId"].lower() for line in lines} for lines in (source, target))
    assert len(new) == len(old) == 3
    assert not new & old
    assert all(world.subscriptions[id_].owner == TARGET for id_ in new)
    assert not any(world.subscriptions[id_].is_active for id_ in old)


def test_the_target_sees_an_item_only_when_it_is_complete() -> None:
    world, transfer = running(Fault(kind="fail_item", item=2))
    moments = sorted(line.try_ms for line in world.transfers[transfer.id].lines)
    for count, moment in enumerate(moments):
        seen = views.entity(at(world, moment - 1)[0].transfers[transfer.id], TARGET)["lineItems"]
        assert len(seen) <= count
        assert all(line["status"] == "Complete" for line in seen)
    after = at(world, NOW + HOUR)[0].transfers[transfer.id]
    assert {line["id"] for line in views.entity(after, TARGET)["lineItems"]} == {0, 2}


def test_a_failed_item_makes_it_partial_untold_and_can_be_tried_again() -> None:
    world, transfer = running(Fault(kind="fail_item", item=2))
    world, told = at(world, NOW + HOUR)
    partial = world.transfers[transfer.id]
    assert (partial.status, told) == (State.PARTIALLY_COMPLETE, [])
    (failed,) = [line for line in views.entity(partial, SOURCE)["lineItems"] if line["status"] == "Failed"]
    assert failed["id"] == 1
    assert "transferError" in failed
    complete = [{"subscriptionId": partial.lines[0].subscription, "productType": "OnlineServicesNCE"}]
    assert refusal(lambda: submitted(world, partial, complete)) == (400, "800078")
    again = submitted(world, partial, [], NOW + HOUR)
    assert [call.event for call in again.calls] == ["update-transfer"] * 2
    world, told = at(again.state, NOW + 2 * HOUR)
    assert (world.transfers[transfer.id].status, told) == (State.COMPLETE, ["complete-transfer"] * 2)


def test_a_transfer_of_which_nothing_moves_has_failed() -> None:
    world, transfer = running(*(Fault(kind="fail_item", item=number) for number in (1, 2, 3)))
    world, told = at(world, NOW + HOUR)
    assert (world.transfers[transfer.id].status, told) == (State.FAILED, ["fail-transfer"] * 2)
    assert refusal(lambda: submitted(world, world.transfers[transfer.id], [])) == (400, "900102")


@pytest.mark.parametrize(
    ("seconds", "then", "hours", "outcome"),
    [(0, "", 72, State.COMPLETE), (0, "fail", 72, State.FAILED), (7200, "", 2, State.COMPLETE), (999_999, "", 72, State.FAILED)],
)
def test_what_is_held_up_is_tried_for_72_hours(seconds: int, then: str, hours: int, outcome: State) -> None:
    world, transfer = running(Fault(kind="stall", seconds=seconds, then=then))
    assert at(world, NOW + hours * HOUR - 1)[0].transfers[transfer.id].status is State.IN_PROGRESS
    assert at(world, NOW + hours * HOUR)[0].transfers[transfer.id].status is outcome


def test_what_nobody_accepts_expires_after_thirty_days() -> None:
    world, transfer = pending(registered())
    assert at(world, NOW + 30 * DAY - 1)[0].transfers[transfer.id].status is State.ACTIVE
    world, told = at(world, NOW + 30 * DAY)
    expired = world.transfers[transfer.id]
    assert (expired.status, told) == (State.EXPIRED, ["expire-transfer"] * 2)
    assert refusal(lambda: submitted(world, expired, bought(world))) == (400, "900102")


# --- what is told ----------------------------------------------------------------------------------------


def test_callbacks_are_thin_and_audits_are_the_targets_at_creation_and_the_sources_at_acceptance() -> None:
    step = created(registered())
    body = msgspec.json.decode(step.calls[0].body)
    (transfer,) = step.state.transfers.values()
    assert set(body) == {"EventName", "ResourceUri", "ResourceName", "AuditUri", "ResourceChangeUtcDate"}
    assert body["EventName"] == "create-transfer"
    assert transfer.id not in body["ResourceUri"]
    assert body["AuditUri"].rpartition("/")[2].split("_")[:4] == [TARGET, transfer.customer, transfer.id, "createtransfer"]
    world = submitted(step.state, transfer, bought(step.state)).state
    world, _ = at(world, NOW + HOUR)
    kept = {tenant: [one.operation for one in world.audits if one.partner == tenant] for tenant in (TARGET, SOURCE)}
    assert kept == {TARGET: ["create_transfer", "complete_transfer"], SOURCE: ["update_transfer", "complete_transfer"]}
    record = hooks.record(world, TARGET, step.calls[0].id).answer.body
    assert msgspec.json.decode(record["resourceNewValue"])["Id"] == transfer.id
    assert hooks.record(world, SOURCE, step.calls[0].id).answer.body is None


def test_a_tenant_has_one_registration_and_two_validation_events_a_minute() -> None:
    world = registered()
    body = {"WebhookUrl": "https://other.example/", "WebhookEvents": ["create-transfer", "test-created"]}
    with pytest.raises(Refusal) as caught:
        hooks.write(world, TARGET, body, NOW, replace=False)
    assert caught.value.answer.status == 409
    world = hooks.write(world, TARGET, body, NOW, replace=True).state
    assert hooks.read(world, TARGET, NOW).answer.body["WebhookEvents"] == ["create-transfer", "test-created"]
    assert [call.to for call in created(world).calls] == ["fabrikam", "kaiyo-cloud"]
    for _ in range(2):
        step = hooks.validate(world, TARGET, NOW, URL)
        world = step.state
    with pytest.raises(Refusal) as caught:
        hooks.validate(world, TARGET, NOW + 30_000, URL)
    assert caught.value.answer.status == 429
    assert hooks.validate(world, TARGET, NOW + 61_000, URL).answer.status == 200
    refused = {"WebhookUrl": "https://other.example/", "WebhookEvents": ["made-up"]}
    assert refusal(lambda: hooks.write(world, TARGET, refused, NOW, replace=True)) == (400, "800002")


def test_the_world_is_read_back_as_it_was_written() -> None:
    world, _ = running(Fault(kind="fail_item", item=2))
    world, _ = at(world, NOW + HOUR)
    assert MODEL.load(MODEL.dump(world)) == world


# --- whatever is sent ------------------------------------------------------------------------------------

_WORDS = st.sampled_from([
    *ASKED, "status", "lineItems", "id", "targetProductTypes", "Cancel", SOURCE, TARGET, "OnlineServicesNCE", "subscriptionId",
    "productType", "WebhookUrl", "WebhookEvents", "https://x.example/", "create-transfer", "type", "partnerOnRecord",
])  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(max_size=4), inner, max_size=6),
    max_leaves=20,
)
_WORLD, _PENDING = pending()


@given(_JSON)
def test_whatever_is_sent_is_done_or_refused_and_the_world_can_be_kept(body: Any) -> None:
    customer = customer_of(_WORLD)
    asks: list[Callable[[], Step[World]]] = [
        lambda: requests.create(_WORLD, agent(TARGET), customer, body, NOW, URL),
        lambda: requests.create(_WORLD, agent(TARGET), customer, ASKED | (body if isinstance(body, dict) else {}), NOW, URL),
        lambda: requests.change(_WORLD, agent(SOURCE), _PENDING, body, NOW, URL),
        lambda: submitted(_WORLD, _PENDING, body),
        lambda: hooks.write(_WORLD, TARGET, body, NOW, replace=False),
        lambda: customers.confirm(_WORLD, agent(TARGET), customer, body, NOW),
        lambda: hooks.records(_WORLD, TARGET, str(body), str(body), NOW),
        lambda: hooks.records(_WORLD, TARGET, "", "", NOW, msgspec.json.encode(body).decode()),
    ]
    for ask in asks:
        try:
            step = ask()
        except Refusal as refused:
            assert 400 <= refused.answer.status < 500
            continue
        assert MODEL.load(MODEL.dump(step.state)) == step.state


_STEPS = st.lists(
    st.sampled_from(["create", "submit", "cancel", "fail_item", "stall", "forget_tokens", "minute", "hour", "day", "month"]),
    max_size=14,
)


@given(_STEPS)
def test_however_it_goes_nothing_is_anybodys_twice_and_what_is_over_stays_over(steps: list[str]) -> None:
    world, now = registered(), NOW
    lasts = {"minute": MINUTE, "hour": HOUR, "day": DAY, "month": 30 * DAY}
    total = sum(one.is_active for one in world.subscriptions.values())
    over: dict[str, State] = {}
    for step in steps:
        newest = next(reversed(world.transfers.values()), None)
        try:
            if step in lasts:
                now += lasts[step]
                world, _ = at(world, now)
            elif step == "create":
                world = requests.create(world, agent(TARGET), customer_of(world), ASKED, now, URL).state
            elif step == "submit" and newest is not None:
                world = submitted(world, newest, bought(world) if newest.status is State.ACTIVE else [], now).state
            elif step == "cancel" and newest is not None:
                world = requests.change(world, agent(TARGET), newest, {"status": "Cancel"}, now, URL).state
            elif step in MODEL.faults:
                world = MODEL.fault(world, Fault(kind=step, item=1), now).state
        except Refusal:
            pass
        assert sum(one.is_active for one in world.subscriptions.values()) == total
        due = MODEL.due(world)
        assert due is None or due > now
        for id_, status in over.items():
            assert world.transfers[id_].status is status
        final = (State.COMPLETE, State.FAILED, State.EXPIRED, State.CANCEL)
        over = {one.id: one.status for one in world.transfers.values() if one.status in final}
