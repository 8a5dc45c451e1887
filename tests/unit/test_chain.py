"""Does every change of a chained log show?"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from relay.chain import Checked, Checker, Head, Line, Taken, extend, take
from relay.signing import Ed25519Key, new_signing_key

KEY = Ed25519Key.parse(new_signing_key()[0])
OTHER = Ed25519Key.parse(new_signing_key()[0])


def log(*sizes: int, newer: int = 0, key: Ed25519Key = KEY) -> list[Head | Line]:
    """A log of batches of these sizes, and lines that are under no head yet."""
    made: list[Head | Line] = []
    last, position = None, 0
    for size in sizes:
        lines = [Line(position + 2 * n + 1, f"id-{position}-{n}", b'{"n":%d}' % n) for n in range(size)]
        last = extend("contoso", last, lines, 1000, key)
        position = lines[-1].position
        made += [last, *lines]
    return made + [Line(position + n + 1, f"new-{n}", b"{}") for n in range(newer)]


def checked(entries: list[Any], partner: str = "contoso", key: Ed25519Key = KEY) -> Checked:
    checker = Checker(partner, key.public_text)
    for one in entries:
        if isinstance(one, Taken):
            checker.begin(one)
        elif isinstance(one, Head):
            checker.head(one)
        else:
            checker.line(one)
    return checker.end()


def test_an_untouched_log_is_sound() -> None:
    found = checked(log(3, 1, 5, newer=2))
    assert (found.chained, found.unchained, found.faults) == (9, 2, [])
    assert found.last is not None and found.last.number == 3
    assert checked([]).faults == [] and checked(log(newer=2)).unchained == 2


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_whatever_is_done_to_a_chained_line_shows(sizes: list[int], data: st.DataObject) -> None:
    entries = log(*sizes)
    at = data.draw(st.sampled_from([n for n, one in enumerate(entries) if isinstance(one, Line)]))
    line = entries[at]
    assert isinstance(line, Line)
    match data.draw(st.sampled_from(["change", "rename", "remove", "double", "move"])):
        case "change":
            entries[at] = Line(line.position, line.id, line.record + b" ")
        case "rename":
            entries[at] = Line(line.position, line.id + "x", line.record)
        case "remove":
            del entries[at]
        case "double":
            entries.insert(at, line)
        case "move":
            entries[at] = Line(line.position - 1, line.id, line.record)
    assert checked(entries).faults


@pytest.mark.parametrize("field", [name for name in Head.__struct_fields__])
def test_whatever_is_done_to_a_head_shows(field: str) -> None:
    entries = log(2, 2)
    head = entries[0]
    assert isinstance(head, Head)
    old = getattr(head, field)
    new = old + 1 if isinstance(old, int) else "00" + old[2:] if old[:2] != "00" else "11" + old[2:]
    entries[0] = msgspec.structs.replace(head, **{field: new})
    assert checked(entries).faults


def test_a_head_that_is_missing_or_another_partners_or_another_keys_shows() -> None:
    first, *_ = whole = log(2, 2, 2)
    assert checked([one for one in whole if one is not whole[3]]).faults
    assert checked(whole[3:]).faults
    assert checked(whole, partner="fabrikam").faults
    assert checked(log(2, key=OTHER)).faults
    assert isinstance(first, Head)


def test_a_chain_that_was_made_anew_is_not_signed() -> None:
    """Who can write to the database can compute hashes, and cannot sign."""
    entries = log(2, key=OTHER)
    assert any("not signed" in fault for fault in checked(entries).faults)


def test_id_and_record_cannot_be_shifted_into_each_other() -> None:
    one = extend("contoso", None, [Line(1, "ab", b"c")], 1, KEY)
    two = extend("contoso", None, [Line(1, "a", b"bc")], 1, KEY)
    assert one.after != two.after


def shortened(entries: list[Any], heads: int, key: Ed25519Key = KEY) -> list[Any]:
    """The log after retention took its first batches."""
    ats = [n for n, one in enumerate(entries) if isinstance(one, Head)]
    last = entries[ats[heads - 1]]
    return [take("contoso", last, 2000, key), *entries[ats[heads] if heads < len(ats) else len(entries) :]]


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_a_log_whose_beginning_retention_took_is_sound(heads: int) -> None:
    whole = log(3, 1, 5)
    found = checked(shortened(whole, heads))
    assert found.faults == [] and found.chained == (6, 5, 0)[heads - 1]
    assert found.taken is not None and found.taken.head.number == heads
    assert checked(log(3, 1, 5)).taken is None


def test_only_the_relay_can_take_the_beginning() -> None:
    whole = log(3, 1, 5)
    assert "retention took the lines up to position 5 is not signed" in checked(shortened(whole, 1, OTHER)).faults[0]
    assert checked(shortened(whole, 1)[1:]).faults, "without what says so"
    taken_, *rest = shortened(whole, 1)
    assert checked([taken_, *rest[2:]]).faults, "a batch more"
    assert checked([taken_, *whole[1:]]).faults, "the lines are there again"
    moved = replace(taken_, head=replace(taken_.head, last=7))
    assert checked([moved, *rest]).faults, "another place"
    other = replace(taken_, head=[one for one in whole if isinstance(one, Head)][1])
    assert checked([other, *rest[2:]]).faults, "a true head with another's signature"
