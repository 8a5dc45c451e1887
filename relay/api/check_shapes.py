"""What do the checks of an endpoint answer?"""

from __future__ import annotations

from relay.api.shapes import AttemptShape, FindingShape, Shape
from relay.mistakes import Mistake


class MistakeShape(Shape):
    """What a receiver did wrong, and the cure."""

    mistake: Mistake
    explanation: str


class VerifyHelpShape(Shape):
    """Why a signature does not verify. `matches`: the signature is right for what was sent; `found`: a mistake
    is known. `signed` is the text whose UTF-8 bytes had to be signed."""

    matches: bool
    found: bool
    mistakes: list[MistakeShape]
    signed: str
    delivery: str | None
    attempt: int | None


class PreflightShape(Shape):
    """Whether an endpoint would take what is sent to it: `ok` when nothing found is a problem. `attempt` is the
    signed ping, null when it did not come to that."""

    ok: bool
    findings: list[FindingShape]
    attempt: AttemptShape | None
