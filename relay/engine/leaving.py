"""What is written of what leaves?

One JSON object a line, with `kind` and the ids that name it: what the relay kept, as it kept it. Secrets, sealed
messages and acceptance links are in none of it: they are not in what is read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from relay.chain import Head, Line
from relay.closed import Audience
from relay.model import Record
from relay.store.records import DeliveryRecord
from relay.store.retention import Contents, Departure


class Trim(Record, frozen=True, kw_only=True):
    """What leaves of one transfer, as it was decided: safe to carry out again. `feed` are entries (partner, member)."""

    key: str
    bodies: list[tuple[int, Audience]] = msgspec.field(default_factory=list)
    events: list[int] = msgspec.field(default_factory=list)
    records: dict[int, list[str]] = msgspec.field(default_factory=dict)
    refusals: list[str] = msgspec.field(default_factory=list)
    feed: list[tuple[str, str]] = msgspec.field(default_factory=list)
    whole: Departure | None = None

    @property
    def deliveries(self) -> list[str]:
        """The deliveries whose records leave."""
        return [one for ids in self.records.values() for one in ids]

    @property
    def fields(self) -> list[str]:
        """The fields of the transfer that leave."""
        return [
            *(f"b:{n}:{audience}" for n, audience in self.bodies),
            *(f"x:{n}" for n in self.events),
            *(f"r:{id_}" for id_ in self.refusals),
        ]


def written(
    trim: Trim,
    contents: Contents,
    deliveries: Mapping[str, DeliveryRecord],
    texts: Mapping[str, bytes],
    at: str,
) -> list[dict[str, Any]]:
    """The lines of what leaves of one transfer; `texts` are its bodies, by field."""
    about = {"at": at, "transfer": contents.held.id}
    lines: list[dict[str, Any]] = []
    for n, audience in trim.bodies:
        lines.append(
            {"kind": "body", **about, "sequence": n, "event": contents.steps[n].event_id, "audience": audience,
             "body": _text(texts.get(f"b:{n}:{audience}"))}
        )  # fmt: skip
    for delivery in trim.deliveries:
        if delivery in deliveries:
            lines.append(of_delivery(deliveries[delivery], at))
    for id_ in trim.refusals:
        lines.append({"kind": "refusal", **about, "refusal": _json(contents.refusals[id_])})
    ended = [] if trim.whole is None else [n for n in contents.steps if f"x:{n}" in texts]
    for n in dict.fromkeys([*trim.events, *ended]):
        body = texts.get(f"x:{n}")
        if body is not None:
            lines.append({"kind": "event", **about, "sequence": n, "event": _json(body)})
    if trim.whole is not None:
        lines.append(
            {"kind": "transfer", **about, "standing": _plain(contents.held),
             "timeline": [_plain(step) for _, step in sorted(contents.steps.items())],
             "plans": {member: _json(plan) for member, plan in sorted(contents.plans.items())}}
        )  # fmt: skip
    return lines


def of_delivery(record: DeliveryRecord, at: str) -> dict[str, Any]:
    """The line of one delivery with its attempts."""
    return {
        "kind": "delivery", "at": at, "transfer": record.delivery.transfer, "delivery": _plain(record.delivery),
        "status": record.status, "reason": record.reason, "settled_at_ms": record.settled_at_ms,
        "attempts": [_plain(one) for one in record.attempts],
    }  # fmt: skip


def of_log(partner: str, head: Head | None, lines: Sequence[Line], at: str) -> list[dict[str, Any]]:
    """The lines of an activity log, behind the head that they are under."""
    about = {"at": at, "partner": partner}
    first: list[dict[str, Any]] = [] if head is None else [{"kind": "head", **about, "head": _plain(head)}]
    return first + [
        {"kind": "activity", **about, "position": one.position, "id": one.id, "record": _text(one.record)} for one in lines
    ]


def as_bytes(lines: Sequence[Mapping[str, Any]]) -> bytes:
    """JSON Lines."""
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "replace")


def _json(raw: bytes) -> Any:
    """What cannot be read is kept as a text: one damaged record must not keep all others from leaving."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _text(raw)


def _plain(record: Record) -> Any:
    return msgspec.to_builtins(record)
