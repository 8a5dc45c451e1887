"""Who and what is there in the world of subscriptions?

Partners with their people, customers, what they have bought and from whom, and transfers of it. The first
world has a partner of every sort that the rules tell apart. Tenants are GUIDs in lower case; times are Unix
milliseconds of the sandbox. Pure.
"""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from relay.model import Record
from relay.sandbox.system import Fault

V = TypeVar("V")
_SPACE: Final = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
MOST_TRANSFERS: Final = 300
MOST_CUSTOMERS: Final = 300
MOST_AUDITS: Final = 1_000


class PartnerKind(StrEnum):
    """How a partner does business with Microsoft."""

    DIRECT_BILL = "direct_bill"
    INDIRECT_PROVIDER = "indirect_provider"
    INDIRECT_RESELLER = "indirect_reseller"


class Product(StrEnum):
    """What a subscription is, as the API writes it."""

    NCE = "OnlineServicesNCE"
    AZURE = "AzureSubscription"
    RESERVATION = "AzureReservation"
    SAVINGS_PLAN = "AzureSavingsPlan"
    SOFTWARE = "Software"
    SAAS = "SaaS"


TRANSFERABLE: Final = (Product.NCE, Product.AZURE, Product.RESERVATION, Product.SAVINGS_PLAN)
AZURE: Final = (Product.AZURE, Product.RESERVATION, Product.SAVINGS_PLAN)


class State(StrEnum):
    """A transfer's or an item's status, as it is on the wire (which is not as the prose has it)."""

    ACTIVE = "Active"
    IN_PROGRESS = "InProgress"
    COMPLETE = "Complete"
    PARTIALLY_COMPLETE = "PartiallyComplete"
    FAILED = "Failed"
    EXPIRED = "Expired"
    CANCEL = "Cancel"


class Person(Record, frozen=True, kw_only=True):
    """Somebody who may sign in for a partner. Only an `admin_agent` creates and accepts transfers."""

    email: str
    name: str
    role: str = "admin_agent"


class Partner(Record, frozen=True, kw_only=True):
    """`relay_id` is how the relay may know this partner. `has_agreement`: the partner agreement is signed."""

    tenant: str
    relay_id: str
    name: str
    kind: PartnerKind
    people: tuple[Person, ...]
    has_agreement: bool = True


class Customer(Record, frozen=True, kw_only=True):
    """`partners`: whose relationship request it has consented to; `agreed`: for which of them its acceptance of
    the customer agreement was confirmed; `azure_plans`: through which of them it has an Azure plan."""

    tenant: str
    name: str
    email: str
    partners: tuple[str, ...] = ()
    agreed: tuple[str, ...] = ()
    azure_plans: tuple[str, ...] = ()


class Subscription(Record, frozen=True, kw_only=True):
    """Something that a customer has bought. `owner` is the partner it is billed by, "" where the customer
    bought it directly."""

    id: str
    customer: str
    owner: str
    name: str
    product: Product
    quantity: int = 1
    is_active: bool = True


class Line(Record, frozen=True, kw_only=True):
    """One item of a transfer. It is tried at `try_ms`, and not moved before `blocked_ms`; `dooms` is how that
    ends; `result` is the target's new id."""

    number: int
    subscription: str
    name: str
    product: Product
    quantity: int
    status: State = State.IN_PROGRESS
    error: str = ""
    result: str = ""
    try_ms: int = 0
    blocked_ms: int = 0
    is_doomed: bool = False


class Transfer(Record, frozen=True, kw_only=True):
    """One request of a target to a source. `submitted_ms` is when the source last submitted it."""

    id: str
    customer: str
    customer_name: str
    email: str
    source: str
    source_name: str
    target: str
    target_name: str
    created_ms: int
    expires_ms: int
    moved_ms: int
    status: State = State.ACTIVE
    products: tuple[Product, ...] = ()
    target_email: str = ""
    partner_on_record: str = ""
    submitted_ms: int = 0
    done_ms: int = 0
    lines: tuple[Line, ...] = ()


class Registration(Record, frozen=True, kw_only=True):
    """The one URL that a tenant is called at, and for which events. `in_own_header`: the signature comes as
    `x-ms-signature`."""

    subscriber: str
    url: str
    events: tuple[str, ...]
    moved_ms: int
    in_own_header: bool = False


class Validation(Record, frozen=True, kw_only=True):
    """A validation event that a tenant asked for, and how its delivery went."""

    tenant: str
    url: str
    asked_ms: int
    status: str = "submitted"
    results: tuple[dict[str, Any], ...] = ()


class Audit(Record, frozen=True, kw_only=True):
    """An audit record of one partner's. `value` is the transfer as that partner saw it, as JSON text."""

    id: str
    partner: str
    customer: str
    customer_name: str
    operation: str
    by: str
    at_ms: int
    value: str


class World(Record, frozen=True, kw_only=True):
    """All of it. `made` counts the ids that were given; `plans` are the faults that wait for a submission."""

    seed: str
    made: int = 0
    partners: dict[str, Partner] = msgspec.field(default_factory=dict)
    customers: dict[str, Customer] = msgspec.field(default_factory=dict)
    subscriptions: dict[str, Subscription] = msgspec.field(default_factory=dict)
    transfers: dict[str, Transfer] = msgspec.field(default_factory=dict)
    registrations: dict[str, Registration] = msgspec.field(default_factory=dict)
    validations: dict[str, Validation] = msgspec.field(default_factory=dict)
    audits: tuple[Audit, ...] = ()
    plans: tuple[Fault, ...] = ()
    tokens_from_ms: int = 0


def new_id(world: World) -> tuple[World, str]:
    """An id that nothing else has: it follows from the world."""
    made = world.made + 1
    return msgspec.structs.replace(world, made=made), str(uuid.uuid5(_SPACE, f"{world.seed}:{made}"))


def put(mapping: dict[str, V], key: str, value: V, most: int = 0) -> dict[str, V]:
    """The mapping with this in it; of more than `most` the first go."""
    after = {**mapping, key: value}
    return dict(list(after.items())[-most:]) if most and len(after) > most else after


def with_transfer(world: World, transfer: Transfer) -> World:
    """The world in which a transfer is this."""
    transfers = put(world.transfers, transfer.id, transfer)
    if len(transfers) > MOST_TRANSFERS:
        over = (one.id for one in transfers.values() if one.status not in (State.ACTIVE, State.IN_PROGRESS))
        transfers.pop(next(over, next(iter(transfers))))
    return msgspec.structs.replace(world, transfers=transfers)


def with_customer(
    world: World, name: str, email: str, owner: str, bought: list[tuple[str, Product, int]]
) -> tuple[World, Customer, list[Subscription]]:
    """The world with another customer, who has bought these (name, product, quantity) from `owner`."""
    world, tenant = new_id(world)
    customer = Customer(tenant=tenant, name=name, email=email, partners=(owner,), agreed=(owner,), azure_plans=(owner,))
    made = []
    for product_name, product, quantity in bought:
        world, id_ = new_id(world)
        made.append(
            Subscription(
                id=id_, customer=tenant, owner=owner, name=product_name, product=product, quantity=quantity
            )
        )
    customers = put(world.customers, tenant, customer, MOST_CUSTOMERS)
    kept = {id_: one for id_, one in world.subscriptions.items() if one.customer in customers}
    kept |= {one.id: one for one in made}
    return msgspec.structs.replace(world, customers=customers, subscriptions=kept), customer, made


SOURCE: Final = "11111111-aaaa-4aaa-8aaa-5a4d0b0c0001"
TARGET: Final = "22222222-bbbb-4bbb-8bbb-5a4d0b0c0002"
DIRECT: Final = "33333333-cccc-4ccc-8ccc-5a4d0b0c0003"
PROVIDER: Final = "44444444-dddd-4ddd-8ddd-5a4d0b0c0004"
RESELLER: Final = "55555555-eeee-4eee-8eee-5a4d0b0c0005"
UNSIGNED: Final = "66666666-ffff-4fff-8fff-5a4d0b0c0006"
_PARTNERS: Final = (
    Partner(
        tenant=SOURCE, relay_id="kaiyo-cloud", name="海洋クラウド株式会社", kind=PartnerKind.DIRECT_BILL,
        people=(
            Person(email="kenji@kaiyo-cloud.example", name="青木 健二"),
            Person(email="eigyo@kaiyo-cloud.example", name="営業 担当", role="sales_agent"),
        ),
    ),
    Partner(
        tenant=TARGET, relay_id="fabrikam", name="Fabrikam Distribution Ltd.", kind=PartnerKind.INDIRECT_PROVIDER,
        people=(
            Person(email="aoi.tanaka@fabrikam.example", name="田中 葵"),
            Person(email="sales@fabrikam.example", name="Sales", role="sales_agent"),
        ),
    ),
    Partner(
        tenant=DIRECT, relay_id="adatum", name="A. Datum", kind=PartnerKind.DIRECT_BILL,
        people=(Person(email="lee@adatum.example", name="Lee"),),
    ),
    Partner(
        tenant=PROVIDER, relay_id="tailspin", name="Tailspin Provider", kind=PartnerKind.INDIRECT_PROVIDER,
        people=(Person(email="ana@tailspin.example", name="Ana"),),
    ),
    Partner(
        tenant=RESELLER, relay_id="woodgrove", name="Woodgrove Reseller", kind=PartnerKind.INDIRECT_RESELLER,
        people=(Person(email="max@woodgrove.example", name="Max"),),
    ),
    Partner(
        tenant=UNSIGNED, relay_id="wingtip", name="Wingtip (has signed nothing)", kind=PartnerKind.DIRECT_BILL,
        people=(Person(email="jo@wingtip.example", name="Jo"),), has_agreement=False,
    ),
)  # fmt: skip
_BOUGHT: Final = [
    ("Microsoft 365 E3", Product.NCE, 25),
    ("Microsoft 365 Business Premium", Product.NCE, 10),
    ("Exchange Online (Plan 1)", Product.NCE, 40),
    ("Azure subscription", Product.AZURE, 1),
    ("Azure reservation, 3 years", Product.RESERVATION, 2),
    ("Azure savings plan, 1 year", Product.SAVINGS_PLAN, 1),
    ("Windows Server, perpetual", Product.SOFTWARE, 1),
    ("Backup by a third party", Product.SAAS, 5),
]


def first(seed: str) -> World:
    """The first world: the partners above, and one customer of the first one's, who has consented to nobody
    else yet and has also bought something directly."""
    world = World(seed=seed, partners={one.tenant: one for one in _PARTNERS})
    world, customer, _ = with_customer(world, "Relecloud", "it@relecloud.example", SOURCE, _BOUGHT)
    world, id_ = new_id(world)
    direct = Subscription(
        id=id_, customer=customer.tenant, owner="", name="Visio, bought directly", product=Product.NCE, quantity=3
    )
    return msgspec.structs.replace(world, subscriptions=put(world.subscriptions, id_, direct))
