"""How is a page for a person made?

Jinja2 with autoescape over `templates/portal/`, and headers under which a page can run no script, load
nothing from elsewhere and stand in no frame. Pages use no inline style either: `/static/portal.css`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from relay.data import templates_dir

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: with it, browsers say `Origin: null` to our own forms too.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def page(template: str, *, status: int = 200, **values: Any) -> web.Response:
    """The page of a template."""
    text = _environment().get_template(template).render(**values)
    return web.Response(text=text, status=status, content_type="text/html", headers=SECURITY_HEADERS)


async def stylesheet(request: web.Request) -> web.Response:
    """The one style sheet."""
    headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
    return web.Response(text=_css(), content_type="text/css", charset="utf-8", headers=headers)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_folder()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["code"] = _code
    return made


def _code(text: str) -> Markup:
    """Text in which `backticks` mark code, as HTML."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(text.split("`"))
    )


@lru_cache(maxsize=1)
def _css() -> str:
    return (_folder() / "portal.css").read_text("utf-8")


def _folder() -> Path:
    return templates_dir() / "portal"
