"""What form has an id, a name, a time or an address?

The types of the fields of relay.model; all but the private ones are names of it too.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from relay.times import to_ns


def _rfc3339(text: str) -> str:
    try:
        to_ns(text)
    except ValueError as problem:
        raise PydanticCustomError("time", str(problem)) from None
    return text


def _mailbox(text: str) -> str:
    """One address, as a producer or partner gave it. Whether mail reaches it is found out by sending."""
    if len(text) > 254 or not _ADDRESS.fullmatch(text):
        raise PydanticCustomError("email", "give one e-mail address, such as aoi@fabrikam.example")
    return text


def day(value: object) -> object:
    """Only what is written as a date: left alone, pydantic also reads numbers and times as days."""
    if isinstance(value, date) or (isinstance(value, str) and _DAY.fullmatch(value)):
        return value
    raise PydanticCustomError("day", "give a date, such as 2026-12-01")


def web_link(text: str) -> str:
    """An absolute link that a browser opens."""
    if not re.match(r"https?://[^\s/]", text, re.ASCII) or _CONTROL.search(text):
        raise PydanticCustomError("url", "give an absolute https link")
    return text


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\s]")
_ADDRESS = re.compile(r"[^-\x00-\x20\x7f()<>\[\],;:\\\"@%!][^\x00-\x20\x7f()<>\[\],;:\\\"@%!]{0,63}@[^-.\s\x00-\x20\x7f()<>\[\],;:\\\"@%!/][^\s\x00-\x20\x7f()<>\[\],;:\\\"@%!/]{0,252}")

EventId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x20\x7f]{1,128}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Timestamp = Annotated[
    str, StringConstraints(max_length=40), AfterValidator(_rfc3339), Field(json_schema_extra={"format": "date-time"})
]
Mailbox = Annotated[str, AfterValidator(_mailbox), Field(json_schema_extra={"format": "email"})]
Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")]
