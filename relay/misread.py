"""What do receivers take for the body, or the time, that was sent?

Frameworks parse a body and write it again, decode it, print it or cut it before somebody verifies it. Each
way to change it is given with the name of the mistake (`relay.mistakes.Mistake`). Pure.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

from relay.times import to_ns

_COMPACT, _WIDE = (",", ":"), (", ", ": ")
_LARGE = 65_536  # bytes; above it only the commonest ways to write JSON again are tried
_DEEPEST = 64


def bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Each usual way to change `body`, with its name; none that leaves it as it is."""
    seen = {body}
    for name, changed in _changed(body):
        if changed not in seen:
            seen.add(changed)
            yield name, changed


def times(timestamp: str, body: bytes) -> Iterator[str]:
    """What else may be taken for the timestamp of a message."""
    yield from (f"{timestamp}000", f"{timestamp}.0", timestamp + " ", "")
    value = _value(body)
    stated = value.get("timestamp") if isinstance(value, dict) else None
    if isinstance(stated, str):
        yield stated
        try:
            seconds = to_ns(stated) // 1_000_000_000
        except ValueError:
            return
        yield from (str(seconds), str(seconds * 1000))


def _changed(body: bytes) -> Iterator[tuple[str, bytes]]:
    yield from (("trailing_newline", body + end) for end in (b"\n", b"\r\n", b" "))
    yield "trailing_newline", body.strip()
    value = _value(body)
    if value is not None:
        written = _again(value) if len(body) <= _LARGE else _plain(value)
        yield from (("json_reserialised", again) for again in written)
        if isinstance(value, dict):
            parts = (part for name in ("data", "transfer") if (part := value.get(name)) is not None)
            yield from (("part_of_body", again) for part in parts for again in _plain(part))
    text = body.decode("utf-8", "replace")
    yield "wrong_charset", body.decode("latin-1").encode()
    yield "wrong_charset", text.encode("latin-1", "replace")
    yield "wrong_charset", text.encode("ascii", "replace")
    yield "wrong_charset", text.encode("ascii", "ignore")
    yield "wrong_charset", text.encode("utf-16-le")
    yield "wrong_charset", b"\xef\xbb\xbf" + body
    yield "body_printed", repr(body).encode()
    yield "body_printed", repr(value).encode("utf-8", "replace")
    yield "body_printed", b"[object Object]"
    yield "body_printed", json.dumps(text).encode()
    yield "body_printed", json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
    yield "body_encoded", base64.b64encode(body)
    yield "body_encoded", body.hex().encode()


def _again(value: Any) -> Iterator[bytes]:
    """JSON as the libraries of several languages write it: Python, JavaScript, Ruby, Go, PHP, Java, .NET."""
    for ascii_ in (True, False):
        for ordered in (False, True):
            for separators in (_COMPACT, _WIDE):
                written = json.dumps(value, ensure_ascii=ascii_, sort_keys=ordered, separators=separators)
                yield from _ended(written)
                yield from _ended(written.replace("/", "\\/"))
                escaped = written
                for sign in "<>&":
                    escaped = escaped.replace(sign, f"\\u{ord(sign):04x}")
                yield from _ended(escaped)
            for indent in (2, 4, "\t"):
                yield from _ended(json.dumps(value, ensure_ascii=ascii_, sort_keys=ordered, indent=indent))


def _plain(value: Any) -> Iterator[bytes]:
    for separators in (_COMPACT, _WIDE):
        yield json.dumps(value, ensure_ascii=False, separators=separators).encode("utf-8", "replace")
        yield json.dumps(value, separators=separators).encode()


def _ended(text: str) -> Iterator[bytes]:
    raw = text.encode("utf-8", "replace")
    yield raw
    yield raw + b"\n"


def _value(body: bytes) -> Any:
    """The body as JSON; None for what is none, or is nested deeper than anything that is sent."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    layer = [value]
    for _ in range(_DEEPEST):
        layer = [inner for one in layer if isinstance(one, dict | list) for inner in _inside(one)]
        if not layer:
            return value
    return None


def _inside(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
