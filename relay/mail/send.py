"""Which mail server is a message handed to, and when, if not now?

The servers in the operator's order: the first that is well takes it. One that is at fault before anything was said
of the message is left alone for a while, and the next is tried in the same attempt; a message that may have arrived
is handed to no other. Where none may be tried now, or a limit is used up, there is no attempt: only the time of the
next.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from relay.mail.pace import WarmUp, domain_of, rate_to, warming_rate
from relay.mail.server import Ending, MailServer, Manner, Sendable, parse_url
from relay.mail.settings import MailSettings, PlainTransport, TransportSettings, own_address
from relay.mail.standing import WELL, Patience, Standing, judged
from relay.mail.trust import trust_of
from relay.mail.verdict import Fault
from relay.model import Attempt, Outcome
from relay.retry import Again

ANSWER_BYTES = 4096
_ASKED_AGAIN_MS = 1_000
"""Somebody else's message is asking a server whether it is well."""

Pacer = Callable[[str, float, int], Awaitable[int]]
"""(what is limited, messages a minute, now) -> 0 when one may go, else when to ask again, in Unix ms."""


async def unlimited(_name: str, _per_minute: float, _now_ms: int) -> int:
    """No limit at all."""
    return 0


@dataclass(slots=True)
class Transport:
    """One mail server, and what this process knows of it. `asking`: a message is on its way there to find out
    whether it is well again."""

    name: str
    server: MailServer
    warm_up: WarmUp | None = None
    standing: Standing = WELL
    asking: bool = False


class Mailer:
    """Sends built messages, over one mail server or several.

    ConfigError for a `url` that names no server, and for a `ca_file` that holds no certificates. Without any server
    nothing is attempted: every message is to come again later. `pace` counts what is limited.
    """

    def __init__(self, config_mail: MailSettings, *, pace: Pacer = unlimited) -> None:
        self.transports = _transports(config_mail)
        self._limits = config_mail.domain_limits
        self._pace = pace
        self._patience = Patience(
            config_mail.suspicions,
            round(config_mail.probe_seconds * 1000),
            round(config_mail.probe_max_seconds * 1000),
        )

    async def attempt(self, *, number: int, message: Sendable, now_ms: int) -> Attempt | Again:
        """One attempt at `message`, which begins at `now_ms`; `Again` when it is not to be made now."""
        wait = await self._wait_for_domain(message, now_ms)
        if wait is not None:
            return wait
        begun = time.monotonic()
        told: list[str] = []
        last: Ending | None = None
        soonest = now_ms + self._patience.most_ms
        for transport in self.transports:
            ending = await self._over(transport, message, now_ms, begun)
            if isinstance(ending, int):
                soonest = min(soonest, ending)
                continue
            last = ending
            told.append(ending.detail if len(self.transports) == 1 else f"{transport.name}: {ending.detail}")
            if ending.verdict.fault is not Fault.SURE:
                break
            soonest = min(soonest, transport.standing.again_ms or soonest)
        if last is None:
            return Again(soonest, spent=False)
        elapsed = round((time.monotonic() - begun) * 1000)
        down = last.verdict.outcome is Outcome.TRANSPORT_DOWN
        return Attempt(
            number=number,
            at_ms=now_ms,
            duration_ms=elapsed,
            outcome=last.verdict.outcome,
            status=last.code,
            detail="; ".join(told),
            retry_after_s=max(1, -((now_ms + elapsed - soonest) // 1000)) if down else None,
            answer=last.answer.encode(errors="replace")[:ANSWER_BYTES].decode(errors="ignore"),
        )

    def shut(self, now_ms: int) -> Again | None:
        """When to come again, where no server is to be tried now: known before a message is even built."""
        waits = []
        for transport in self.transports:
            again_ms = self._not_before(transport, now_ms)
            if again_ms is None:
                return None
            waits.append(again_ms)
        return Again(min(waits, default=now_ms + self._patience.most_ms), spent=False)

    async def close(self) -> None:
        """Closes every connection that is idle."""
        for transport in self.transports:
            await transport.server.close()

    async def probe(self) -> list[str]:
        """What is wrong with the servers, one sentence each; empty when mail can be handed to all of them."""
        if not self.transports:
            return ["mail.url: no mail server is configured"]
        problems = []
        for transport in self.transports:
            ending = await transport.server.probe()
            if ending is not None:
                said = f" ({ending.code} {ending.answer})" if ending.code else ""
                where = "mail.url" if len(self.transports) == 1 else f"mail server {transport.name}"
                problems.append(f"{where}: {ending.detail}{said}")
        return problems

    async def _wait_for_domain(self, message: Sendable, now_ms: int) -> Again | None:
        domain = domain_of(message.to)
        rate = rate_to(domain, self._limits) if self._limits else None
        if rate is None:
            return None
        again_ms = await self._pace(f"to:{domain}", rate, now_ms)
        return Again(again_ms, spent=False) if again_ms else None

    async def _over(self, transport: Transport, message: Sendable, now_ms: int, begun: float) -> Ending | int:
        """What became of the message over this server; or when to come again, where it is not tried."""
        async with transport.server.turns:
            now = now_ms + round((time.monotonic() - begun) * 1000)
            again_ms = self._not_before(transport, now)
            if again_ms is not None:
                return again_ms
            rate = warming_rate(transport.warm_up, now)
            if rate is not None and (full_until := await self._pace(f"over:{transport.name}", rate, now)):
                return full_until
            asks = not transport.standing.is_up
            transport.asking = transport.asking or asks
            try:
                ending = await transport.server.carry(message)
            finally:
                if asks:
                    transport.asking = False
            now = now_ms + round((time.monotonic() - begun) * 1000)
            transport.standing, verdict = judged(
                transport.standing,
                ending.verdict,
                mailbox=message.to,
                detail=ending.detail,
                patience=self._patience,
                now_ms=now,
                chance=random.random(),
            )
            return Ending(verdict, ending.detail, ending.code, ending.answer)

    def _not_before(self, transport: Transport, now_ms: int) -> int | None:
        """When to come again; None when the server may be tried. Those that wait come over as long a time as it was
        away, not all in the moment it is asked."""
        standing = transport.standing
        if standing.again_ms is None or (not transport.asking and now_ms >= standing.again_ms):
            return None
        away = min(max(now_ms - (standing.since_ms or now_ms), _ASKED_AGAIN_MS), self._patience.most_ms)
        return max(standing.again_ms, now_ms + _ASKED_AGAIN_MS) + round(random.random() * away)


def _transports(config_mail: MailSettings) -> list[Transport]:
    hello = own_address(config_mail).domain
    chosen: list[tuple[str, TransportSettings]] = []
    if config_mail.url:
        chosen.append(("mail.url", PlainTransport(config_mail.url)))
    chosen += [(f"mail.transports.{at}.url", one) for at, one in enumerate(config_mail.transports)]
    made: list[Transport] = []
    for setting, one in chosen:
        server = parse_url(one.url, setting)
        manner = Manner(
            hello=hello,
            start_tls=one.start_tls or config_mail.start_tls,
            tls_context=trust_of(one.ca_file or config_mail.ca_file),
            connections=one.connections or config_mail.connections,
            connect_timeout_s=config_mail.connect_timeout_seconds,
            command_timeout_s=config_mail.command_timeout_seconds,
            data_timeout_s=config_mail.data_timeout_seconds,
        )
        name = one.name or f"{server.host}:{server.port}"
        made.append(Transport(name, MailServer(server, manner), one.warm_up))
    return made
