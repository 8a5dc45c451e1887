"""How are the transfers of the sandbox drawn?

As a line of the states that a transfer comes through, each done, current or ahead, and the end in its colour.
What is drawn is what the systems themselves say, in their own words translated to the relay's. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_SUBSCRIPTION: Final = {
    "Active": ("pending",), "InProgress": ("pending", "in progress"),
    "Complete": ("pending", "in progress", "completed"), "Failed": ("pending", "in progress", "failed"),
    "PartiallyComplete": ("pending", "in progress", "partially completed"),
    "Expired": ("pending", "expired"), "Cancel": ("pending", "canceled"),
}  # fmt: skip
_SIM: Final = {
    "offered": ("offered",), "accepted": ("offered", "accepted"), "canceled": ("offered", "canceled"),
    "void": ("offered", "void"), "applied": ("applied",), "done": ("applied", "accepted", "done"),
}  # fmt: skip
_ASSISTED: Final = {"applied": ("applied",), "accepted": ("applied", "accepted"), "done": ("applied", "accepted", "done")}
_AHEAD: Final = {"Active": ("in progress", "completed"), "InProgress": ("completed",), "offered": ("accepted",),
                 "applied": ("accepted", "done"), "accepted": ("done",)}  # fmt: skip
TONES: Final = {
    "completed": "good", "accepted": "good", "done": "good", "failed": "bad", "expired": "bad", "void": "bad",
    "canceled": "wait", "partially completed": "wait", "partially accepted": "wait",
}  # fmt: skip
WORDS: Final = {
    "step": "step", "system": "system", "called": "callback", "state": "event", "post": "webhook", "mail": "e-mail",
    "nobody": "not told", "end": "end",
}  # fmt: skip
"""What a line of a play tells of, in a word."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One state on the line: `past`, `now` or `ahead`; `tone` colours an end."""

    name: str
    place: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One transfer. `about` says what moves."""

    id: str
    system: str
    source: str
    target: str
    about: str
    at: str
    stops: list[Stop]


def transfers(systems: Mapping[str, Any], most: int) -> list[Drawn]:
    """The newest transfers of all systems, newest first."""
    center, soracom = systems.get("partner-center", {}), systems.get("soracom", {})
    names = {one["id"]: one["name"] for one in soracom.get("operators", [])}
    found = [_subscription(one) for one in center.get("transfers", [])]
    found += [_sims(one, names, "") for one in soracom.get("transfers", [])]
    found += [_sims(one, names, "assisted") for one in soracom.get("assisted", [])]
    return sorted(found, key=lambda one: one.at, reverse=True)[:most]


def came_through(play: Mapping[str, Any]) -> list[Stop]:
    """The states that the transfer of a play came through."""
    names = [status.replace("_", " ") for status in play["statuses"]]
    stops = [Stop(name, "past", TONES.get(name, "")) for name in names]
    if stops:
        stops[-1] = Stop(names[-1], "now", TONES.get(names[-1], ""))
    return [*stops, Stop("…", "ahead")] if play["state"] == "playing" else stops


def _subscription(one: Mapping[str, Any]) -> Drawn:
    lines = one.get("lineItems", [])
    done = sum(line["status"] == "Complete" for line in lines)
    about = f"{one['customerName']}: {done} of {len(lines)} items moved" if lines else str(one["customerName"])
    stops = _line(_SUBSCRIPTION.get(one["status"], (one["status"],)), _AHEAD.get(one["status"], ()))
    return Drawn(
        one["id"], "Partner Center", one["sourcePartnerName"], one["targetPartnerName"], about, one["createdTime"], stops
    )


def _sims(one: Mapping[str, Any], names: Mapping[str, str], kind: str) -> Drawn:
    status, count = one["status"], len(one["sims"])
    about = f"{count} SIM{'' if count == 1 else 's'}"
    if kind:
        stops = _line(_ASSISTED.get(status, (status,)), _AHEAD.get(status, ()))
        about += f" in use, by a form{', ' + one['starts_at'][:10] if one['starts_at'] else ''}"
    else:
        passed = _SIM.get(status, (status,))
        if status == "accepted" and len(one["moved"]) < count:
            passed, about = ("offered", "partially accepted"), f"{about}, {len(one['moved'])} moved"
        elif one["void"] and status == "offered":
            about += f", {len(one['void'])} void"
        stops = _line(passed, _AHEAD[status] if status == "offered" else ())
    source, target = names.get(one["source"], one["source"]), names.get(one["target"], one["target"])
    return Drawn(one["id"], "SORACOM", source, target, about, one["at"], stops)


def _line(passed: tuple[str, ...], ahead: tuple[str, ...]) -> list[Stop]:
    past = [Stop(name, "past") for name in passed[:-1]]
    tone = "" if ahead else TONES.get(passed[-1], "")
    return [*past, Stop(passed[-1], "now", tone), *(Stop(name, "ahead") for name in ahead)]
