"""What is a partner's admin agent told of an endpoint, or of another admin agent?

Three messages of an endpoint, one incident: a warning while it fails, that it was disabled, that it works again. One
of a person whom mail does not reach. The
body is stored and composed like a transfer's, so that these mails take the same way out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import orjson

from relay.model import Outcome
from relay.times import format_ms


class NoticeType(StrEnum):
    """Where in an incident the partner is told."""

    WARNED = "endpoint.warned"
    DISABLED = "endpoint.disabled"
    RECOVERED = "endpoint.recovered"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentNotice:
    """Mail to one admin agent does not arrive: what the others are told. `for_good` when the mailbox is not there,
    otherwise too many messages in a row failed. `status` and `detail` are what the other side said."""

    type: ClassVar[str] = "agent.bounced"
    at_ms: int
    partner: str
    name: str
    email: str
    status: str = ""
    detail: str = ""
    for_good: bool = True

    def body(self) -> bytes:
        """The bytes that `Composer.compose` takes."""
        data = {
            "agent": {"name": self.name, "email": self.email},
            "partner": {"name": self.partner},
            "status": self.status,
            "detail": self.detail,
            "for_good": self.for_good,
        }
        return orjson.dumps({"type": self.type, "timestamp": format_ms(self.at_ms), "data": data})


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointNotice:
    """One message about one endpoint; times are Unix milliseconds.

    `host` is the URL's host alone: a path may hold a secret. `status` is the HTTP status of the last
    attempt. `waiting` counts the deliveries not yet delivered. `disable_at_ms` goes with a warning.
    """

    type: NoticeType
    at_ms: int
    endpoint: str
    host: str
    partner: str
    description: str = ""
    first_failure_ms: int | None = None
    outcome: Outcome | None = None
    status: int | None = None
    waiting: int = 0
    disable_at_ms: int | None = None

    def body(self) -> bytes:
        """The bytes that `Composer.compose` takes."""
        data: dict[str, Any] = {
            "endpoint": {"id": self.endpoint, "host": self.host, "description": self.description},
            "partner": {"name": self.partner},
            "waiting": self.waiting,
        }
        if self.first_failure_ms is not None:
            data["first_failure_at"] = format_ms(self.first_failure_ms)
        if self.disable_at_ms is not None:
            data["disable_at"] = format_ms(self.disable_at_ms)
        if self.outcome is not None:
            data["last_attempt"] = {"outcome": self.outcome.value, "status": self.status}
        return orjson.dumps({"type": self.type.value, "timestamp": format_ms(self.at_ms), "data": data})
