"""What does Amazon SES tell, by SNS, of bounces and complaints?

Off, and then not there, until topics are in the configuration. A message is proven before anything follows from it
(`relay.mail.sns`). A genuine confirmation for a configured topic is answered by itself: whoever put the topic there wants
it. That a subscription ended is told to the operator, and never undone. 401 has SNS give up, 503 has it come again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
from aiohttp import ClientSession, web
from yarl import URL

from relay.api.limiting import asker_of
from relay.api.problems import Problem, not_found
from relay.api.provider_bounces import read_unproven, take_all
from relay.auth import NotAuthenticated
from relay.mail import providers, sns
from relay.mail.sns import SnsMessage, SnsType
from relay.services import SERVICES, Services, session_of
from relay.sources.certificates import CertificateAway, Certificates
from relay.sources.signature import Forged

_TIMEOUT_S = 10.0
"""SNS waits for 15 seconds."""
_CONNECTIONS = 4
_MOST_CONFIRMED = 256
_AGAIN = {"Retry-After": "30"}


class _Ses:
    """What the webhook holds open."""

    def __init__(self, services: Services, session: ClientSession) -> None:
        self._services = services
        self._session = session
        self._certificates = Certificates(session, _TIMEOUT_S, sns.check_certificate, services.clock)
        self.asker = asker_of(services.config.server.trusted_proxies)
        self._confirmed: deque[str] = deque(maxlen=_MOST_CONFIRMED)

    async def prove(self, raw: bytes, asker: str) -> SnsMessage:
        """The message, when SNS sent it; `asker` is the address it came from. Raises Forged, CertificateAway."""
        settings = self._services.config.bounces
        message = sns.read(raw)
        if message.topic not in settings.ses_topics:
            raise Forged("the topic is not among bounces.ses_topics")
        try:
            folder = settings.ses_url or sns.folder_of(message.topic)
            sns.check(message, folder, self._services.clock(), sha1=settings.ses_sha1)
            sns.prove(message, await self._certificates.signer(message.certificate_url, asker))
        except Forged as forged:
            # Nobody at SNS reads our answers, and a topic that is set up wrongly is the operator's to mend.
            self._services.log.warning("sns.refused", topic=message.topic, detail=str(forged))
            raise
        return message

    async def confirm(self, message: SnsMessage) -> None:
        """Accept the subscription. Problem 503 when that fails: SNS then asks again."""
        if message.id in self._confirmed:
            return
        try:
            url = URL(message.subscribe_url, encoded=True)
            async with self._session.get(url, allow_redirects=False) as answer:
                why = "" if answer.status == 200 else f"SNS answers {answer.status}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            why = f"SNS does not answer ({type(error).__name__})"
        if why:
            self._services.log.warning("sns.unconfirmed", topic=message.topic, detail=why)
            raise Problem(503, f"The subscription could not be confirmed: {why}.", headers=_AGAIN)
        self._confirmed.append(message.id)
        self._services.log.info("sns.confirmed", topic=message.topic)


_SES: web.AppKey[_Ses] = web.AppKey("ses", _Ses)


async def opened(app: web.Application) -> AsyncIterator[None]:
    """Hold open what the webhook needs, where it is set up (a `cleanup_ctx`)."""
    services = app[SERVICES]
    config = services.config
    if not config.bounces.ses_topics:
        yield
        return
    async with session_of(config, total_timeout_s=_TIMEOUT_S, limit=_CONNECTIONS) as session:
        app[_SES] = _Ses(services, session)
        yield


async def ses(request: web.Request) -> web.StreamResponse:
    """A message of SNS."""
    services = request.app[SERVICES]
    if not services.config.bounces.ses_topics:
        raise not_found("webhook")
    door = request.app[_SES]
    try:
        message = await door.prove(await read_unproven(request, services), door.asker(request))
    except Forged as forged:
        raise NotAuthenticated(str(forged)) from None
    except CertificateAway as away:
        raise Problem(503, f"{away}.", headers=_AGAIN) from None
    match message.type:
        case SnsType.SUBSCRIBE:
            await door.confirm(message)
        case SnsType.UNSUBSCRIBE:
            services.log.warning("sns.unsubscribed", topic=message.topic)
        case SnsType.NOTIFICATION:
            return await take_all(services, providers.ses(_event(message.text), message.id))
    return await take_all(services, ())


def _event(text: str) -> Any:
    """What SES published; the sentence that it tries a new topic with is no JSON and says nothing."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
