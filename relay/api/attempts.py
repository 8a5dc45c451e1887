"""How is one attempt shown?

A partner chooses what the relay dials, so what it is told of an address that was not reached is the
outcome alone: times and details would let it map the network the relay stands in.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.advice import advise, reached_nobody
from relay.api.shapes import AnswerShape, AttemptShape, RequestShape
from relay.model import Attempt
from relay.signing import ID_HEADER, TIMESTAMP_HEADER
from relay.times import format_ms


def shown(
    attempt: Attempt,
    *,
    for_operator: bool,
    method: str = "POST",
    url: str | None = None,
    body: str | None = None,
) -> AttemptShape:
    """An attempt as the API shows it. `body` and `url` are what was sent, and where to."""
    quiet = not for_operator and reached_nobody(attempt)
    return AttemptShape(
        number=attempt.number,
        at=format_ms(attempt.at_ms),
        duration_ms=None if quiet else attempt.duration_ms,
        outcome=attempt.outcome,
        status=attempt.status,
        detail="" if quiet else attempt.detail,
        explanation=advise(attempt, quiet=quiet),
        retry_after_s=attempt.retry_after_s,
        second_try=attempt.second_try,
        request=RequestShape(
            method=method,
            url=url,
            headers=attempt.request_headers,
            body=body,
            signed=None if body is None else _signed(attempt.request_headers, body),
        ),
        answer=None
        if attempt.status is None
        else AnswerShape(headers=attempt.answer_headers, body=attempt.answer),
    )


def _signed(headers: Mapping[str, str], body: str) -> str | None:
    """What was signed, if anything was."""
    if ID_HEADER not in headers or TIMESTAMP_HEADER not in headers:
        return None
    return f"{headers[ID_HEADER]}.{headers[TIMESTAMP_HEADER]}.{body}"
