"""Where can a person or a tool read what the API is?

`/openapi.json` for tools, `/docs` for people: the same document as one page, made on the server, with
nothing loaded from elsewhere.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import orjson
from aiohttp import web

from relay.api import pages
from relay.api.openapi import document as make_document
from relay.services import SERVICES


async def home(request: web.Request) -> web.Response:
    """Who opens the bare address is led to what can be read."""
    return web.Response(status=302, headers={"Location": "/docs"})


async def document(request: web.Request) -> web.Response:
    """The OpenAPI document."""
    return web.Response(body=orjson.dumps(_document(_server(request))), content_type="application/json")


async def page(request: web.Request) -> web.Response:
    """The same, to read."""
    made = _document(_server(request))
    return pages.page(
        "docs.html",
        title=made["info"]["title"],
        version=made["info"]["version"],
        about=made["info"]["description"],
        groups=_groups(made),
        webhooks=[
            {"name": name, "about": hook["post"]["summary"], "example": _example(hook)}
            for name, hook in made["webhooks"].items()
        ],
        schemas={
            name: json.dumps(schema, ensure_ascii=False, indent=2)
            for name, schema in sorted(made["components"]["schemas"].items())
        },
    )


def _server(request: web.Request) -> str:
    return request.app[SERVICES].config.server.base_url


@lru_cache(maxsize=4)
def _document(server: str) -> dict[str, Any]:
    from relay.api.routes import ALL  # the table names this module's handlers

    return make_document(ALL, server=server)


def _groups(made: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            groups.setdefault(operation["tags"][0], []).append(
                {
                    "method": method.upper(),
                    "path": path,
                    "id": operation["operationId"],
                    "summary": operation["summary"],
                    "about": operation["description"],
                    "parameters": operation.get("parameters", []),
                    "body": _shape_name(content.get("schema")),
                    "answers": [
                        {"status": status, "about": said["description"], "shape": _answer_shape(said)}
                        for status, said in operation["responses"].items()
                    ],
                }
            )
    return groups


def _answer_shape(said: dict[str, Any]) -> str | None:
    schemas = [content.get("schema") for content in said.get("content", {}).values()]
    return _shape_name(schemas[0]) if schemas else None


def _shape_name(schema: dict[str, Any] | None) -> str | None:
    """The name of the schema that this one is, or is a list of."""
    if not schema:
        return None
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    inner = schema.get("items") or schema.get("properties", {}).get("data", {}).get("items")
    return _shape_name(inner or next(iter(schema.get("oneOf", ())), None))


def _example(hook: dict[str, Any]) -> str:
    example = hook["post"]["requestBody"]["content"]["application/json"].get("example")
    return "" if example is None else json.dumps(example, ensure_ascii=False, indent=2)
