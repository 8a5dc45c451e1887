"""How is an event that was accepted read back, at little cost?

What the door has judged needs no second judgement: here an event is only given its shape again, by types that are made
from those of relay.model, field by field, without their rules. That costs a sixth.
"""

from __future__ import annotations

import types
import typing
from typing import Any

import msgspec
from pydantic import BaseModel

from relay.model import Event


def read_event(stored: bytes) -> Event:
    """An event as it was stored; it is to be read from only. ValueError when it is none."""
    try:
        event: Event = _DECODER.decode(stored)
    except msgspec.MsgspecError:
        raise ValueError("not an event") from None
    return event


def _shape(model: type[BaseModel]) -> type[msgspec.Struct]:
    hints = typing.get_type_hints(model)
    fields: list[Any] = [
        (name, _plain(hints[name])) if field.is_required() else (name, _plain(hints[name]), field.default)
        for name, field in model.model_fields.items()
    ]
    properties = {name: value for name, value in vars(model).items() if isinstance(value, property)}
    return msgspec.defstruct(model.__name__, fields, kw_only=True, frozen=True, gc=False, namespace=properties)


def _plain(hint: Any) -> Any:
    """The type of a field, with shapes in place of models."""
    inner = tuple(_plain(one) for one in typing.get_args(hint) if one is not Ellipsis)
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return _shape(hint)
    if typing.get_origin(hint) is types.UnionType:
        return typing.Union[inner]  # noqa: UP007 - of types that are known only now
    if typing.get_origin(hint) is tuple:
        return tuple[inner[0], ...]  # type: ignore[valid-type]
    return hint


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_shape(Event))
