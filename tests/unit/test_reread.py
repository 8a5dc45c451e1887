"""What the door has accepted is read back as it was judged."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from pydantic import BaseModel

from relay import view
from relay.intake import Invalid, parse, read_and_write
from relay.model import Audience, Event
from relay.reread import read_event
from tests.events import KINDS, whole
from tests.fuzz.test_events import events


def plain(value: Any, like: Any) -> Any:
    """A value as nested tuples, field by field as `like`, the same as a model, has them."""
    if isinstance(like, BaseModel):
        return tuple((name, plain(getattr(value, name), getattr(like, name))) for name in type(like).model_fields)
    if isinstance(like, tuple):
        return tuple(plain(one, other) for one, other in zip(value, like, strict=True))
    return type(value), value


def check(stored: bytes) -> None:
    slow, quick = Event.model_validate_json(stored), read_event(stored)
    assert plain(quick, slow) == plain(slow, slow)
    assert (quick.transfer_key, quick.occurred_ns) == (slow.transfer_key, slow.occurred_ns)
    shown = [view.messages(Audience, one, sequence=1, late=False, derived=False, gap=False) for one in (quick, slow)]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_that_has_everything_reads_as_it_was_judged(kind: str) -> None:
    check(orjson.dumps(whole(kind)))


@given(events("contoso", "fabrikam"))
def test_any_accepted_event_reads_as_it_was_judged(made: dict[str, Any]) -> None:
    try:
        stored = parse(*read_and_write(json.dumps(made).encode())).stored
    except Invalid:
        assume(False)
    check(stored)


@pytest.mark.parametrize("stored", [b"", b"{", b"[]", b"null", b'{"id":"e"}', b'{"id":1,"type":"x"}', b"\xff"])
def test_what_is_no_event_is_told_as_such(stored: bytes) -> None:
    with pytest.raises(ValueError, match="not an event"):
        read_event(stored)
