"""Is this body an event, and if not, what is wrong with it, all of it at once?

Bytes in; an `Event` with the text that is kept of it, or every problem with its JSON pointer (RFC 6901)
and the cure. JSON here is RFC 8259 without its ambiguities: no duplicate names, no NaN, no lone
surrogates, no nesting beyond 32.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from relay.model import MOVES_TO, Event, EventType, Kind

MOST_EVENTS = 500
_MOST_DEPTH = 32
_MOST_NAMES_TOLD = 20
_ESCAPED = re.compile(rb"\\u00(?:22|3[aA])")
"""Spellings of `":` that a plain count does not see: an escaped quote or colon."""
_judge = Event.__pydantic_validator__.validate_python
"""What `Event.model_validate` does, without looking for options that are not there."""
_STATUS_OF = {type_.value: status.value for type_, status in MOVES_TO.items()}
_SUBSCRIPTION, _SIM, _EXPIRED = Kind.SUBSCRIPTION.value, Kind.SIM.value, EventType.EXPIRED.value
_PLAIN = {
    "missing": "required",
    "extra_forbidden": "not known here",
    "string_pattern_mismatch": "has characters, or a length, that are not allowed here",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "tuple_type": "must be an array",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a body, and where (RFC 6901; "" is the whole body)."""

    pointer: str
    detail: str


class Invalid(Exception):
    """A body with problems. Raised at the edge and answered 422."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("1 problem" if len(problems) == 1 else f"{len(problems)} problems")
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A sound event, and the JSON that it came as.

    `written` is that JSON without white space; `stored` is it as it is kept, unknown fields and all, without the
    acceptance link. `fingerprint` is equal for the same JSON, whatever the order of names and the white space.
    """

    event: Event
    written: bytes
    stored: bytes
    fingerprint: str


def read_json(raw: bytes) -> Any:
    """The value of a JSON text. Raises Invalid."""
    return read_and_write(raw)[0]


def read_and_write(raw: bytes) -> tuple[Any, bytes]:
    """The value of a JSON text, and the text that says the same without white space. Raises Invalid."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Invalid(
            [Problem("", f"not JSON (line {error.lineno}, column {error.colno}); send one event or an array")]
        ) from None
    if raw.count(b"{") + raw.count(b"[") > _MOST_DEPTH:
        _check_depth(value, 0)
    # Written again, a value has each of its names once. When it has as many as came in, none was there
    # twice; when not, or when a spelling could hide one, the slow reader tells.
    written = orjson.dumps(value)
    # White space before a colon is left out of the count; in a text it can only make the count too large.
    names = raw.translate(None, b" \t\r\n").count(b'":')
    if written.count(b'":') != names or (b"\\" in raw and _ESCAPED.search(raw) is not None):
        _refuse_duplicates(raw)
    return value, written


def parse(value: Any, written: bytes | None = None) -> Parsed:
    """An event from its JSON value, and from the same as `read_and_write` wrote it, where it did. Raises Invalid with
    every problem."""
    if not isinstance(value, dict):
        raise Invalid([Problem("", "an event is a JSON object")])
    try:
        event: Event = _judge(value)
    except ValidationError as error:
        found = problems_of(error)
        told = {problem.pointer for problem in found}
        raise Invalid(found + [one for one in _across(value) if one.pointer not in told]) from None
    if across := _across(value):
        raise Invalid(across)
    written = written or orjson.dumps(value)
    return Parsed(event, written, _stored(value, written), fingerprint(value))


def fingerprint(value: dict[str, Any]) -> str:
    """32 hexadecimal digits that say whether two values are the same."""
    canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(canonical, digest_size=16).hexdigest()


def _stored(value: dict[str, Any], written: bytes) -> bytes:
    transfer = value["transfer"]
    if "acceptance_url" not in transfer:
        return written
    kept = {name: inner for name, inner in transfer.items() if name != "acceptance_url"}
    return orjson.dumps({**value, "transfer": kept})


def _across(value: dict[str, Any]) -> list[Problem]:
    """What the rules that span fields find wrong. They read the raw value, so that they are told together
    with the problems of single fields; what is missing or of a wrong type breaks no rule here."""
    found: list[Problem] = []
    transfer = _object(value, "transfer")
    kind, type_, status = transfer.get("kind"), value.get("type"), transfer.get("status")
    wanted = _STATUS_OF.get(type_) if isinstance(type_, str) else None
    if wanted is None or wanted != status:
        found += _of_status(type_, status, wanted)
    source, target = _object(transfer, "source").get("id"), _object(transfer, "target").get("id")
    if isinstance(source, str) and isinstance(target, str) and source.casefold() == target.casefold():
        found.append(Problem("/transfer/target/id", "source and target must be two different parties"))
    if kind == _SUBSCRIPTION:
        customer = transfer.get("customer")
        if customer is None:
            detail = "a subscription transfer needs its customer, with id and name"
            found.append(Problem("/transfer/customer", detail))
        elif isinstance(customer, dict):
            found += [
                Problem(f"/transfer/customer/{name}", "required of a subscription transfer")
                for name in ("id", "name")
                if customer.get(name) is None
            ]
    elif kind == _SIM:
        if type_ == _EXPIRED:
            found.append(Problem("/type", "a sim transfer does not expire"))
        if transfer.get("product_types"):
            found.append(Problem("/transfer/product_types", "a sim transfer has none; leave it out"))
    return found


def _of_status(type_: object, status: object, wanted: str | None) -> list[Problem]:
    if type_ == EventType.STALLED:
        return [Problem("/type", "transfer.stalled is derived by the relay; producers do not post it")]
    if wanted is not None and isinstance(status, str):
        return [Problem("/transfer/status", f"{type_} moves a transfer to {wanted}; make type and status agree")]
    return []


def _object(value: dict[str, Any], name: str) -> dict[str, Any]:
    inner = value.get(name)
    return inner if isinstance(inner, dict) else {}


def problems_of(error: ValidationError) -> list[Problem]:
    """A pydantic error as problems; never with the value that was given, which may be a secret."""
    found = []
    for one in error.errors(include_url=False, include_context=True, include_input=False):
        detail = _PLAIN.get(one["type"]) or one["msg"]
        found.append(Problem(pointer_of(one["loc"]), detail[0].lower() + detail[1:]))
    return found


def pointer_of(location: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)


def _check_depth(value: Any, depth: int) -> None:
    if depth > _MOST_DEPTH:
        raise Invalid([Problem("", f"nested deeper than {_MOST_DEPTH} levels")])
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(inner, (dict, list)):
            _check_depth(inner, depth + 1)


def _refuse_duplicates(raw: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            twice = sorted(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
            told = [f"the name {json.dumps(name)} stands twice in one object" for name in twice[:_MOST_NAMES_TOLD]]
            raise Invalid([Problem("", detail) for detail in told])
        return made

    try:
        json.loads(raw, object_pairs_hook=unique)
    except RecursionError:
        # Only under a name that stands twice: of what is kept, the depth is checked already.
        raise Invalid([Problem("", f"nested deeper than {_MOST_DEPTH} levels")]) from None
