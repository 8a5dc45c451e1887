"""What is told of a play, line by line?"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from relay.errors import RelayError


class What(StrEnum):
    """What a line tells of."""

    STEP = "step"
    """What somebody does now."""
    SYSTEM = "system"
    """What the transfer system says of it."""
    CALLED = "called"
    """A call of the transfer system to the relay, and how it was answered."""
    STATE = "state"
    """The relay has accepted an event: the state of the transfer."""
    POST = "post"
    """A POST to a partner, with its verdict."""
    MAIL = "mail"
    """An e-mail, with its subject."""
    NOBODY = "nobody"
    """Who was not told, and why."""
    END = "end"
    """The play is over; how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line. `who` did it or was told; `ok` says whether it went well."""

    number: int
    at_ms: int
    what: What
    text: str
    who: str = ""
    transfer: str = ""
    ok: bool = True


@dataclass
class Play:
    """A play as it goes. `state` is `playing`, `played` or `failed`; `statuses` are those of its transfer."""

    id: str
    life: str
    state: str = "playing"
    transfer: str = ""
    statuses: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def shown(self, after: int) -> dict[str, Any]:
        """As JSON, with the lines from the one numbered `after` on."""
        return {
            "id": self.id, "life": self.life, "state": self.state, "transfer": self.transfer or None,
            "statuses": self.statuses, "lines": [msgspec.to_builtins(line) for line in self.lines[after:]],
            "next": len(self.lines),
        }  # fmt: skip


class Broken(RelayError):
    """A play cannot go on; the message says why, and what to do."""
