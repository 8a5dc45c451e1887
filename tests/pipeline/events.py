"""What do the pipeline tests post?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from relay.model import MOVES_TO, EventType

SAMPLES = Path(__file__).parents[2] / "relay" / "_samples"
BEGINS_AT = "2026-11-21T02:00:00Z"
"""A little after what `step` tells first: where a test begins that would else depend on the day it is run."""


def sample(name: str) -> list[dict[str, Any]]:
    """One transfer's life."""
    events: list[dict[str, Any]] = json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))
    return events


def sample_names() -> list[str]:
    """All of them."""
    return sorted(path.stem for path in SAMPLES.glob("*.json"))


def step(
    transfer: str,
    type_: str,
    number: int,
    *,
    source: str = "contoso",
    target: str = "fabrikam",
    occurred_at: str = "",
    id: str = "",
    **changes: Any,
) -> dict[str, Any]:
    """The `number`-th event of a subscription's life, one minute after the one before it."""
    return {
        "id": id or f"{transfer}-{number}",
        "type": f"transfer.{type_}",
        "occurred_at": occurred_at or f"2026-11-21T01:{number:02d}:00Z",
        "transfer": {
            "id": transfer,
            "kind": "subscription",
            "status": MOVES_TO[EventType(f"transfer.{type_}")].value,
            "created_at": "2026-11-21T01:00:00Z",
            "source": {"id": source, "name": source.title()},
            "target": {"id": target, "name": target.title()},
            "customer": {"id": "relecloud", "name": "Relecloud"},
            **changes,
        },
    }


def life(transfer: str, *types: str, **changes: Any) -> list[dict[str, Any]]:
    """A subscription's events in order; created, updated and completed when no types are named."""
    names = types or ("created", "updated", "completed")
    return [step(transfer, name, number, **changes) for number, name in enumerate(names, 1)]
