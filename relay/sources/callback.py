"""What does a callback of Partner Center say?

The body is thin and varies (docs/sources.md): names drift in case, fields are null or missing, fractions
have six or seven digits, and the transfer's id stands only in `AuditUri`, in a last segment such as
`<partner>_<customer>_<transfer>_createtransfer_<.NET ticks>`. So everything is read defensively, and a
callback that says nothing of use is still a callback.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import orjson

from relay.model import EventType
from relay.times import from_ns, to_ns

MAX_CALLBACK_BYTES = 65_536
_GUID = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
_PATH = re.compile(r"/customers/([^/?#]+)/transfers/([^/?#]+)", re.IGNORECASE)
_CUSTOMER = re.compile(r"/customers/([^/?#]+)", re.IGNORECASE)
_TICKS = re.compile(r"(?<!\d)(6\d{17})(?!\d)")
_ESCAPE = re.compile(r"%([0-7][0-9A-Fa-f])")
_EPOCH_TICKS = 621_355_968_000_000_000
_SAFE = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)

SAYS = {
    "create": EventType.CREATED,
    "update": EventType.UPDATED,
    "complete": EventType.COMPLETED,
    "fail": EventType.FAILED,
    "expire": EventType.EXPIRED,
    "cancel": EventType.CANCELED,
}
"""What a transfer event is named by, in either order: `create-transfer` was seen, `transfer-created` would
follow the documented form. `cancel` has never been seen."""
_ENDINGS = ("d", "ed", "led")


@dataclass(frozen=True, slots=True)
class Callback:
    """What was understood. `says` is None where the name is none of `SAYS`; `occurred_at` is RFC 3339,
    None where the body has no time; `customer` and `transfer` are None where they are nowhere."""

    name: str
    says: EventType | None
    is_transfer: bool
    is_test: bool
    customer: str | None
    transfer: str | None
    occurred_at: str | None


def dedupe_key(raw: bytes) -> str:
    """What is equal for the same callback sent twice: the audit record's id, else the whole body."""
    fields = _fields(raw)
    segment = "" if fields is None else _last_segment(_text(fields, "audituri"))
    # Only an id that has its time in it names one event; a bare id could be that of a resource.
    about = segment.casefold().encode() if _TICKS.search(segment) or _GUID.search(segment) else raw
    return hashlib.blake2b(about, digest_size=16).hexdigest()


def read(raw: bytes) -> Callback | None:
    """A callback from its body; None when it is not a JSON object."""
    fields = _fields(raw)
    if fields is None:
        return None
    name = _text(fields, "eventname")
    resource, uri = _text(fields, "resourcename"), _unescaped(_text(fields, "resourceuri"))
    audit = _last_segment(_text(fields, "audituri"))
    says, named = _says(name, audit)
    found = _PATH.search(uri)
    customer, transfer = (found[1], found[2]) if found else _from_audit(audit)
    if customer is None and (one := _CUSTOMER.search(uri)):
        customer = one[1]
    return Callback(
        name=name[:128],
        says=says,
        is_transfer=named or resource.casefold() == "transfer" or found is not None,
        is_test=name.casefold() == "test-created",
        customer=_safe(customer),
        transfer=_safe(transfer),
        occurred_at=_time(_text(fields, "resourcechangeutcdate")) or _from_ticks(audit),
    )


def _fields(raw: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return None
    return {name.casefold(): one for name, one in value.items()} if isinstance(value, dict) else None


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value.strip() if isinstance(value, str) else ""


def _safe(id_: str | None) -> str | None:
    """An id that may stand in a path of a request of ours."""
    return id_ if id_ is not None and _SAFE.fullmatch(id_) else None


def _last_segment(uri: str) -> str:
    return _unescaped(re.split(r"[?#]", uri, maxsplit=1)[0].rstrip("/").rpartition("/")[2])


def _says(name: str, audit: str) -> tuple[EventType | None, bool]:
    """The type, and whether a transfer is what the name, or the audit record's operation, is about."""
    operation = next((part for part in audit.split("_") if part.isalpha() and "transfer" in part.lower()), "")
    for text in (name, operation):
        lowered = text.casefold()
        if "transfer" not in lowered:
            continue
        verb = lowered.replace("transfer", "").strip("-_. ")
        stems = (verb, *(verb.removesuffix(end) for end in _ENDINGS))
        return next((SAYS[stem] for stem in stems if stem in SAYS), None), True
    return None, False


def _from_audit(segment: str) -> tuple[str | None, str | None]:
    """The customer and the transfer of `<partner>_<customer>_<transfer>_<operation>_<ticks>`."""
    guids = _GUID.findall(segment)
    if len(guids) >= 3:
        return guids[1], guids[2]
    return (guids[1], None) if len(guids) == 2 else (None, None)


def _time(text: str) -> str | None:
    """RFC 3339; a time without a zone is UTC, as all of Partner Center's are."""
    for candidate in (text, f"{text}Z"):
        try:
            return candidate if to_ns(candidate) > 0 else None
        except ValueError:
            continue
    return None


def _from_ticks(segment: str) -> str | None:
    found = _TICKS.search(segment)
    if found is None:
        return None
    ns = (int(found[1]) - _EPOCH_TICKS) * 100
    return f"{from_ns(ns):%Y-%m-%dT%H:%M:%S}.{ns % 1_000_000_000 // 100:07d}Z" if ns > 0 else None


def _unescaped(text: str) -> str:
    """With its percent escapes of ASCII read (RFC 3986, section 2.1)."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
