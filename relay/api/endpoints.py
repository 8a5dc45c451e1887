"""Where does a partner want to be told, and how?

Registering, reading, changing and removing endpoints. What is wrong with a URL or a header is said in a
sentence before anything is stored; nothing is sent unless `verify` asks for it.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import orjson
from aiohttp import web
from pydantic import Field, StringConstraints

from relay import recovery
from relay.api import certificates, key_sets, ownership
from relay.api.bodies import Body, read_body
from relay.api.paging import Listing, Query, listed, page_of
from relay.api.partners import existing as existing_partner
from relay.api.problems import Fault, invalid, not_found
from relay.api.route import Call, answer
from relay.api.shapes import BreakerShape, EndpointShape, NewEndpointShape
from relay.auth import random_text
from relay.egress import check_url
from relay.errors import SignatureError
from relay.model import (
    Endpoint,
    EndpointFilter,
    EndpointState,
    EventType,
    Identifier,
    Kind,
    ProductType,
    Secret,
    WebhookFormat,
)
from relay.services import Services, policy_of
from relay.signing import HmacKey, new_secret, new_signing_key
from relay.store.queues import WELL, QueueState
from relay.times import format_ms
from relay.webhook import allowed_header

LISTING = Listing("endpoints")
_MOST_HEADERS = 20
_PLAIN: dict[str, Any] = {
    "event_types": None,
    "rate_limit": None,
    "description": "",
    "ordering": "transfer",
    "format": WebhookFormat.STANDARD,
}
"""What is changed to just what is given, and what each is when that is null."""
_KNOWN_TYPES = frozenset(EventType)

Url = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Rate = Annotated[int, Field(ge=1, le=60_000, strict=True)]
Types = Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
Headers = Annotated[dict[str, str], Field(max_length=_MOST_HEADERS)]


class FilterBody(Body):
    """Which of the partner's events are wanted; what is absent does not limit."""

    role: Literal["source", "target"] | None = None
    kind: Kind | None = None
    product_types: Annotated[tuple[ProductType, ...], Field(min_length=1)] | None = None
    customer: Identifier | None = None


class EndpointBody(Body):
    """A new endpoint. `event_types` absent: all. `rate_limit` is requests a minute. `secret`: a `whsec_…` of your
    own. `asymmetric`: sign with an Ed25519 key (`v1a`) too, whose public half is answered, and published at `key_set`. `verify`: store it only
    if a pre-flight with a signed ping finds no problem. `handshake`: store it only if it consents, as CloudEvents
    has it (`OPTIONS`); what it allows is then its rate limit."""

    url: Url
    event_types: Types | None = None
    filter: FilterBody | None = None
    description: Annotated[str, StringConstraints(max_length=512)] | None = None
    ordering: Literal["transfer", "none"] = "transfer"
    headers: Headers | None = None
    rate_limit: Rate | None = None
    format: WebhookFormat = WebhookFormat.STANDARD
    secret: Annotated[str, StringConstraints(max_length=128)] | None = None
    asymmetric: bool = False
    verify: bool = False
    handshake: bool = False


class EndpointChange(Body):
    """What is to change; what is absent stays, and null goes back to the default. While `state` is
    `disabled` nothing is sent and nothing is lost. An endpoint that consented is asked again for a new URL."""

    url: Url | None = None
    event_types: Types | None = None
    filter: FilterBody | None = None
    description: Annotated[str, StringConstraints(max_length=512)] | None = None
    ordering: Literal["transfer", "none"] | None = None
    headers: Headers | None = None
    rate_limit: Rate | None = None
    asymmetric: bool | None = None
    handshake: bool | None = None
    format: WebhookFormat | None = None
    state: EndpointState | None = None


async def create(call: Call) -> web.Response:
    """Register an endpoint: 201 with its secret, which `…/secret` shows again."""
    body = await read_body(call.request, EndpointBody)
    services, now_ms = call.services, call.now_ms
    _check(services, body)
    partner = await existing_partner(call)
    id_, secret = f"ep_{random_text(20)}", body.secret or new_secret()
    pair, public = _new_pair(services, id_, now_ms) if body.asymmetric else (None, None)
    endpoint = Endpoint(
        id=id_,
        partner=partner.key,
        url=body.url,
        event_types=body.event_types,
        filter=_filter(body.filter),
        description=body.description or "",
        ordering=body.ordering,
        rate_limit=body.rate_limit,
        format=body.format,
        secrets=(Secret(sealed=seal_secret(services, id_, secret), created_at_ms=now_ms),),
        signing_key=pair,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        **_sealed_headers(services, id_, body.headers),
    )
    if body.handshake or body.verify:
        await ownership.room_for_one_more(call)
    if body.handshake:
        endpoint = endpoint.model_copy(update=await ownership.agreed(call, endpoint))
    report = await ownership.require(call, endpoint) if body.verify else None
    await services.store.registry.create_endpoint(endpoint, most=services.config.limits.endpoints_per_partner)
    await recovery.registered(services, partner.key)
    made = {**shown(services, endpoint).model_dump(), "secret": secret, "public_key": public}
    if report is not None:
        made["findings"] = ownership.shown(report)
    return answer(NewEndpointShape(**made).model_dump(mode="json", exclude_unset=True), 201)


async def list_(call: Call) -> web.Response:
    """A partner's endpoints, newest first."""
    query = Query(call.request)
    asked = query.page(LISTING)
    query.check()
    partner = await existing_partner(call)
    endpoints = await call.services.store.registry.list_endpoints(partner.key)
    page = page_of(endpoints, lambda one: f"{one.created_at_ms:013d}:{one.id}", asked)
    data = await asyncio.gather(*(with_health(call.services, endpoint) for endpoint in page.data))
    return answer(listed(LISTING, page, data))


async def get(call: Call) -> web.Response:
    """One endpoint."""
    return answer(await with_health(call.services, await existing(call)))


async def change(call: Call) -> web.Response:
    """Change what is named. Deliveries that are under way use what is stored when their turn comes."""
    body = await read_body(call.request, EndpointChange)
    _check(call.services, body)
    services, now_ms = call.services, call.now_ms
    given = body.model_fields_set
    consented = await _consented(call, body)

    def apply(now: Endpoint) -> Endpoint:
        update: dict[str, Any] = {"updated_at_ms": now_ms}
        update |= {name: getattr(body, name) or default for name, default in _PLAIN.items() if name in given}
        if "filter" in given:
            update["filter"] = _filter(body.filter)
        if "headers" in given:
            update |= _sealed_headers(services, now.id, body.headers)
        if body.url is not None:
            update["url"] = body.url
        update |= _key_pair(services, now, body.asymmetric, now_ms)
        return now.model_copy(update=update | consented)

    changed = await services.store.registry.change_endpoint(call.partner, call.part("endpoint"), apply)
    if changed is None:
        raise not_found("endpoint")
    if body.state is not None and body.state is not changed.state:
        switch = recovery.enable if body.state is EndpointState.ENABLED else recovery.disable
        await switch(services, changed, now_ms)
        changed = await existing(call)
    elif body.url is not None:
        await recovery.try_now(services, changed, now_ms)
    return answer(await with_health(services, changed))


def _key_pair(services: Services, now: Endpoint, wanted: bool | None, now_ms: int) -> dict[str, Any]:
    """What changes because a key pair is wanted, or not wanted any more."""
    if wanted is None or wanted == (now.signing_key is not None):
        return {}
    pair = _new_pair(services, now.id, now_ms)[0] if wanted else None
    return {"signing_key": pair, "previous_signing_keys": ()}


async def _consented(call: Call, body: EndpointChange) -> dict[str, Any]:
    """What changes because the endpoint is asked, or is not to be asked any more; 422 when it refuses."""
    if not body.model_fields_set & {"url", "rate_limit", "handshake"}:
        return {}
    now = await existing(call)
    wanted = now.consent_origin is not None if body.handshake is None else body.handshake
    if not wanted:
        return {} if now.consent_origin is None else {"consent_origin": None, "allowed_rate": None}
    rate = body.rate_limit if "rate_limit" in body.model_fields_set else now.rate_limit
    url = body.url or now.url
    becomes = now.model_copy(update={"url": url, "rate_limit": rate})
    return await ownership.agreed(call, becomes, changed=url != now.url)


async def delete(call: Call) -> web.Response:
    """Remove an endpoint; what is still owed to it is canceled."""
    if not await call.services.store.registry.delete_endpoint(call.partner, call.part("endpoint")):
        raise not_found("endpoint")
    return web.Response(status=204)


async def existing(call: Call) -> Endpoint:
    """The endpoint in the path; 404 when this partner has none by this id."""
    endpoint = await call.services.store.registry.get_endpoint(call.partner, call.part("endpoint"))
    if endpoint is None:
        raise not_found("endpoint")
    return endpoint


async def with_health(services: Services, endpoint: Endpoint) -> EndpointShape:
    """An endpoint with how it has been doing."""
    return shown(services, endpoint, await services.store.queues.state(endpoint.id))


def shown(services: Services, endpoint: Endpoint, health: QueueState = WELL) -> EndpointShape:
    """An endpoint as the API shows it: no secret, and of its headers the names only."""
    breaker = health.breaker
    return EndpointShape(
        id=endpoint.id,
        url=endpoint.url,
        event_types=None if endpoint.event_types is None else list(endpoint.event_types),
        filter=endpoint.filter,
        description=endpoint.description,
        ordering=endpoint.ordering,
        headers=list(endpoint.header_names),
        rate_limit=endpoint.rate_limit,
        handshake=endpoint.consent_origin is not None,
        allowed_rate=endpoint.allowed_rate,
        asymmetric=endpoint.signing_key is not None,
        key_set=key_sets.url_of(services.config, endpoint),
        format=endpoint.format,
        callbacks=certificates.named(services.config) if endpoint.format is WebhookFormat.PARTNER_CENTER else None,
        state=endpoint.state,
        disabled_reason=endpoint.disabled_reason,
        disabled_at=maybe_time(endpoint.disabled_at_ms),
        failing_since=maybe_time(health.failing_since_ms),
        breaker=BreakerShape(
            state=breaker.state,
            since=maybe_time(breaker.since_ms),
            next_probe_at=maybe_time(breaker.probe_at_ms),
            window=breaker.window,
        ),
        created_at=format_ms(endpoint.created_at_ms),
        updated_at=format_ms(endpoint.updated_at_ms),
    )


def _new_pair(services: Services, endpoint: str, now_ms: int) -> tuple[Secret, str]:
    """A key pair: its private half as it is stored, and its public half."""
    private, public = new_signing_key()
    return Secret(sealed=seal_secret(services, endpoint, private), created_at_ms=now_ms), public


def seal_secret(services: Services, endpoint: str, secret: str) -> str:
    """A signing secret as it is stored."""
    return services.vault.seal(secret.encode(), context=f"endpoint:{endpoint}:secret")


def maybe_time(ms: int | None) -> str | None:
    """RFC 3339 text, or None for no time."""
    return None if ms is None else format_ms(ms)


def _check(services: Services, body: EndpointBody | EndpointChange) -> None:
    """Raises 422 with everything that the field types do not say themselves."""
    faults: list[Fault] = []
    if body.url is not None:
        policy = policy_of(services.config)
        faults += [Fault("/url", problem.detail) for problem in check_url(body.url, policy)]
    elif "url" in body.model_fields_set:
        faults.append(Fault("/url", "an endpoint needs a URL"))
    if isinstance(body, EndpointBody) and body.secret is not None:
        try:
            HmacKey.parse(body.secret)
        except SignatureError as error:
            faults.append(Fault("/secret", f"{error}; leave it out, and one is made"))
    known = ", ".join(EventType)
    for place, name in enumerate(body.event_types or ()):
        if name not in _KNOWN_TYPES:
            faults.append(Fault(f"/event_types/{place}", f"there is no such type; the types are {known}"))
    seen: set[str] = set()
    for name, value in (body.headers or {}).items():
        pointer = "/headers/" + name.replace("~", "~0").replace("/", "~1")
        problem = allowed_header(name, value)
        if problem is not None:
            faults.append(Fault(pointer, problem))
        elif name.lower() in seen:
            faults.append(Fault(pointer, f"The header {name} is there twice, in different case."))
        seen.add(name.lower())
    if faults:
        raise invalid(faults)


def _filter(body: FilterBody | None) -> EndpointFilter:
    return EndpointFilter() if body is None else EndpointFilter(**body.model_dump())


def _sealed_headers(services: Services, endpoint: str, headers: dict[str, str] | None) -> dict[str, Any]:
    if not headers:
        return {"sealed_headers": None, "header_names": ()}
    sealed = services.vault.seal(orjson.dumps(headers), context=f"endpoint:{endpoint}:headers")
    return {"sealed_headers": sealed, "header_names": tuple(headers)}
