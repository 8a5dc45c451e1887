"""Does an endpoint agree to be sent webhooks, and how many?

The abuse protection of CloudEvents' HTTP webhooks (1.0, section 4): an `OPTIONS` request to the very URL says
who asks, and the answer names who may send. The status means nothing, consent is the header alone; what is
not consent is a refusal. No callback is offered: an endpoint answers now, or is asked again.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp import ClientTimeout

from relay.model import Outcome
from relay.outcomes import explain
from relay.webhook import WebhookSender

REQUEST_ORIGIN: Final = "WebHook-Request-Origin"
REQUEST_RATE: Final = "WebHook-Request-Rate"
ALLOWED_ORIGIN: Final = "WebHook-Allowed-Origin"
ALLOWED_RATE: Final = "WebHook-Allowed-Rate"
_RATE = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Consent:
    """What an endpoint answered. `rate` is requests a minute, None for as many as there are. `outcome` is
    ACCEPTED for every answer, consent or not; `detail` says in words why there is none."""

    given: bool
    outcome: Outcome
    rate: int | None = None
    detail: str = ""


async def ask(sender: WebhookSender, url: str, origin: str, rate: int | None) -> Consent:
    """Ask the endpoint at `url` whether `origin` may send it webhooks, `rate` a minute (None: no rate is named).
    Goes through the guarded session, follows no redirect and reads no body."""
    target = sender.target(url)
    if isinstance(target, str):
        return Consent(given=False, outcome=Outcome.BLOCKED, detail=target)
    headers = {REQUEST_ORIGIN: origin} | ({} if rate is None else {REQUEST_RATE: str(rate)})
    try:
        async with asyncio.timeout(sender.timeout_s):
            response = await sender.session.options(
                target, headers=headers, allow_redirects=False, timeout=ClientTimeout(total=None)
            )
            response.close()
    except (aiohttp.ClientError, OSError) as error:
        outcome, detail = explain(error)
        return Consent(given=False, outcome=outcome, detail=detail)
    return judge(response.headers.get(ALLOWED_ORIGIN), response.headers.get(ALLOWED_RATE), origin, response.status)


def judge(allowed: str | None, rate: str | None, origin: str, status: int) -> Consent:
    """What the two headers of an answer mean."""
    cure = f"answer OPTIONS with `{ALLOWED_ORIGIN}: {origin}`"
    if allowed is None:
        why = f"It answered {status} to OPTIONS without {ALLOWED_ORIGIN}, which is no consent; {cure}."
        return Consent(given=False, outcome=Outcome.ACCEPTED, detail=why)
    names = {name.strip().casefold() for name in allowed.split(",")}
    if not names & {"*", origin.casefold()}:
        why = f"It allows another origin than {origin}; {cure}."
        return Consent(given=False, outcome=Outcome.ACCEPTED, detail=why)
    if rate is None or rate.strip() == "*":
        return Consent(given=True, outcome=Outcome.ACCEPTED)
    if not _RATE.fullmatch(rate.strip()):
        why = f"Its {ALLOWED_RATE} is neither * nor a number of requests a minute; {cure} and one of the two."
        return Consent(given=False, outcome=Outcome.ACCEPTED, detail=why)
    return Consent(given=True, outcome=Outcome.ACCEPTED, rate=int(rate))
