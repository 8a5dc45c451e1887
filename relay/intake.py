"""Is this body an event, and if not, what is wrong with it, all of it at once?

Bytes in; an `Event` with the value it was read from, or every problem with its JSON pointer (RFC 6901)
and the cure. JSON here is RFC 8259 without its ambiguities: no duplicate names, no NaN, no lone
surrogates, no nesting beyond 32.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from relay.model import Event, check_event

MOST_EVENTS = 500
_MOST_DEPTH = 32
_SPACED_COLON = re.compile(rb'"[ \t\r\n]+:')
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
        super().__init__(f"{len(problems)} problem(s)")
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A sound event with the JSON value it came as."""

    event: Event
    value: dict[str, Any]

    def fingerprint(self) -> str:
        """Equal for the same parsed JSON, whatever the order of names and the white space."""
        canonical = orjson.dumps(self.value, option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(canonical, digest_size=16).hexdigest()

    def stored(self) -> bytes:
        """The event as it is kept: unknown fields and all, without the acceptance link."""
        transfer = self.value["transfer"]
        if "acceptance_url" not in transfer:
            return orjson.dumps(self.value)
        kept = {name: value for name, value in transfer.items() if name != "acceptance_url"}
        return orjson.dumps({**self.value, "transfer": kept})


def read_json(raw: bytes) -> Any:
    """The value of a JSON text. Raises Invalid."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Invalid(
            [Problem("", f"not JSON (line {error.lineno}, column {error.colno}); send one event or an array")]
        ) from None
    names = _count_names(value, 0)
    if names != raw.count(b'":') or _SPACED_COLON.search(raw) is not None:
        # Either a string holds `":`, or a name stands twice: the slow reader tells which.
        _refuse_duplicates(raw)
    return value


def parse(value: Any) -> Parsed:
    """An event from its JSON value. Raises Invalid with every problem."""
    if not isinstance(value, dict):
        raise Invalid([Problem("", "an event is a JSON object")])
    try:
        event = Event.model_validate(value)
    except ValidationError as error:
        raise Invalid(problems_of(error)) from None
    found = check_event(event)
    if found:
        raise Invalid([Problem(pointer, detail) for pointer, detail in found])
    return Parsed(event, value)


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


def _count_names(value: Any, depth: int) -> int:
    if depth > _MOST_DEPTH:
        raise Invalid([Problem("", f"nested deeper than {_MOST_DEPTH} levels")])
    if isinstance(value, dict):
        total = len(value)
        for inner in value.values():
            if isinstance(inner, (dict, list)):
                total += _count_names(inner, depth + 1)
        return total
    if isinstance(value, list):
        return sum(_count_names(inner, depth + 1) for inner in value if isinstance(inner, (dict, list)))
    return 0


def _refuse_duplicates(raw: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise Invalid([Problem("", f"the name {json.dumps(name)} stands twice in one object") for name in twice])
        return dict(pairs)

    json.loads(raw, object_pairs_hook=unique)
