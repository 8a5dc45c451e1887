"""What follows from a bounce or a complaint, whoever reports it?

What is known of the address changes (`relay.bounces` says how), and where an admin agent cannot be reached any
more, the partner's others are told, once. They are told first: whoever dies in between is asked again, by the
queue, the mail server or the provider, and does the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from relay.address_book import AddressBook
from relay.bounces import Report, Rules, Severity, judged
from relay.closed import SuppressionReason
from relay.config import Config
from relay.mail.notice import AgentNotice
from relay.model import Audience, Delivery, Partner
from relay.notices import Notice, tell
from relay.readers import Suppression, normalised
from relay.record import Recorder
from relay.services import Services
from relay.store import Store

_PAGE = 200


def bounces_of(services: Services) -> tuple[Bounces, Recorder]:
    """What takes reports in a web process, and what records them."""
    recorder = Recorder(services.log, services.store.counters)
    return Bounces(services.store, services.book, services.config, recorder), recorder


class Bounces:
    """Takes reports. Raises `StoreError`, `Contended` and VaultError, and is then to be asked again."""

    def __init__(self, store: Store, book: AddressBook, config: Config, recorder: Recorder) -> None:
        self._store = store
        self._book = book
        self._recorder = recorder
        self._locale = config.mail.default_locale
        bounces = config.bounces
        self._rules = Rules(
            bounces.soft_to_suppress, round(bounces.soft_within_seconds * 1000), bounces.complaints_to_suppress
        )

    async def take(self, report: Report, now_ms: int, *, of: Delivery | None = None) -> bool:
        """Draw the consequences; whether the address is suppressed because of this. `of` is the delivery it is
        about, where that is known. Safe to repeat."""
        if report.severity is Severity.NONE:
            return False
        before = await self._book.get(report.email)
        after = judged(before, report, self._rules, now_ms)
        if before == after:
            return False
        why = after.suppressed
        if why is not None and before.suppressed is None and why.reason is not SuppressionReason.COMPLAINT:
            incident = f"agent.bounced-{await self._book.name(report.email)}-{before.lifted}"
            async for partner in self._partners(report.email, of):
                await self._tell(partner, report.email, why, incident, now_ms)
        before, after = await self._book.change(
            report.email, lambda now: judged(now, report, self._rules, now_ms)
        )
        if before == after:
            return False
        self._recorder.reported(report.source, report.severity)
        if after.suppressed == before.suppressed or after.suppressed is None:
            return False
        self._recorder.suppressed(after.suppressed.reason, report.source, report.delivery)
        return True

    async def _partners(self, email: str, of: Delivery | None) -> AsyncIterator[Partner]:
        """Whose admin agent it is: of the delivery's partner, or, when no delivery is known, of any."""
        wanted = normalised(email)

        def has(partner: Partner) -> bool:
            return any(normalised(agent.email) == wanted for agent in partner.admin_agents)

        if of is not None:
            to = of.recipient
            if to.audience is not Audience.CUSTOMER and to.partner is not None:
                partner = await self._store.registry.get_partner(to.partner)
                if partner is not None and has(partner):
                    yield partner
            return
        after = None
        while True:
            page = await self._store.registry.list_partners(after, _PAGE)
            for partner in page.data:
                if has(partner):
                    yield partner
            after = page.next
            if after is None:
                return

    async def _tell(self, partner: Partner, email: str, why: Suppression, incident: str, now_ms: int) -> None:
        gone = normalised(email)
        agent = next(one for one in partner.admin_agents if normalised(one.email) == gone)
        others = [one for one in partner.admin_agents if normalised(one.email) != gone]
        shown = AgentNotice(
            at_ms=now_ms,
            partner=partner.name,
            name=agent.name,
            email=agent.email,
            status=why.status,
            detail=why.detail,
            for_good=why.reason is SuppressionReason.HARD_BOUNCE,
        )
        said = " ".join(part for part in (why.status, why.detail) if part and not why.detail.startswith(part + " "))
        notice = Notice(
            type=shown.type,
            incident=incident,
            about=f"notice {incident} {partner.key}",
            body=shown.body(),
            note=f"Mail to {agent.email} does not arrive." + (f" {said or why.detail}" if why.detail else ""),
        )
        await tell(self._store, notice, partner, others, self._locale, now_ms)
