"""What may every system be asked to do wrong?

With its calls: lose one, make it twice, hold it back until the next one has gone, sign it badly. With its
API: be away for a while, or ask whoever comes to wait. What only one system can do wrong is its own
(`Model.faults`). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from relay.sandbox.system import Answer, Call, Fault, Note

COMMON: Final = {
    "drop": "the next `count` calls are not made (of `event`, to `tenant`, where given)",
    "twice": "the next `count` calls are made twice",
    "reorder": "the next call waits until the one after it has gone, ten minutes at most",
    "bad_signature": "the next `count` calls have a signature that does not fit; later tries have a good one",
    "throttle": "the next `count` requests to the API are answered 429, to come again after `seconds`",
    "down": "the API is away for `seconds`, as the sandbox counts them",
}
OF_CALLS: Final = frozenset({"drop", "twice", "reorder", "bad_signature"})
_HELD_BACK_MS, _HELD_MOST_MS = 1_000, 600_000


def queued(
    waiting: Sequence[Call], new: Sequence[Call], faults: Sequence[Fault], now_ms: int
) -> tuple[list[Call], list[Fault], list[Note]]:
    """The calls that are owed when new ones come to those that wait, the faults that are left, and notes."""
    calls, left, notes = list(waiting), list(faults), []
    for call in new:
        held = [one for one in calls if one.is_held]
        for one in held:
            calls[calls.index(one)] = msgspec.structs.replace(
                one, is_held=False, due_ms=call.due_ms + _HELD_BACK_MS
            )
        fault = next((one for one in left if one.kind in OF_CALLS and _fits(one, call)), None)
        if fault is None:
            calls.append(call)
            continue
        left = spent(left, fault)
        text = f"{fault.kind}: {call.event} to {call.to}"
        notes.append(Note(at_ms=now_ms, what="fault", about=call.about, text=text))
        if fault.kind == "twice":
            calls += [call, msgspec.structs.replace(call, id=f"{call.id}-again")]
        elif fault.kind == "reorder":
            calls.append(msgspec.structs.replace(call, is_held=True, due_ms=call.due_ms + _HELD_MOST_MS))
        elif fault.kind == "bad_signature":
            calls.append(msgspec.structs.replace(call, is_badly_signed=True))
    return calls, left, notes


def gate(faults: Sequence[Fault], now_ms: int) -> tuple[Answer | None, list[Fault]]:
    """What a request to the API is answered instead of being heard, if anything; the faults that are left."""
    left = [one for one in faults if one.kind != "down" or now_ms < one.until_ms]
    if (down := next((one for one in left if one.kind == "down"), None)) is not None:
        return Answer(503, headers={"Retry-After": str(min(60, 1 + (down.until_ms - now_ms) // 1000))}), left
    if (throttle := next((one for one in left if one.kind == "throttle"), None)) is not None:
        return Answer(429, headers={"Retry-After": str(throttle.seconds or 1)}), spent(left, throttle)
    return None, left


def spent(faults: Sequence[Fault], fault: Fault) -> list[Fault]:
    """One time less of this fault."""
    once_less = [msgspec.structs.replace(fault, count=fault.count - 1)] if fault.count > 1 else []
    return [after for one in faults for after in (once_less if one is fault else [one])]


def _fits(fault: Fault, call: Call) -> bool:
    return fault.event in ("", call.event) and fault.tenant in ("", call.to) and fault.transfer in ("", call.about)
