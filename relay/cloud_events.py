"""Which event does a CloudEvent bring?

CloudEvents 1.0 over HTTP at the door for events: structured mode (the body is the CloudEvent), batch mode (an array
of them) and binary mode (the attributes are `ce-` headers, the body is the data). `id`, `type` and `time` are the
event's `id`, `type` and `occurred_at`; `data` is the rest of it: `transfer`, and `actor` where there is one. A
`type` may have a name of its producer in front, as CloudEvents advises (`com.contoso.transfer.created`).

`source` must be there and means nothing more: a producer is who its token says. Ids are unique in the installation,
whatever the source. Extension attributes are ignored, so that a trace may differ from try to try.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from relay.intake import Invalid, Parsed, Problem, parse

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
_ANY: Final = "application/cloudevents"
_JSON: Final = re.compile(r"(application|text)/([\w.-]+\+)?json", re.ASCII)
_TYPE: Final = re.compile(r"(?:[A-Za-z0-9-]+\.)+(transfer\.[a-z_]+)", re.ASCII)
_ESCAPED: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ENVELOPE: Final = {"id": "id", "type": "type", "time": "occurred_at"}
"""What each attribute is called in the event."""
_NAMES: Final = frozenset(_ENVELOPE.values())


class Unsupported(Exception):
    """A media type that is not taken. Raised at the edge and answered 415."""


@dataclass(frozen=True, slots=True)
class Form:
    """How the JSON of a request is read. `takes`: 'one', 'many' or 'either'. `event` gives the event of one value, or
    raises Invalid with pointers into that value; `holder` the part that has `transfer`."""

    takes: str
    event: Callable[[Any], Parsed]
    holder: Callable[[Any], Any]


def form_of(media_type: str, headers: Mapping[str, str], *, is_signed: bool) -> Form:
    """How a request is read, by its headers. `is_signed`: its body proves who sent it, and its headers do not.
    Raises Unsupported."""
    media = media_type.partition(";")[0].strip().lower()
    if media == STRUCTURED:
        return _FORMS["one"]
    if media == BATCH:
        return _FORMS["many"]
    if media.startswith(_ANY):
        raise Unsupported(f"of CloudEvents' formats, send {STRUCTURED} or {BATCH}")
    if "ce-specversion" not in headers:
        return PLAIN
    if media and not _is_json(media):
        raise Unsupported("the data of a CloudEvent is JSON; say so in Content-Type")
    if is_signed:
        raise Unsupported(f"a signature covers the body and not the `ce-` headers; send {STRUCTURED}")
    attributes = {
        name[3:].lower(): _unescaped(value) for name, value in headers.items() if name[:3].lower() == "ce-"
    }
    return Form("one", lambda data: _event({**attributes, "data": data}, _in_headers), lambda data: data)


def _data(value: Any) -> Any:
    return value.get("data") if isinstance(value, dict) else None


def _event(value: Any, place: Callable[[str], tuple[str, str]]) -> Parsed:
    """The event of a CloudEvent. `place` says where an attribute, or a pointer into the data, is: the pointer, and
    what a sentence about it begins with."""
    if not isinstance(value, dict):
        raise Invalid([Problem("", "a CloudEvent is a JSON object")])
    data = value.get("data")
    plain, found = _opened(value, data if isinstance(data, dict) else {})
    try:
        parsed = parse(plain)
    except Invalid as error:
        # Where there is no data, that it has no transfer goes without saying.
        told = [one for one in error.problems if isinstance(data, dict) or one.pointer in _ATTRIBUTES]
        found += [(_ATTRIBUTES.get(one.pointer, one.pointer), one.detail) for one in told]
    else:
        subject = value.get("subject")
        if subject is not None and (not isinstance(subject, str) or subject.casefold() != parsed.event.transfer_key):
            found.append(("subject", "is not the transfer's id; make them agree or leave it out"))
        if not found:
            return parsed
    raise Invalid([Problem(pointer, before + detail) for (pointer, before), detail in ((place(w), d) for w, d in found)])


def _opened(value: dict[str, Any], data: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The event without its envelope, and what is wrong with the envelope: where, and what."""
    found: list[tuple[str, str]] = []
    if value.get("specversion") != "1.0":
        found.append(("specversion", 'must be "1.0"'))
    if not isinstance(value.get("source"), str) or not value["source"]:
        found.append(("source", "required: who says this, as a URI"))
    if not _is_json(value.get("datacontenttype", "application/json")):
        found.append(("datacontenttype", "the data is JSON; leave this out or send application/json"))
    if not isinstance(value.get("data"), dict):
        why = "give the data as JSON, in `data`" if "data_base64" in value else "required: an object with the transfer"
        found.append(("/", why))
    plain = {name: one for name, one in data.items() if name not in _NAMES}
    for attribute, name in _ENVELOPE.items():
        if attribute not in value:
            continue
        plain[name] = _short(value[attribute]) if attribute == "type" else value[attribute]
        if name in data and data[name] not in (plain[name], value[attribute]):
            found.append((f"/{name}", f"is not what the CloudEvent's `{attribute}` says; leave it out here"))
    return plain, found


def _is_json(media: Any) -> bool:
    return isinstance(media, str) and _JSON.fullmatch(media.partition(";")[0].strip().lower()) is not None


_ATTRIBUTES: Final = {f"/{name}": attribute for attribute, name in _ENVELOPE.items()}


def _short(type_: Any) -> Any:
    """A type without the name of its producer."""
    found = _TYPE.fullmatch(type_) if isinstance(type_, str) else None
    return type_ if found is None else found[1]


def _in_body(where: str) -> tuple[str, str]:
    return (f"/data{where.rstrip('/')}" if where.startswith("/") else f"/{where}"), ""


def _in_headers(where: str) -> tuple[str, str]:
    return (where.rstrip("/"), "") if where.startswith("/") else ("", f"the header ce-{where}: ")


def _unescaped(text: str) -> str:
    """A header's value as it was meant: percent-encoded UTF-8 (HTTP binding, section 3.1.3.2)."""
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "replace"), text)


PLAIN: Final = Form("either", parse, lambda value: value)
"""The relay's own events, one or an array."""
_FORMS: Final = {
    takes: Form(takes, lambda value: _event(value, _in_body), _data) for takes in ("one", "many")
}
