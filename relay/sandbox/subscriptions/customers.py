"""How does a customer come to a new partner?

The steps before a transfer: the target sends a relationship request, the customer consents to it (the step
that the vendor's own sandbox cannot take), and the target confirms that the customer has accepted the
customer agreement. And what a person needs to try things: more customers, an Azure plan, an agreement. Pure.
"""

from __future__ import annotations

from typing import Any

import msgspec

from relay.model import Record
from relay.sandbox.subscriptions import views
from relay.sandbox.subscriptions.refusals import Code
from relay.sandbox.subscriptions.requests import Asker
from relay.sandbox.subscriptions.world import Customer, Product, World, put, with_customer
from relay.sandbox.system import Answer, Note, Step

AGREEMENT = "MicrosoftCustomerAgreement"
MOST_BOUGHT, MOST_OF_ONE = 60, 100_000


class Bought(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that a new customer has bought."""

    name: str
    product: Product = Product.NCE
    quantity: int = 1


class CustomerBody(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new customer of the partner `owner` (a tenant, or its id with the relay)."""

    name: str
    email: str
    owner: str
    bought: tuple[Bought, ...] = ()


class ConsentBody(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer consents to a relationship with the partner who sent the request."""

    customer: str


class PartnerBody(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`has_agreement`: it has signed the partner agreement, or has not; `azure_plan_for`: a customer who gets
    an Azure plan through it."""

    has_agreement: bool | None = None
    azure_plan_for: str = ""


def add(world: World, body: CustomerBody, now_ms: int) -> Step[World]:
    """A new customer, with what it has bought."""
    owner = tenant_of(world, body.owner)
    if not body.name or "@" not in body.email or len(body.bought) > MOST_BOUGHT:
        raise Code.INVALID.refuse(why=f"a customer has a name, an address and at most {MOST_BOUGHT} subscriptions")
    if not all(1 <= one.quantity <= MOST_OF_ONE for one in body.bought):
        raise Code.INVALID.refuse(why=f"quantity: give 1 to {MOST_OF_ONE}")
    bought = [(one.name, one.product, one.quantity) for one in body.bought]
    world, customer, subscriptions = with_customer(world, body.name[:200], body.email[:200], owner, bought)
    value = {
        "customerTenantId": customer.tenant, "name": customer.name, "email": customer.email,
        "subscriptions": [views.subscription(one) for one in subscriptions],
    }  # fmt: skip
    return Step(world, Answer(201, value), notes=(_note(f"{customer.name} is a new customer", now_ms),))


def consent(world: World, tenant: str, body: ConsentBody, now_ms: int) -> Step[World]:
    """The customer follows the link of a relationship request and consents."""
    partner, customer = world.partners[tenant_of(world, tenant)], _customer(world, body.customer)
    after = msgspec.structs.replace(customer, partners=_with(customer.partners, partner.tenant))
    note = _note(f"{customer.name} consents to a relationship with {partner.name}", now_ms)
    return Step(_put(world, after), Answer(200, {"partner": partner.tenant, "customer": customer.tenant}), notes=(note,))


def change(world: World, tenant: str, body: PartnerBody, now_ms: int) -> Step[World]:
    """What is otherwise done with Microsoft, in its shop or on paper."""
    partner, notes = world.partners[tenant_of(world, tenant)], []
    if body.has_agreement is not None:
        changed = msgspec.structs.replace(partner, has_agreement=body.has_agreement)
        world = msgspec.structs.replace(world, partners=put(world.partners, partner.tenant, changed))
        notes.append(_note(f"{partner.name} {'signs' if body.has_agreement else 'leaves'} the agreement", now_ms))
    if body.azure_plan_for:
        customer = _customer(world, body.azure_plan_for)
        plans = _with(customer.azure_plans, partner.tenant)
        world = _put(world, msgspec.structs.replace(customer, azure_plans=plans))
        notes.append(_note(f"{customer.name} has an Azure plan through {partner.name}", now_ms))
    return Step(world, Answer(200, {"partner": partner.tenant}), notes=tuple(notes))


def confirm(world: World, who: Asker, customer_id: str, body: Any, now_ms: int) -> Step[World]:
    """`POST /v1/customers/{customer}/agreements`: the customer has accepted the customer agreement."""
    customer = _related(world, who, customer_id)
    if not isinstance(body, dict) or body.get("type") != AGREEMENT:
        raise Code.INVALID.refuse(why=f"type: {AGREEMENT}")
    after = msgspec.structs.replace(customer, agreed=_with(customer.agreed, who.tenant))
    note = _note(f"{customer.name} has accepted the customer agreement", now_ms)
    return Step(_put(world, after), Answer(201, body), notes=(note,))


def agreements(world: World, who: Asker, customer_id: str) -> Step[World]:
    """`GET /v1/customers/{customer}/agreements`."""
    customer = _related(world, who, customer_id)
    found = [{"type": AGREEMENT}] if who.tenant in customer.agreed else []
    return Step(world, Answer(200, views.collection(found)))


def subscriptions(world: World, who: Asker, customer_id: str) -> Step[World]:
    """`GET /v1/customers/{customer}/subscriptions`: those that this partner is billed for."""
    customer = _related(world, who, customer_id)
    found = [
        views.subscription(one) for one in world.subscriptions.values()
        if one.customer == customer.tenant and one.owner == who.tenant
    ]  # fmt: skip
    return Step(world, Answer(200, views.collection(found)))


def tenant_of(world: World, name: str) -> str:
    """A partner's tenant, by the tenant itself or by the relay's id. Raises Refusal."""
    for partner in world.partners.values():
        if name.casefold() in (partner.tenant, partner.relay_id):
            return partner.tenant
    raise Code.TENANT_NOT_FOUND.refuse(why=f"there is no partner {name}")


def _related(world: World, who: Asker, customer_id: str) -> Customer:
    customer = _customer(world, customer_id)
    if who.tenant not in customer.partners:
        raise Code.NO_RELATIONSHIP.refuse()
    return customer


def _customer(world: World, id_: str) -> Customer:
    found = world.customers.get(id_.casefold())
    if found is None:
        raise Code.TENANT_NOT_FOUND.refuse(why=f"there is no customer {id_}")
    return found


def _put(world: World, customer: Customer) -> World:
    return msgspec.structs.replace(world, customers=put(world.customers, customer.tenant, customer))


def _with(tenants: tuple[str, ...], tenant: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*tenants, tenant)))


def _note(text: str, now_ms: int) -> Note:
    return Note(at_ms=now_ms, what="asked", about="", text=text)
