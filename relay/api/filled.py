"""What did a person fill in, or a mail service for them?

Forms of pages, urlencoded or multipart. They come from whoever reaches the page: a form that cannot be read, is too
long or comes too slowly is the sender's fault, and files in it are nothing.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from relay.api.problems import Fault, Problem, invalid
from relay.services import SERVICES

MOST_BYTES = 16_384
_UNREADABLE = (ValueError, LookupError, RuntimeError, AssertionError, HttpProcessingError)
"""What aiohttp and the standard library raise for multiparts, charsets and encodings that are none."""


async def read_form(request: web.Request) -> dict[str, str]:
    """The form's fields; of two with one name, the last. Problem 408, 413, 415 or 422 when it cannot be read."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "Send the form as it is, without a Content-Encoding.")
    if (request.content_length or 0) > MOST_BYTES:
        raise Problem(413, f"A form is at most {MOST_BYTES} bytes.")
    try:
        async with asyncio.timeout(request.app[SERVICES].config.server.body_timeout_seconds):
            # The limit of the whole application is meant for events.
            fields = await request.clone(client_max_size=MOST_BYTES).post()
    except TimeoutError:
        raise Problem(408, "The form did not arrive in time.") from None
    except _UNREADABLE:
        raise invalid([Fault("", "this is no form that can be read: send UTF-8, urlencoded or multipart")]) from None
    return {name: value for name, value in fields.items() if isinstance(value, str)}
