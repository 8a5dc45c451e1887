"""Which e-mails did the mailbox of `relay up` catch?

For a program with the operator's token: a list. For a person who is signed in with that token, or with the
link that `relay up` prints: the list and one message. What a message says in HTML is shown in a frame
that may run, load and send nothing, since anybody's words can be in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiohttp import web

from relay.api import pages
from relay.api.operator_pages import OperatorPage
from relay.api.paging import NUMBER, Listing, Query, listed
from relay.api.problems import not_found
from relay.api.route import Access, Answer, Call, Route, answer, guarded
from relay.mail.preview import seen_as
from relay.services import SERVICES
from relay.store.mailbox import Mailbox, Message
from relay.times import format_ms

LISTING = Listing("mailbox", NUMBER)
_PAGE = OperatorPage("/mailbox", "Mailbox")
WIDTHS = ("320", "640", "1000")
SCHEMES = ("light", "dark")
_SHOWN = 100
_FRAME_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)


def add_pages(app: web.Application) -> None:
    """The mailbox's list and pages, where the mailbox is enabled; SERVICES and AUTH must be set."""
    if not app[SERVICES].config.mailbox.enabled:
        return
    app.router.add_get(_LIST.path, guarded(_LIST))
    _PAGE.add(app, show)
    app.router.add_get("/mailbox/messages/{id}/html", _PAGE.guarded(frame))


async def messages(call: Call) -> web.StreamResponse:
    """A page of the messages, newest first."""
    query = Query(call.request)
    asked = query.page(LISTING)
    query.check()
    page = await _mailbox(call.request).list(asked.after, asked.limit)
    shown = [{"id": one.id, "to": one.to, "subject": one.subject, "raw": one.raw} for one in page.data]
    return answer(listed(LISTING, page, shown))


_LIST = Route(
    "GET", "/mailbox/messages", "listMailbox", "Operation", Access.OPERATOR,
    "List what the mailbox caught", messages, (Answer(200, "A page of messages."),),
    reveals=True,
)  # fmt: skip


async def show(request: web.Request) -> web.StreamResponse:
    """The list, and the message that is asked for, or the newest."""
    mailbox = _mailbox(request)
    newest = (await mailbox.list(limit=_SHOWN)).data
    wanted = request.query.get("message")
    chosen = await mailbox.get(wanted) if wanted else next(iter(newest), None)
    response = pages.page(
        "mailbox.html",
        messages=newest,
        chosen=None if chosen is None else _opened(chosen),
        look=_look(request),
        sandbox=request.app[SERVICES].config.sandbox.page,
        when=lambda ms: format_ms(ms)[:19].replace("T", " "),
    )
    response.headers["Content-Security-Policy"] += "; frame-src 'self'"
    return response


async def frame(request: web.Request) -> web.StreamResponse:
    """The HTML of a message, for the frame."""
    message = await _mailbox(request).get(request.match_info["id"])
    html = None if message is None else _opened(message).html
    if html is None:
        raise not_found("message")
    headers = {
        **pages.SECURITY_HEADERS,
        "Content-Security-Policy": _FRAME_POLICY,
        "X-Frame-Options": "SAMEORIGIN",
    }
    scheme = _look(request).scheme
    shown = html if scheme == "own" else seen_as(html, dark=scheme == "dark")
    return web.Response(text=shown, content_type="text/html", charset="utf-8", headers=headers)


@dataclass(frozen=True, slots=True)
class Look:
    """How the HTML of a message is shown: as wide as the page (0) or so many pixels; own, light or dark."""

    width: int
    scheme: str


def _look(request: web.Request) -> Look:
    width, scheme = request.query.get("width", ""), request.query.get("scheme", "")
    return Look(int(width) if width in WIDTHS else 0, scheme if scheme in SCHEMES else "own")


@dataclass(frozen=True, slots=True)
class _Opened:
    message: Message
    sender: str
    text: str | None
    html: str | None


def _opened(message: Message) -> _Opened:
    parsed = message_from_bytes(message.raw.encode(), policy=policy.default)
    sender = " ".join(str(parsed.get("From", "")).split())
    return _Opened(message, sender, _part(parsed, "plain"), _part(parsed, "html"))


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    if part is None:
        return None
    try:
        return str(part.get_content())
    except (LookupError, KeyError):  # a character set or a type that Python does not know
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else None


def _mailbox(request: web.Request) -> Mailbox:
    return Mailbox(request.app[SERVICES].store.client)
