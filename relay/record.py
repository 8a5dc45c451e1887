"""What happened?

Said once: one canonical log line and one count for each thing.

Every name of a log event and of a log field is here, and no value of any is a secret: ids, types,
outcomes, numbers. Metrics go to the store's counters, so that any process can answer for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from structlog.typing import FilteringBoundLogger

from relay.accounts import Missing
from relay.model import Attempt, Channel, Delivery, Outcome
from relay.retry import Again, Decision, Settled
from relay.store.counters import Counters


@cache
def _events(status: str) -> str:
    return f"relay_events_total|status={status}"


@cache
def _attempts(channel: Channel, outcome: Outcome) -> str:
    return f"relay_attempts_total|channel={channel}|outcome={outcome}"


@cache
def _settled(channel: Channel, status: str) -> str:
    return f"relay_deliveries_settled_total|channel={channel}|status={status}"


class Recorder:
    """Writes the log lines and counts."""

    def __init__(self, log: FilteringBoundLogger, counters: Counters) -> None:
        self._log = log.bind()
        self._counters = counters

    def received(self, *, status: str, event_id: str, type: str, transfer: str, seconds: float) -> None:
        """One event was answered: `accepted`, `duplicate`, `conflict`, `refused`, `forbidden`."""
        self._counters.add(_events(status))
        self._counters.observe("relay_accept_seconds", seconds)
        self._log.info("event." + status, event_id=event_id, type=type, transfer=transfer)

    def derived(self, *, event_id: str, type: str, transfer: str) -> None:
        """The relay itself concluded an event."""
        self._counters.add("relay_events_total|status=derived")
        self._log.info("event.derived", event_id=event_id, type=type, transfer=transfer)

    def missing(self, one: Missing) -> None:
        """Something of an accepted event does not add up."""
        self._log.error(
            "accounts.missing", transfer=one.transfer, sequence=one.sequence, delivery=one.delivery, detail=one.detail
        )

    def invalid(self) -> None:
        """One request or event of an array did not pass validation."""
        self._counters.add("relay_events_total|status=invalid")

    def attempted(self, delivery: Delivery, attempt: Attempt, decision: Decision, now_ms: int) -> None:
        """One attempt of a delivery ended."""
        channel = delivery.recipient.channel
        self._counters.add(_attempts(channel, attempt.outcome))
        self._counters.observe("relay_attempt_seconds", attempt.duration_ms / 1000)
        if attempt.number == 1:
            waited = max(0, attempt.at_ms - delivery.created_at_ms) / 1000
            self._counters.observe("relay_first_attempt_seconds", waited)
        again = decision.at_ms - now_ms if isinstance(decision, Again) else None
        self._log.info(
            "delivery.attempted",
            delivery=delivery.id,
            event_id=delivery.event_id,
            type=delivery.type,
            transfer=delivery.transfer,
            channel=channel,
            number=attempt.number,
            outcome=attempt.outcome,
            status=attempt.status,
            ms=attempt.duration_ms,
            next_in_ms=again,
            settled=isinstance(decision, Settled),
        )

    def concluded(self, delivery: Delivery, decision: Decision) -> None:
        """An attempt was the last of its delivery, when it was."""
        if isinstance(decision, Settled):
            self.settled(delivery, "delivered" if decision.delivered else "exhausted", reason=decision.reason)

    def settled(self, delivery: Delivery, status: str, *, reason: str = "") -> None:
        """A delivery came to its end."""
        channel = delivery.recipient.channel
        self._counters.add(_settled(channel, status))
        self._counters.owe(channel, -1)
        if status != "delivered":
            self._log.warning(
                "delivery." + status, delivery=delivery.id, transfer=delivery.transfer, reason=reason
            )

    def left(self, counts: Mapping[str, int], behind_s: float) -> None:
        """Retention took these, by kind, and is so far behind what it is to take."""
        for kind, count in counts.items():
            self._counters.add(f"relay_retention_total|kind={kind}", count)
        self._log.info("retention.left", behind_s=round(behind_s), **counts)

    def switched(self, endpoint: str, breaker: str) -> None:
        """An endpoint's breaker opened, or went on to ramp up, or closed."""
        self._counters.add(f"relay_breaker_switches_total|to={breaker}")
        self._log.info("breaker." + breaker, endpoint=endpoint)

    def reported(self, source: str, severity: str) -> None:
        """A bounce or complaint came that counts."""
        self._counters.add(f"relay_bounces_total|source={source}|severity={severity}")

    def returned(self, outcome: str, delivery: str | None) -> None:
        """A message came to the bounce mailbox."""
        self._counters.add(f"relay_returned_total|outcome={outcome}")
        self._log.info("mail.returned", outcome=outcome, delivery=delivery)

    def suppressed(self, reason: str, source: str, delivery: str | None) -> None:
        """Nothing more is mailed to an address."""
        self._counters.add(f"relay_suppressions_total|reason={reason}")
        self._log.warning("mail.suppressed", reason=reason, source=source, delivery=delivery)

    def mail_down(self, server: str, detail: str) -> None:
        """A mail server is at fault, and is left alone for a while."""
        self._counters.add(f"relay_mail_server_failures_total|server={server}")
        self._counters.add(f"relay_mail_server_down|server={server}")
        self._log.warning("mail.down", server=server, detail=detail)

    def mail_up(self, server: str, lasted_s: int) -> None:
        """A mail server takes messages again."""
        self._counters.add(f"relay_mail_server_down|server={server}", -1)
        self._log.warning("mail.up", server=server, lasted_s=lasted_s)

    def failed(self, delivery: Delivery) -> None:
        """The relay itself failed while sending; called while the exception is being handled."""
        self._counters.add("relay_internal_errors_total")
        self._log.exception("delivery.failed", delivery=delivery.id, transfer=delivery.transfer)
