"""What is a partner's admin agent told of an endpoint?

Three messages, one incident: a warning while it fails, that it was disabled, that it works again. The
body is stored and composed like a transfer's, so that these mails take the same way out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from relay.model import Outcome
from relay.times import format_ms


class NoticeType(StrEnum):
    """Where in an incident the partner is told."""

    WARNED = "endpoint.warned"
    DISABLED = "endpoint.disabled"
    RECOVERED = "endpoint.recovered"


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
