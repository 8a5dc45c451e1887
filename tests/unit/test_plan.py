"""Who is told what: the table of the contract, and every reason for which somebody is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from relay.closed import SuppressionReason, SuppressionSource
from relay.config import NotifyRow, load
from relay.model import (
    AdminAgent,
    Audience,
    CancelReason,
    Channel,
    Endpoint,
    EndpointFilter,
    EventType,
    Kind,
    Partner,
    ProductType,
    SkipReason,
    When,
)
from relay.people import delivery_id, mailbox_id
from relay.plan import Plan, Registered, Step, plan, still_wanted, unwanted
from relay.preferences import Preferences
from relay.readers import Reader, Suppression
from tests.events import event, least, whole

NOTIFY = load(None, {}).notify
ST = ("source", "target")

# Contract, section 3: e-mail, webhook, activity, audit.
TABLE: dict[tuple[str, str], tuple[tuple[str, ...], ...]] = {
    ("subscription", "created"): (("source", "customer"), ST, ST, ("target",)),
    ("subscription", "updated"): ((), ST, ST, ("source",)),
    ("subscription", "completed"): (("source", "target", "customer"), ST, ST, ()),
    ("subscription", "failed"): ((), ST, ST, ()),
    ("subscription", "expired"): ((), ST, ST, ()),
    ("subscription", "partially_completed"): ((), ST, ST, ()),
    ("subscription", "canceled"): ((), ST, ST, ()),
    ("sim", "created"): (("target",), ST, ST, ()),
    ("sim", "updated"): ((), ST, ST, ()),
    ("sim", "completed"): ((), ST, ST, ()),
    ("sim", "canceled"): ((), ST, ST, ()),
    ("sim", "failed"): ((), ST, ST, ()),
    ("sim", "partially_completed"): ((), ST, ST, ()),
}
EVERYTHING = NotifyRow(
    email=(Audience.SOURCE, Audience.TARGET, Audience.CUSTOMER, Audience.RESELLER),
    webhook=(Audience.SOURCE, Audience.TARGET, Audience.RESELLER),
    activity=(Audience.SOURCE, Audience.TARGET, Audience.RESELLER),
)


def _endpoint(of: str, **more: Any) -> Endpoint:
    made = {"id": f"ep_{of}", "partner": of, "url": "https://x.example/", "created_at_ms": 1, "updated_at_ms": 1}
    return Endpoint.model_validate(made | more)


def _registered(key: str, *agents: str, endpoints: tuple[Endpoint, ...] | None = None) -> Registered:
    partner = Partner(
        id=key,
        name=key.title(),
        locale="ja",
        admin_agents=tuple(AdminAgent(email=email, name="Agent") for email in agents),
        created_at_ms=1,
        updated_at_ms=1,
    )
    found = (_endpoint(key),) if endpoints is None else endpoints
    return Registered(partner, {endpoint.id: endpoint for endpoint in found})


BOTH = {
    "contoso": _registered("contoso", "c1@contoso.example", "c2@contoso.example"),
    "fabrikam": _registered("fabrikam", "f1@fabrikam.example"),
}


def chosen(registered: Registered, email: str, **types: str) -> Registered:
    """The same, after somebody chose when they want to be told of these types."""
    said = Preferences(types={f"transfer.{name}": When(at) for name, at in types.items()})
    return replace(registered, preferences={**registered.preferences, email: said})


CONTACTS = {
    "id": "relecloud",
    "name": "Relecloud",
    "contacts": [{"email": "it@relecloud.example", "name": "Mori", "locale": "fr"}],
}


def _plan(
    value: dict[str, Any],
    registered: dict[str, Registered] | None = None,
    *,
    row: NotifyRow | None = None,
    only: Audience | None = None,
    derived_email: bool = False,
    **marks: bool,
) -> Plan:
    posted = event(value)
    return plan(
        Step(posted, 3, 99, **marks),
        row=row or NOTIFY.row(posted.transfer.kind, posted.type),
        registered=BOTH if registered is None else registered,
        default_locale="en",
        derived_email=derived_email,
        only=only,
    )


def _skipped(made: Plan) -> set[tuple[str, str, str]]:
    return {(skip.audience.value, skip.channel.value, skip.reason.value) for skip in made.skips}


def _told(made: Plan) -> set[tuple[str, str]]:
    return {(d.recipient.audience.value, d.recipient.channel.value) for d in made.deliveries}


def _mails(made: Plan) -> list[tuple[str | None, bool]]:
    return [(d.recipient.email, d.recipient.with_link) for d in made.deliveries if d.recipient.email]


# --- the table ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), TABLE)
def test_the_defaults_tell_exactly_those_of_the_contract(kind: str, name: str) -> None:
    email, webhook, activity, audit = TABLE[kind, name]
    more = {"customer": CONTACTS} if kind == "subscription" else {}
    made = _plan(least(kind, f"transfer.{name}", **more))
    assert _told(made) == {(a, "email") for a in email} | {(a, "webhook") for a in webhook}
    assert tuple(told.audience.value for told in made.activity) == activity
    assert tuple(told.audience.value for told in made.activity if told.audit) == audit
    told = _told(made) | {(a, "activity") for a in activity}
    possible = {(a, c) for a in ST for c in ("webhook", "email", "activity")} | {("customer", "email")}
    assert _skipped(made) == {(a, c, "policy") for a, c in possible - told}


def test_the_table_has_every_row_that_can_happen() -> None:
    rows = {(kind.value, t.value.removeprefix("transfer.")) for kind in Kind for t in EventType}
    stalls = {("subscription", "stalled"), ("sim", "stalled")}
    assert rows - stalls - {("sim", "expired")} == set(TABLE)


def test_each_audience_is_shown_its_own_view_with_the_marks_of_the_step() -> None:
    made = _plan(least("subscription", "transfer.completed", customer=CONTACTS), gap=True)
    assert set(made.bodies) == {Audience.SOURCE, Audience.TARGET, Audience.CUSTOMER}
    for audience, body in made.bodies.items():
        data = orjson.loads(body)["data"]
        assert (data["role"], data["sequence"], data["gap"]) == (audience.value, 3, True)


def test_ids_are_a_function_of_event_and_recipient() -> None:
    one, again = (_plan(least(customer=CONTACTS)), _plan(least(customer=CONTACTS), repeat=False))
    assert [d.id for d in one.deliveries] == [d.id for d in again.deliveries]
    assert len({d.id for d in one.deliveries}) == len(one.deliveries)
    other = _plan(least(id="evt-2", customer=CONTACTS))
    assert not {d.id for d in one.deliveries} & {d.id for d in other.deliveries}
    for delivery in one.deliveries:
        assert delivery.id == delivery_id(delivery.recipient.id, "evt-1")


def test_a_mailbox_is_one_queue_however_its_address_is_written() -> None:
    assert mailbox_id(Audience.SOURCE, "contoso", "A@x.example") == mailbox_id(
        Audience.SOURCE, "contoso", "a@X.example"
    )
    assert mailbox_id(Audience.SOURCE, "contoso", "a@x.example") != mailbox_id(
        Audience.TARGET, "contoso", "a@x.example"
    )


def test_parties_are_found_without_regard_to_case() -> None:
    made = _plan(least(source={"id": "CONTOSO", "name": "Contoso"}))
    assert ("source", "webhook") in _told(made)


def test_the_language_is_the_persons_then_the_partners_then_the_default() -> None:
    contacts = {**CONTACTS, "contacts": [*CONTACTS["contacts"], {"email": "b@relecloud.example"}]}
    made = _plan(least(customer=contacts))
    assert {d.recipient.email: d.recipient.locale for d in made.deliveries if d.recipient.email} == {
        "c1@contoso.example": "ja",
        "c2@contoso.example": "ja",
        "it@relecloud.example": "fr",
        "b@relecloud.example": "en",
    }


# --- why somebody is not told ----------------------------------------------------------------------------


def _only_endpoint(**more: Any) -> dict[str, Registered]:
    return {**BOTH, "contoso": _registered("contoso", "c1@contoso.example", endpoints=(_endpoint("contoso", **more),))}


SKIPS: dict[SkipReason, tuple[Plan, tuple[str, str]]] = {
    SkipReason.POLICY: (_plan(least()), ("target", "email")),
    SkipReason.PARTNER_UNKNOWN: (_plan(least(), {}), ("source", "webhook")),
    SkipReason.NO_ENDPOINT: (
        _plan(least(), {**BOTH, "contoso": _registered("contoso", endpoints=())}), ("source", "webhook"),
    ),
    SkipReason.NO_ADMIN_AGENT: (_plan(least(), {**BOTH, "contoso": _registered("contoso")}), ("source", "email")),
    SkipReason.NO_CONTACT: (_plan(least()), ("customer", "email")),
    SkipReason.NO_RESELLER: (_plan(least(), row=EVERYTHING), ("reseller", "webhook")),
    SkipReason.TYPE_NOT_SUBSCRIBED: (
        _plan(least(), _only_endpoint(event_types=("transfer.failed",))), ("source", "webhook"),
    ),
    SkipReason.NO_SUCH_EVENT: (
        _plan(least("subscription", "transfer.canceled"), _only_endpoint(format="partner_center")), ("source", "webhook"),
    ),
    SkipReason.FILTERED: (_plan(least(), _only_endpoint(filter={"role": "target"})), ("source", "webhook")),
    SkipReason.LATE: (_plan(least(), late=True), ("source", "email")),
    SkipReason.REPEAT: (_plan(least(), repeat=True), ("source", "webhook")),
    SkipReason.DERIVED: (_plan(least(), derived=True), ("source", "email")),
    SkipReason.DUPLICATE_ADDRESS: (
        _plan(least(), {**BOTH, "contoso": _registered("contoso", "a@x.example", "A@X.example")}),
        ("source", "email"),
    ),
    SkipReason.MUTED: (
        _plan(least(), {**BOTH, "contoso": chosen(BOTH["contoso"], "c1@contoso.example", created="never")}),
        ("source", "email"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", SKIPS)
def test_who_is_not_told_is_named_with_the_reason(reason: SkipReason) -> None:
    made, (audience, channel) = SKIPS[reason]
    assert (audience, channel, reason.value) in _skipped(made)


def test_every_reason_that_planning_can_give_has_its_case() -> None:
    # Mail to a suppressed mailbox is canceled when it is about to go.
    assert set(SkipReason) - set(SKIPS) == {SkipReason.SUPPRESSED, SkipReason.UNPLANNABLE}


def test_a_late_step_goes_to_webhooks_and_logs_only() -> None:
    made = _plan(least("subscription", "transfer.completed", customer=CONTACTS), late=True)
    assert _told(made) == {("source", "webhook"), ("target", "webhook")}
    assert len(made.activity) == 2
    assert all(orjson.loads(body)["data"]["late"] for body in made.bodies.values())


def test_a_repeat_is_told_to_nobody() -> None:
    made = _plan(least("subscription", "transfer.completed", customer=CONTACTS), repeat=True)
    assert (made.deliveries, made.activity, made.feed, made.bodies) == ([], [], [], {})


def test_what_the_relay_concluded_is_mailed_only_if_the_operator_says_so() -> None:
    value = least("subscription", "transfer.completed", customer=CONTACTS)
    assert _told(_plan(value, derived=True)) == {("source", "webhook"), ("target", "webhook")}
    assert ("customer", "email") in _told(_plan(value, derived=True, derived_email=True))


def test_an_unknown_party_is_named_once_and_the_other_is_told() -> None:
    made = _plan(least(), {"contoso": BOTH["contoso"]})
    assert made.unknown == [Audience.TARGET]
    assert ("source", "webhook") in _told(made)
    assert {skip.partner for skip in made.skips if skip.reason is SkipReason.PARTNER_UNKNOWN} == {"fabrikam"}


def test_who_registers_later_is_told_alone() -> None:
    made = _plan(least(customer=CONTACTS), only=Audience.TARGET)
    assert {d.recipient.audience for d in made.deliveries} == {Audience.TARGET}
    assert {skip.audience for skip in made.skips} == {Audience.TARGET}
    assert [told.audience for told in made.activity] == [Audience.TARGET]


# --- the sim target's root user --------------------------------------------------------------------------


ROOT = {"id": "fabrikam", "name": "Fabrikam", "email": "root@fabrikam.example", "locale": "de"}


def test_the_root_user_gets_the_link_and_the_agents_do_not() -> None:
    made = _plan(least("sim", target=ROOT), has_link=True)
    assert _mails(made) == [("root@fabrikam.example", True), ("f1@fabrikam.example", False)]


def test_without_a_link_nobody_gets_one() -> None:
    assert _mails(_plan(least("sim", target=ROOT)))[0] == ("root@fabrikam.example", False)


def test_the_link_is_for_the_creation_only() -> None:
    made = _plan(least("sim", "transfer.completed", target=ROOT), row=EVERYTHING, has_link=True)
    assert not any(with_link for _, with_link in _mails(made))


def test_the_root_user_is_told_although_the_partner_is_unknown() -> None:
    made = _plan(least("sim", target=ROOT), {}, has_link=True)
    assert _mails(made) == [("root@fabrikam.example", True)]
    assert ("target", "email", "partner_unknown") in _skipped(made)


def test_the_root_user_who_is_an_agent_too_gets_one_mail_with_the_link() -> None:
    agents = {**BOTH, "fabrikam": _registered("fabrikam", "ROOT@fabrikam.example")}
    made = _plan(least("sim", target=ROOT), agents, has_link=True)
    assert _mails(made) == [("root@fabrikam.example", True)]
    assert ("target", "email", "duplicate_address") in _skipped(made)


def test_a_subscription_target_has_no_root_user() -> None:
    made = _plan(least("subscription", "transfer.completed", target=ROOT))
    assert "root@fabrikam.example" not in dict(_mails(made))


# --- endpoints and their filters ----------------------------------------------------------------------------

ALL_TYPES = tuple(ProductType)


@pytest.mark.parametrize(
    ("filter_", "value", "wanted"),
    [
        ({}, least(), True),
        ({"role": "source"}, least(), True),
        ({"role": "target"}, least(), False),
        ({"kind": "subscription"}, least(), True),
        ({"kind": "sim"}, least(), False),
        ({"kind": "sim"}, least("sim"), True),
        ({"customer": "RELECLOUD"}, least(), True),
        ({"customer": "other"}, least(), False),
        ({"customer": "relecloud"}, least("sim"), False),
        ({"product_types": ["azure_subscription"]}, least(), True),
        ({"product_types": ["azure_subscription"]}, least(product_types=[]), True),
        ({"product_types": ["azure_subscription"]}, least(product_types=["azure_subscription"]), True),
        ({"product_types": ["azure_subscription"]}, least(product_types=list(ALL_TYPES)), True),
        ({"product_types": ["azure_subscription"]}, least(product_types=["azure_reservation"]), False),
        ({"product_types": list(ALL_TYPES)}, least(product_types=["azure_reservation"]), True),
        ({"role": "source", "customer": "other"}, least(), False),
    ],
)
def test_an_endpoint_gets_what_its_filter_lets_through(
    filter_: dict[str, Any], value: dict[str, Any], wanted: bool
) -> None:
    endpoint = _endpoint("contoso", filter=EndpointFilter.model_validate(filter_))
    reason = unwanted(endpoint, event(value), Audience.SOURCE)
    assert reason is (None if wanted else SkipReason.FILTERED)


def test_each_endpoint_of_a_partner_is_a_delivery_and_unordered_ones_are_known() -> None:
    two = (_endpoint("contoso"), _endpoint("contoso", id="ep_free", ordering="none"))
    made = _plan(least(), {**BOTH, "contoso": _registered("contoso", endpoints=two)})
    mine = [d for d in made.deliveries if d.recipient.partner == "contoso" and d.recipient.endpoint]
    assert [d.recipient.endpoint for d in mine] == ["ep_contoso", "ep_free"]
    assert made.unordered == {mine[1].id}


def test_a_reseller_is_told_when_the_policy_names_it() -> None:
    value = least(reseller={"id": "Wingtip", "name": "Wingtip"})
    registered = {**BOTH, "wingtip": _registered("wingtip", "w@wingtip.example")}
    assert "reseller" not in {audience for audience, _ in _told(_plan(value, registered))}
    told = _told(_plan(value, registered, row=EVERYTHING))
    assert {("reseller", "webhook"), ("reseller", "email")} <= told


# --- asked again before each attempt --------------------------------------------------------------------


def _first(audience: Audience, channel: Channel, kind: str = "subscription") -> Any:
    value = least("sim", target=ROOT) if kind == "sim" else least(customer=CONTACTS)
    made = _plan(value, row=EVERYTHING)
    return next(
        d for d in made.deliveries if (d.recipient.audience, d.recipient.channel) == (audience, channel)
    )


HOOK = _first(Audience.SOURCE, Channel.WEBHOOK)
MAIL = _first(Audience.SOURCE, Channel.EMAIL)


@pytest.mark.parametrize(
    ("delivery", "registered", "reason"),
    [
        (HOOK, BOTH["contoso"], None),
        (HOOK, Registered(None, {}), CancelReason.PARTNER_REMOVED),
        (HOOK, _registered("contoso", endpoints=()), CancelReason.ENDPOINT_REMOVED),
        (
            HOOK,
            _only_endpoint(event_types=("transfer.failed",))["contoso"],
            CancelReason.TYPE_NOT_SUBSCRIBED,
        ),
        (HOOK, _only_endpoint(event_types=("transfer.created",))["contoso"], None),
        (MAIL, BOTH["contoso"], None),
        (MAIL, _registered("contoso", "C1@CONTOSO.example"), None),
        (MAIL, chosen(BOTH["contoso"], "c1@contoso.example", created="never"), CancelReason.MUTED),
        (MAIL, chosen(BOTH["contoso"], "c2@contoso.example", created="never"), None),
        (MAIL, chosen(BOTH["contoso"], "c1@contoso.example", created="daily", completed="never"), None),
        (HOOK, chosen(BOTH["contoso"], "c1@contoso.example", created="never"), None),
        (MAIL, _registered("contoso", "other@contoso.example"), CancelReason.RECIPIENT_REMOVED),
        (MAIL, Registered(None, {}), CancelReason.PARTNER_REMOVED),
        (_first(Audience.CUSTOMER, Channel.EMAIL), Registered(None, {}), None),
        (_first(Audience.TARGET, Channel.EMAIL, "sim"), Registered(None, {}), None),
        (
            _first(Audience.CUSTOMER, Channel.EMAIL),
            chosen(Registered(None, {}), "it@relecloud.example", created="never"),
            CancelReason.MUTED,
        ),
    ],
)
def test_what_is_no_longer_wanted_is_canceled_with_a_reason(
    delivery: Any, registered: Registered, reason: CancelReason | None
) -> None:
    assert still_wanted(delivery, registered) is reason


def test_a_suppressed_mailbox_is_sent_nothing_whoever_it_is() -> None:
    bounced = Reader(
        suppressed=Suppression(reason=SuppressionReason.HARD_BOUNCE, source=SuppressionSource.SMTP, at_ms=1)
    )
    for delivery in (MAIL, _first(Audience.CUSTOMER, Channel.EMAIL), _first(Audience.TARGET, Channel.EMAIL, "sim")):
        assert still_wanted(delivery, BOTH["contoso"], Reader()) is None
        assert still_wanted(delivery, BOTH["contoso"], bounced) is CancelReason.SUPPRESSED


def test_planning_everything_of_the_fullest_event_works_for_both_kinds() -> None:
    for kind in Kind:
        made = _plan(whole(kind.value), {}, row=EVERYTHING)
        assert Audience.CUSTOMER in made.bodies
