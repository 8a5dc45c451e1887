"""Which bodies are events, and is everything that is wrong with the others said at once?"""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.intake import Invalid, parse, pointer_of, read_json
from relay.model import Event
from tests.events import KINDS, least, whole


def _wrong(value: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parse(value)
    return {problem.pointer: problem.detail for problem in caught.value.problems}


def _unreadable(raw: bytes) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        read_json(raw)
    return {problem.pointer: problem.detail for problem in caught.value.problems}


def _with(path: str, value: Any, base: dict[str, Any] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = orjson.loads(orjson.dumps(base or least()))
    at: Any = made
    *above, last = path.strip("/").split("/")
    for part in above:
        at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
    at[int(last) if isinstance(at, list) else last] = value
    return made


# --- JSON without its ambiguities ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"", b" ", b"{", b"nonsense", b"{'a':1}", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}',
        b'{"a":1e400}', b'{"a":' + b"9" * 400 + b"}", b'{"a":"\\ud800"}', b'{"\\udfff":1}', b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}', b'\xef\xbb\xbf{"a":1}', b'{"a":1}{"b":2}', b'{"a":1,}', b'{"a":01}', b'{"a":"\n"}',
        '{"a":1}'.encode("utf-16"),
    ],
)  # fmt: skip
def test_what_is_not_json_is_one_problem_of_the_whole_body(raw: bytes) -> None:
    assert list(_unreadable(raw)) == [""]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":2}', b'{"a":1,"a":1}', b'{"a" : 1, "a"\n:2}', b'{"a":1,"\\u0061":2}', b'{"x":{"a":1,"a":2}}',
        b'[{"x":[{"b":1,"a":{"q":1,"q":2}}]}]', b'{"a":"\\":","a":2}', b'{"x":{"a":1,"a":2},"x":3}',
        b'{"a":1,"a":' + b"[" * 40 + b"]" * 40 + b',"a":2}', b'{"a":1,"a":2,"b":"\\"\\u003a"}',
        b'{"a":1,"a":2,"b":"\\"\\u003A"}', b'{"a":1,"a":2,"b":"\\u0022:"}',
    ],
)  # fmt: skip
def test_a_name_that_stands_twice_is_refused(raw: bytes) -> None:
    assert "twice" in _unreadable(raw)[""]


def _written(value: Any, spell: Callable[[str], str]) -> str:
    """JSON text of a value in which an object is a list of pairs, its strings spelled by `spell`."""
    if isinstance(value, list):
        return "{" + ",".join(f"{spell(name)}:{_written(inner, spell)}" for name, inner in value) + "}"
    return spell(value)


def _twice(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    names = [name for name, _ in value]
    return len(set(names)) < len(names) or any(_twice(inner) for _, inner in value)


_SHORT = st.text('a":\\', max_size=3)


@given(
    st.recursive(_SHORT, lambda inner: st.lists(st.tuples(_SHORT, inner), max_size=4)),
    st.sampled_from(["plain", "escaped", "mixed"]),
)
@settings(max_examples=500)
def test_no_spelling_hides_a_second_name(value: Any, how: str) -> None:
    def spell(text: str) -> str:
        escaped = "".join(f"\\u{ord(c):04x}" for c in text)
        half = "".join(f"\\u{ord(c):04X}" if c == ":" else orjson.dumps(c).decode()[1:-1] for c in text)
        return {"plain": orjson.dumps(text).decode(), "escaped": f'"{escaped}"', "mixed": f'"{half}"'}[how]

    raw = _written(value, spell).encode()
    if _twice(value):
        assert "twice" in _unreadable(raw)[""]
    else:
        assert read_json(raw) == orjson.loads(raw)


def test_very_many_names_are_read_in_a_time_that_grows_with_them() -> None:
    raw = b"{" + b",".join(b'"%d":1' % n for n in range(200_000)) + b',"1":2}'
    assert "twice" in _unreadable(raw)[""]


@pytest.mark.parametrize("depth", [1000, 1010, 1023])
def test_nesting_under_a_name_that_stands_twice_is_refused_too(depth: int) -> None:
    raw = b'{"a":' + b"[" * depth + b"]" * depth + b',"a":1}'
    assert list(_unreadable(raw)) == [""]


@pytest.mark.parametrize(
    "raw", [b'{"a":"\\":\\":"}', b'{"a" : "b"}', b'{"a":{"a":1},"b":{"a":1}}', b'{"a":"x\\" : y"}']
)
def test_what_only_looks_like_a_second_name_is_read(raw: bytes) -> None:
    assert read_json(raw) == orjson.loads(raw)


@pytest.mark.parametrize(("opened", "closed"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_ends_at_32(opened: bytes, closed: bytes) -> None:
    def nested(depth: int) -> bytes:
        return opened * depth + (b"1" if opened != b"[" else b"") + closed * depth

    assert read_json(nested(33))
    assert "32" in _unreadable(nested(34))[""]
    assert _unreadable(nested(5000))


def test_numbers_beyond_64_bits_are_read_as_what_a_double_holds() -> None:
    value = read_json(b'{"n":123456789012345678901234567890}')
    assert value == {"n": 1.2345678901234568e29}
    assert parse(least() | value).fingerprint


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_invalid(raw: bytes) -> None:
    try:
        read_json(raw)
    except Invalid as error:
        assert error.problems


# --- events ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_least_and_the_fullest_event_are_sound(kind: str) -> None:
    assert parse(least(kind)).event.id == "evt-1"
    full = whole(kind)
    assert len(parse(full).event.transfer.items or ()) == 2


@pytest.mark.parametrize("value", [None, 1, "x", [], True, 1.5])
def test_an_event_is_an_object(value: Any) -> None:
    assert list(_wrong(value)) == [""]


REQUIRED = {
    "/id", "/type", "/occurred_at", "/transfer/id", "/transfer/kind", "/transfer/status", "/transfer/created_at",
    "/transfer/source/id", "/transfer/source/name", "/transfer/target/id", "/transfer/target/name",
}  # fmt: skip


def test_what_is_required_is_asked_for_all_at_once() -> None:
    assert set(_wrong({"transfer": {"source": {}, "target": {}}})) == REQUIRED
    assert set(_wrong({})) == {"/id", "/type", "/occurred_at", "/transfer"}


def test_problems_of_fields_and_between_fields_are_told_together() -> None:
    value = least("subscription", "transfer.completed", status="pending")
    del value["transfer"]["customer"], value["transfer"]["created_at"]
    value["transfer"]["target"]["id"] = "CONTOSO"
    value["transfer"]["items"] = [{"status": "ok"}, {"quantity": -1, "error": {"code": 7}}]
    assert set(_wrong(value)) == {
        "/transfer/created_at", "/transfer/customer", "/transfer/status", "/transfer/target/id",
        "/transfer/items/1/quantity", "/transfer/items/1/error/code",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        (least(status="completed"), "/transfer/status"),
        (_with("type", "transfer.stalled"), "/type"),
        (_with("type", "transfer.unknown"), "/type"),
        (_with("type", ["transfer.created"]), "/type"),
        (_with("transfer/kind", "domain"), "/transfer/kind"),
        (_with("transfer/target/id", "Contoso"), "/transfer/target/id"),
        (_with("transfer/customer", None), "/transfer/customer"),
        (_with("transfer/customer", {"id": "r"}), "/transfer/customer/name"),
        (_with("transfer/customer", {"name": "r"}), "/transfer/customer/id"),
        (_with("transfer/customer", "r"), "/transfer/customer"),
        (least("sim", "transfer.expired"), "/type"),
        (least("sim", product_types=["online_services_nce"]), "/transfer/product_types"),
        (least(product_types=["office"]), "/transfer/product_types/0"),
        (_with("id", ""), "/id"),
        (_with("id", "a" * 65), "/id"),
        (_with("id", "a b"), "/id"),
        (_with("id", "evt\n"), "/id"),
        (_with("id", 7), "/id"),
        (_with("transfer/id", ""), "/transfer/id"),
        (_with("transfer/source", []), "/transfer/source"),
        (_with("occurred_at", "2026-11-21T01:02:03"), "/occurred_at"),
        (_with("occurred_at", "2026-11-21T01:02:03.1234567890Z"), "/occurred_at"),
        (_with("occurred_at", 1795222923), "/occurred_at"),
        (_with("occurred_at", "0001-01-01T00:00:00+23:59"), "/occurred_at"),
        (least(created_at="2026-11-21"), "/transfer/created_at"),
        (least(expires_at="soon"), "/transfer/expires_at"),
        (least(items=[{"quantity": 2.5}]), "/transfer/items/0/quantity"),
        (least(items=[{"quantity": True}]), "/transfer/items/0/quantity"),
        (least(items=[{"quantity": "2"}]), "/transfer/items/0/quantity"),
        (least(items=[{"quantity": 1e30}]), "/transfer/items/0/quantity"),
        (least(items={"0": {}}), "/transfer/items"),
        (least("sim", acceptance_url="javascript:alert(1)"), "/transfer/acceptance_url"),
        (least("sim", acceptance_url="https://x.example/ y"), "/transfer/acceptance_url"),
        (least("sim", effective_on="2026-11-31"), "/transfer/effective_on"),
        (least("sim", effective_on="2026-11-21T00:00:00"), "/transfer/effective_on"),
        (least("sim", effective_on=1795222923), "/transfer/effective_on"),
        (least("sim", effective_on="1795222923"), "/transfer/effective_on"),
        (_with("actor", {"email": "no address"}), "/actor/email"),
        (_with("transfer/target/email", "a@b@c"), "/transfer/target/email"),
        (_with("transfer/target/email", "-oops@x.example"), "/transfer/target/email"),
        (_with("transfer/target/email", "a@x.example\r\nBcc: b@x.example"), "/transfer/target/email"),
    ],
)  # fmt: skip
def test_each_wrong_field_is_pointed_at(value: dict[str, Any], pointer: str) -> None:
    assert list(_wrong(value)) == [pointer]


@pytest.mark.parametrize("digits", range(10))
def test_times_have_up_to_nine_fractional_digits(digits: int) -> None:
    fraction = f".{'1' * digits}" if digits else ""
    posted = parse(least(occurred_at=f"2026-11-21T01:02:03{fraction}Z")).event
    assert posted.occurred_ns % 1_000_000_000 == int("1" * digits + "0" * (9 - digits))


def test_a_problem_never_repeats_the_value() -> None:
    value = least("sim", acceptance_url="ftp://secret-token")
    value["transfer"]["target"]["email"] = "secret-token"
    assert "secret-token" not in str(_wrong(value))


def test_pointers_are_escaped() -> None:
    assert pointer_of(("a/b", 0, "c~d")) == "/a~1b/0/c~0d"


# --- what is kept ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_fields_are_kept_and_the_link_is_not(kind: str) -> None:
    value = whole(kind)
    kept = orjson.loads(parse(value).stored)
    assert "mark-link" not in parse(value).stored.decode()
    assert value["transfer"].pop("acceptance_url")
    assert kept == value


def test_the_same_json_is_the_same_event_however_it_is_written() -> None:
    value = whole()
    backwards = dict(reversed(value.items()))
    backwards["transfer"] = dict(reversed(value["transfer"].items()))
    spaced = orjson.dumps(backwards, option=orjson.OPT_INDENT_2).replace(b'": ', b'" :\t')
    one, other = parse(value), parse(read_json(spaced))
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    "change",
    [("unknown", 1), ("transfer/source/name", "Contoso "), ("transfer/items", []), ("transfer/replaces", None)],
)
def test_another_body_has_another_fingerprint(change: tuple[str, Any]) -> None:
    assert parse(least()).fingerprint != parse(_with(*change)).fingerprint


def test_a_list_in_another_order_is_another_body() -> None:
    one, other = (least(items=[{"id": a}, {"id": b}]) for a, b in (("1", "2"), ("2", "1")))
    assert parse(one).fingerprint != parse(other).fingerprint


# --- whatever comes -------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(alphabet=string.ascii_lowercase, max_size=6), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
_PATHS = (
    "id", "type", "occurred_at", "actor", "actor/email", "transfer", "transfer/id", "transfer/kind", "transfer/status",
    "transfer/created_at", "transfer/expires_at", "transfer/source", "transfer/source/id", "transfer/target",
    "transfer/target/email", "transfer/reseller", "transfer/customer", "transfer/customer/contacts",
    "transfer/customer/contacts/0", "transfer/product_types", "transfer/items", "transfer/items/0",
    "transfer/items/0/quantity", "transfer/items/0/error", "transfer/effective_on", "transfer/acceptance_url",
    "transfer/unknown",
)  # fmt: skip


@given(_JSON)
def test_any_json_is_an_event_or_invalid(value: Any) -> None:
    try:
        parse(read_json(orjson.dumps(value)))
    except Invalid as error:
        assert error.problems


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(_PATHS), _JSON, max_size=3))
def test_any_change_of_a_sound_event_is_invalid_or_read_back_as_it_was(kind: str, changes: dict[str, Any]) -> None:
    value = whole(kind)
    for path in sorted(changes, reverse=True):  # the inner first, so that every path is still there
        value = _with(path, changes[path], value)
    try:
        parsed = parse(value)
    except Invalid as error:
        assert all(problem.pointer.startswith("/") for problem in error.problems)
        assert len({problem.pointer for problem in error.problems}) >= 1
        return
    without_link = parsed.event.transfer.model_copy(update={"acceptance_url": None})
    stored = Event.model_validate_json(parsed.stored)
    assert stored == parsed.event.model_copy(update={"transfer": without_link})
    assert parse(read_json(orjson.dumps(value))).fingerprint == parsed.fingerprint
