"""Where is a tenant called, and for which events?

One registration for a whole tenant, whoever in it asks: a second POST is refused, a PUT replaces it whole.
Validation events show that a callback arrives; two a minute are granted. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any, Final

import msgspec

from relay.sandbox.subscriptions import telling
from relay.sandbox.subscriptions.refusals import Code
from relay.sandbox.subscriptions.views import collection, long_time
from relay.sandbox.subscriptions.world import Audit, Registration, Validation, World, new_id, put
from relay.sandbox.system import Answer, Call, Note, Refusal, Step, Verdict
from relay.times import from_ms

KNOWN: Final = (*telling.EVENTS, *telling.OTHERS, telling.TEST)
_MOST_A_MINUTE: Final = 2
_KEPT_MS: Final = 7 * 86_400_000
_MOST_VALIDATIONS: Final = 100
_LONGEST_URL: Final = 2048


def read(world: World, tenant: str, now_ms: int) -> Step[World]:
    """`GET /webhooks/v1/registration`."""
    found = world.registrations.get(tenant)
    if found is None:
        raise Code.NOT_FOUND.refuse(why="nothing is registered")
    return Step(world, Answer(200, {"WebhookUrl": found.url, "WebhookEvents": list(found.events)}))


def write(world: World, tenant: str, body: Any, now_ms: int, *, replace: bool) -> Step[World]:
    """`POST` and `PUT /webhooks/v1/registration`."""
    known = world.registrations.get(tenant)
    if known is not None and not replace:
        text = "Registration already exists, use the PUT method to update a registration."
        raise Refusal(Answer(409, {"code": "409", "description": text, "data": [], "source": "Webhooks"}), text)
    if known is None and replace:
        raise Code.NOT_FOUND.refuse(why="nothing is registered")
    fields = {name.casefold(): one for name, one in body.items()} if isinstance(body, dict) else {}
    url, events = fields.get("webhookurl"), fields.get("webhookevents")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or len(url) > _LONGEST_URL:
        raise Code.INVALID.refuse(why="WebhookUrl")
    if not isinstance(events, list) or not all(isinstance(one, str) and one in KNOWN for one in events):
        raise Code.INVALID.refuse(why=f"WebhookEvents: any of {', '.join(KNOWN)}")
    world, subscriber = new_id(world)
    own = fields.get("signaturetokentomssignatureheader") is True
    registration = Registration(
        subscriber=known.subscriber if known else subscriber,
        url=url, events=tuple(dict.fromkeys(events)), moved_ms=now_ms, in_own_header=own,
    )  # fmt: skip
    after = msgspec.structs.replace(world, registrations=put(world.registrations, tenant, registration))
    note = Note(at_ms=now_ms, what="asked", about="", text=f"{_name(world, tenant)} is called at {url}")
    value = {"SubscriberId": registration.subscriber, "WebhookUrl": url, "WebhookEvents": list(registration.events)}
    return Step(after, Answer(200, value), notes=(note,))


def validate(world: World, tenant: str, now_ms: int, url: str) -> Step[World]:
    """`POST /webhooks/v1/registration/validationEvents`."""
    registration = world.registrations.get(tenant)
    if registration is None or telling.TEST not in registration.events:
        raise Code.INVALID.refuse(why=f"register for {telling.TEST} first")
    kept = {id_: one for id_, one in world.validations.items() if one.asked_ms > now_ms - _KEPT_MS}
    recent = [one.asked_ms for one in kept.values() if one.tenant == tenant and one.asked_ms > now_ms - 60_000]
    if len(recent) >= _MOST_A_MINUTE:
        after_s = 1 + (min(recent) + 60_000 - now_ms) // 1000
        text = "two validation events a minute are granted"
        raise Refusal(Answer(429, headers={"Retry-After": str(after_s)}), text)
    world, id_ = new_id(world)
    body = {
        "EventName": telling.TEST,
        "ResourceUri": f"{url}/webhooks/v1/registration/validationEvents/{id_}",
        "ResourceName": "test",
        "AuditUri": None,
        "ResourceChangeUtcDate": telling.callback_time(now_ms),
    }
    call = Call(
        id=id_, url=registration.url, event=telling.TEST, about="", to=_name(world, tenant), body=json.dumps(body),
        headers={"Content-Type": "application/json"}, due_ms=now_ms, tries=1,
        scheme=telling.OWN_HEADER if registration.in_own_header else "",
    )  # fmt: skip
    validation = Validation(tenant=tenant, url=registration.url, asked_ms=now_ms)
    after = msgspec.structs.replace(world, validations=put(kept, id_, validation, _MOST_VALIDATIONS))
    return Step(after, Answer(200, {"correlationId": id_}), (call,))


def report(world: World, tenant: str, id_: str, now_ms: int) -> Step[World]:
    """`GET /webhooks/v1/registration/validationEvents/{id}`."""
    found = world.validations.get(id_)
    if found is None or found.tenant != tenant or found.asked_ms <= now_ms - _KEPT_MS:
        raise Code.NOT_FOUND.refuse()
    value = {
        "correlationId": id_, "partnerId": tenant, "status": found.status, "callbackUrl": found.url,
        "results": list(found.results),
    }  # fmt: skip
    return Step(world, Answer(200, value))


def answered(world: World, id_: str, verdict: Verdict, now_ms: int) -> World:
    """A validation event was delivered, or was not."""
    found = world.validations.get(id_)
    if found is None:
        return world
    result = {
        "responseCode": "OK" if verdict.status == 200 else str(verdict.status or verdict.why),
        "responseMessage": "", "systemError": verdict.status == 0, "dateTimeUtc": long_time(now_ms).removesuffix("Z"),
    }  # fmt: skip
    after = msgspec.structs.replace(
        found, status="completed" if verdict.is_success else "failed", results=(*found.results, result)
    )
    return msgspec.structs.replace(world, validations=put(world.validations, id_, after))


def records(world: World, tenant: str, since: str, until: str, now_ms: int, chosen: str = "") -> Step[World]:
    """`GET /v1/auditrecords`: this tenant's, of at most 30 days, none older than 90. `chosen` is the filter:
    JSON with Field (CompanyName, CustomerId or ResourceType), Value and Operator."""
    today = f"{from_ms(now_ms):%Y-%m-%d}"
    first = since or f"{from_ms(now_ms - 30 * 86_400_000):%Y-%m-%d}"
    last = until or today
    if _days(first, last) is None or not 0 <= (_days(first, last) or 0) <= 30 or (_days(first, today) or 0) > 90:
        raise Code.INVALID.refuse(why="startDate and endDate: yyyy-mm-dd, at most 30 days, within the last 90")
    fits = _filter(chosen)
    found = [
        _audit(one) for one in world.audits
        if one.partner == tenant and first <= f"{from_ms(one.at_ms):%Y-%m-%d}" <= last and fits(one)
    ]  # fmt: skip
    return Step(world, Answer(200, collection(found)))


def record(world: World, tenant: str, id_: str) -> Step[World]:
    """`GET /auditactivity/v1/auditrecords/{id}`; null where there is none."""
    found = next((one for one in world.audits if one.id == id_ and one.partner == tenant), None)
    return Step(world, Answer(200, None if found is None else _audit(found)))


def _filter(text: str) -> Callable[[Audit], bool]:
    if not text:
        return lambda one: True
    try:
        fields = json.loads(text)
        field, value = fields["Field"], str(fields["Value"]).casefold()
    except (ValueError, TypeError, LookupError, RecursionError):
        raise Code.INVALID.refuse(why="filter: JSON with Field, Value and Operator") from None
    by: dict[str, Callable[[Audit], bool]] = {
        "CompanyName": lambda one: value in one.customer_name.casefold(),
        "CustomerId": lambda one: value == one.customer,
        "ResourceType": lambda one: value == "transfer",
    }
    if field not in by:
        raise Code.INVALID.refuse(why=f"filter: Field is one of {', '.join(by)}")
    return by[field]


def _audit(one: Audit) -> dict[str, Any]:
    return {
        "id": one.id, "partnerId": one.partner, "customerId": one.customer, "customerName": one.customer_name,
        "userPrincipalName": one.by, "resourceType": "transfer", "resourceOldValue": None,
        "resourceNewValue": one.value, "operationType": one.operation, "operationDate": long_time(one.at_ms),
        "operationStatus": "succeeded", "customizedData": [], "attributes": {"objectType": "AuditRecord"},
    }  # fmt: skip


def _days(first: str, last: str) -> int | None:
    try:
        return (date.fromisoformat(last) - date.fromisoformat(first)).days
    except ValueError:
        return None


def _name(world: World, tenant: str) -> str:
    partner = world.partners.get(tenant)
    return partner.relay_id if partner else tenant
