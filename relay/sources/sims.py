"""What becomes of a batch of SIMs, in the relay's words?

A transfer token of SORACOM stands for one batch: issued by the source, accepted or canceled as one. The
transfer's id is a digest of the token (its 244 random bits cannot be guessed from it), so that nothing kept
or told has the token itself. A SIM whose status changes meanwhile is void for this procedure. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from relay.model import MOVES_TO, EventType, Record
from relay.times import format_ms

SOURCE = "soracom"
STATUSES = ("ready", "active", "inactive", "standby", "suspended", "terminated")
_TOKEN = re.compile(r"[A-Za-z0-9-]{1,200}", re.ASCII)
_IMSI = re.compile(r"(?<!\d)\d{14,15}(?!\d)", re.ASCII)
_WORDS = re.compile(r"[a-z]+")


class Batch(Record, frozen=True, kw_only=True):
    """What was issued: who gives which SIMs to whom. `void` has the new status of each SIM that is out."""

    id: str
    source: str
    source_name: str
    target: str
    email: str
    imsis: list[str]
    created_ms: int
    void: dict[str, str] = msgspec.field(default_factory=dict)


dump = msgspec.json.Encoder().encode
batch_of = msgspec.json.Decoder(Batch).decode


def is_token(text: str) -> bool:
    """Whether it may stand in a path."""
    return _TOKEN.fullmatch(text) is not None


def transfer_id(token: str) -> str:
    """The id of the transfer that a token stands for."""
    return f"sim-{hashlib.sha256(b'relay soracom ' + token.casefold().encode()).hexdigest()[:32]}"


def issued(raw: bytes, token: str, source: str, name: str, now_ms: int) -> Batch | None:
    """The batch of an issue request that was answered with `token`; None when it names no SIMs."""
    value = _object(raw)
    email, target = value.get("transferDestinationOperatorEmail"), value.get("transferDestinationOperatorId")
    imsis = _imsis(value.get("transferImsi"))
    if not (isinstance(email, str) and isinstance(target, str) and target and imsis):
        return None
    return Batch(
        id=transfer_id(token), source=source, source_name=name, target=target, email=email, imsis=imsis,
        created_ms=now_ms,
    )  # fmt: skip


def transferred(raw: bytes) -> list[str]:
    """The SIMs that an acceptance brought over."""
    return _imsis(_object(raw).get("transferredImsi"))


def token_of(raw: bytes) -> str:
    """The token in a body; "" when there is none."""
    token = _object(raw).get("token")
    return token if isinstance(token, str) else ""


def outcome(batch: Batch, moved: Sequence[str]) -> EventType:
    """Whether all that was offered came over."""
    return EventType.COMPLETED if set(batch.imsis) <= set(moved) else EventType.PARTIALLY_COMPLETED


def voided(batch: Batch, imsi: str, status: str) -> Batch:
    """The batch with one SIM out of it."""
    return msgspec.structs.replace(batch, void={**batch.void, imsi: status})


def is_lost(batch: Batch) -> bool:
    """Whether no SIM is left that could still come over."""
    return set(batch.imsis) <= batch.void.keys()


def event(batch: Batch, type_: EventType, now_ms: int, *, moved: Sequence[str] = ()) -> dict[str, Any]:
    """An event about the batch, as a producer would post it."""
    about = hashlib.blake2b(f"{batch.id}\0{type_.value}".encode(), digest_size=16).hexdigest()
    settled = dict.fromkeys(moved, "ready") if type_ in _ENDS else {}
    left = {
        EventType.CREATED: "transferring", EventType.CANCELED: "ready", EventType.PARTIALLY_COMPLETED: "failed"
    }.get(type_, "failed")  # fmt: skip
    items = [{"imsi": imsi, "status": settled.get(imsi) or batch.void.get(imsi) or left} for imsi in batch.imsis]
    target: dict[str, str] = {"id": batch.target, "name": batch.target}
    if "@" in batch.email:
        target["email"] = batch.email
    return {
        "id": f"so-{about}",
        "type": type_.value,
        "occurred_at": format_ms(now_ms),
        "transfer": {
            "id": batch.id,
            "kind": "sim",
            "status": MOVES_TO[type_].value,
            "created_at": format_ms(batch.created_ms),
            "source": {"id": batch.source, "name": batch.source_name},
            "target": target,
            "items": items,
        },
        "origin": {"source": SOURCE},
    }


_ENDS = frozenset({EventType.COMPLETED, EventType.PARTIALLY_COMPLETED})


def status_change(raw: bytes) -> tuple[list[str], str]:
    """The SIMs and the new status in whatever text an Event Handler's customer typed; nothing where there is
    none. Named members are read first (`imsi`, `newStatus`), then the text: of two statuses the last is new."""
    value = {name.casefold(): one for name, one in _object(raw).items()}
    text = raw.decode("utf-8", "replace")
    named = value.get("imsi")
    imsis = [named] if isinstance(named, str) and named else list(dict.fromkeys(_IMSI.findall(text)))
    new = value.get("newstatus", value.get("status"))
    if isinstance(new, str) and new.casefold() in STATUSES:
        return imsis, new.casefold()
    words = [word for word in _WORDS.findall(text.casefold()) if word in STATUSES]
    return imsis, words[-1] if words else ""


def _imsis(value: Any) -> list[str]:
    return list(dict.fromkeys(one for one in value if isinstance(one, str))) if isinstance(value, list) else []


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
