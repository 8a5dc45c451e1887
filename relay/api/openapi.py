"""What is the API, as an OpenAPI 3.1 document?

Made from the table of routes and the models that the handlers use, webhooks included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from relay import __version__
from relay.api import cloud_event as cloud
from relay.api import message, shapes
from relay.api.problems import CONTENT_TYPE
from relay.api.route import Access, Answer, Route
from relay.formats import MEDIA
from relay.model import PING, Event, EventType, WebhookFormat

_REF = "#/components/schemas/{model}"
_ORIGIN = "webhook-request-origin"
_VARIABLE = re.compile(r"{(\w+)}")

_WHO = {
    Access.OPERATOR: "For the operator.",
    Access.PARTNER: "For the partner itself and the operator.",
    Access.MEMBER: "For every partner, each of its own only, and the operator.",
    Access.PRODUCER: "For producers and the operator.",
}
_PARTS = {
    "partner": "The partner's id, in any case.",
    "transfer": "The transfer's id, in any case.",
}
_FORMATS = (
    "As an endpoint is told whose `format` is `standard` or `cloudevents`. One of the format `partner_center` is posted "
    "Partner Center's own callbacks, signed by its scheme as well; `callbacks` of the endpoint says what to trust."
)
_LATER = frozenset({429, 503})
_RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
_REFUSALS = {
    401: "Nobody is proven to be asking.",
    403: "Whoever asks may not do this.",
    404: "There is no such thing, or it is another partner's.",
    408: "The body did not come in time.",
    409: "It cannot be done as things stand.",
    413: "The request is too large.",
    415: "The body has a Content-Encoding, or is in a format that is not taken.",
    422: "The input is wrong: `errors` has everything that is, each with its place.",
    429: "Too many requests; `Retry-After` says when to come again.",
    503: "The relay cannot do this just now; `Retry-After` says when to come again.",
}
_ABOUT = """Tells both sides of a transfer, and the customer: signed webhooks, e-mail and an activity log.

Send your token as `Authorization: Bearer <token>`. Lists answer `{"data": [...], "next": cursor or null}`;
give `next` as `after` for the following page. A query parameter that a list does not have is refused (422), and so is
one that is given twice. Errors are `application/problem+json` (RFC 9457)."""


def document(routes: Iterable[Route], *, server: str | None = None) -> dict[str, Any]:
    """The document of these routes; `server` is the public URL."""
    routes = list(routes)
    models = {route.body for route in routes if route.body is not None}
    models |= {answer.shape for route in routes for answer in route.answers if answer.shape is not None}
    inputs: set[type[BaseModel]] = {route.body for route in routes if route.body is not None}
    inputs |= {Event, cloud.CloudEvent}
    outputs = (models - inputs) | {shapes.ProblemShape}
    # The name of the mode only matters where a model has both, and none here is both asked and answered.
    refs, definitions = models_json_schema(
        [
            *((model, "validation") for model in sorted(inputs, key=_name)),
            *((model, "serialization") for model in sorted(outputs, key=_name)),
        ],
        ref_template=_REF,
    )
    pointers: dict[type, Any] = {model: schema for (model, _), schema in refs.items()}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, pointers)
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Transfer relay", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "webhooks": {type_.value: _webhook(type_.value, message.ABOUT[type_], message.schema(type_),
                                           message.example(type_)) for type_ in EventType}
        | {PING: _webhook(PING, "A test of the endpoint.", message.ping_schema(), None)},
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "webhook-signature",
                    "description": "Standard Webhooks: with `webhook-id` and `webhook-timestamp`.",
                },
            },
        },
    }  # fmt: skip
    if server:
        made["servers"] = [{"url": server}]
    return made


def _operation(route: Route, pointers: dict[type, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "description": " ".join(filter(None, (route.about, _WHO.get(route.access)))),
        "responses": {str(answer.status): _answer(answer, pointers) for answer in route.answers},
        "security": _security(route.access),
    }
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "description": _PARTS.get(name, f"The {name}'s id."),
        }
        for name in _VARIABLE.findall(route.path)
    ]
    parameters += [
        {"name": param.name, "in": "query", "schema": param.schema, "description": param.about}
        for param in route.query
    ]
    if parameters:
        said["parameters"] = parameters
    if route.access is Access.PRODUCER:
        event = pointers[Event]
        batch = {"type": "array", "items": event, "minItems": 1, "maxItems": 500}
        said["requestBody"] = body = _json_body({"oneOf": [event, batch]}, required=True)
        cloud_event = pointers[cloud.CloudEvent]
        body["content"] |= {
            cloud.STRUCTURED: {"schema": cloud_event},
            cloud.BATCH: {"schema": {"type": "array", "items": cloud_event, "minItems": 1, "maxItems": 500}},
        }
    elif route.raw:
        said["requestBody"] = {"required": True, "content": {route.raw: {"schema": {"type": "string"}}}}
    elif route.body is not None:
        required = any(field.is_required() for field in route.body.model_fields.values())
        said["requestBody"] = _json_body(pointers[route.body], required=required)
    problem = {"$ref": _REF.format(model=shapes.ProblemShape.__name__)}
    for status in sorted(_refusals(route)):
        answer: dict[str, Any] = {
            "description": _REFUSALS[status],
            "content": {CONTENT_TYPE: {"schema": problem}},
        }
        if status in _LATER:
            answer["headers"] = {"Retry-After": _RETRY_AFTER}
        own = said["responses"].get(str(status), {})  # where a route has a shape of its own for it as well
        said["responses"][str(status)] = answer | own | {"content": answer["content"] | own.get("content", {})}
    return said


def _refusals(route: Route) -> set[int]:
    """Every status but success that this route can answer with: there is no other."""
    if route.access is Access.PUBLIC:
        return {*route.refuses, 404} if "{" in route.path else set(route.refuses)
    found = {401, 403, 429, 503, *route.refuses}
    if "{" in route.path:
        found.add(404)
    if route.query:
        found.add(422)
    if route.body is not None or route.raw or route.access is Access.PRODUCER:
        found |= {408, 413, 415, 422}
    return found


def _answer(answer: Answer, pointers: dict[type, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"description": answer.about}
    if answer.status == 204:
        return said
    schema: dict[str, Any] = {"type": "string"} if answer.media.startswith("text/") else {"type": "object"}
    if answer.shape is not None:
        schema = pointers[answer.shape]
    if answer.status == 207:
        schema = {"type": "array", "items": schema}
    if answer.many:
        schema = {
            "type": "object",
            "required": ["data", "next"],
            "properties": {
                "data": {"type": "array", "items": schema},
                "next": {"type": ["string", "null"]},
            },
        }
    said["content"] = {answer.media: {"schema": schema}}
    if answer.table:
        said["content"]["text/csv"] = {"schema": {"type": "string"}}
    return said


def _webhook(
    type_: str, about: str, schema: dict[str, Any], example: dict[str, Any] | None
) -> dict[str, Any]:
    headers = {
        "webhook-id": "The event's id; the same on every attempt.",
        "webhook-timestamp": "When this attempt was made, in Unix seconds.",
        "webhook-signature": "`v1,<base64>` of HMAC-SHA256 over `{id}.{timestamp}.{body}`; several, with a "
        "space between, while a secret is being replaced; `v1a,<base64>` of Ed25519 too where the endpoint is "
        "`asymmetric`.",
        _ORIGIN: "Who sends; only where the endpoint was asked for its consent (`handshake`).",
    }
    text = {"type": "string"}
    body = _json_body(_inlined(schema), required=True)
    if example is not None:
        body["content"]["application/json"]["example"] = example
    body["content"][MEDIA[WebhookFormat.CLOUDEVENTS]] = {"schema": _enveloped(_inlined(schema))}
    return {
        "post": {
            "operationId": type_,
            "tags": ["Webhooks"],
            "summary": about,
            "description": _FORMATS,
            "parameters": [
                {"name": name, "in": "header", "required": name != _ORIGIN, "schema": text, "description": said}
                for name, said in headers.items()
            ],
            "requestBody": body,
            "security": [],
            "responses": {
                "2XX": {"description": "Taken."},
                "410": {"description": "Send nothing here any more: the endpoint is disabled."},
                "default": {"description": "Not taken; it is tried again."},
            },
        }
    }


def _enveloped(schema: dict[str, Any]) -> dict[str, Any]:
    """The same as a CloudEvent, for endpoints of that format."""
    text, named = {"type": "string"}, schema["properties"]
    properties = {
        "specversion": {"const": "1.0"},
        "id": text,
        "source": text,
        "type": named["type"],
        "time": named["timestamp"],
        "subject": text,
        "datacontenttype": {"const": "application/json"},
        "data": named["data"],
    }
    required = [name for name in properties if name != "subject"]
    return {"type": "object", "required": required, "properties": properties}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that is complete in itself, without `$defs`: a pointer into it would have to know where in
    the document it stands."""
    definitions = schema.get("$defs", {})

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            ref = value.get("$ref")
            if isinstance(ref, str):
                rest = {key: one for key, one in value.items() if key != "$ref"}
                return walk(definitions[ref.rpartition("/")[2]] | rest)
            return {key: walk(one) for key, one in value.items() if key not in ("$defs", "$schema")}
        if isinstance(value, list):
            return [walk(one) for one in value]
        return value

    made: dict[str, Any] = walk(schema)
    return made


def _json_body(schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _security(access: Access) -> list[dict[str, list[str]]]:
    match access:
        case Access.PUBLIC:
            return []
        case Access.PRODUCER:
            return [{"bearer": []}, {"signature": []}]
    return [{"bearer": []}]


def _name(model: type[BaseModel]) -> str:
    return model.__name__
