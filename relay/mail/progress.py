"""How far is a transfer, as a line of two or three steps?

Drawn from table cells in the page and from plain characters in the text, so that it needs no image.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.mail.words import Words

_TONES = {
    "completed": "good",
    "partially_completed": "wait",
    "failed": "bad",
    "expired": "off",
    "canceled": "off",
}
_NEVER_BEGAN = frozenset({"expired", "canceled"})
_MARKS = {"good": "✓", "wait": "!", "bad": "✕", "off": "✕", "done": "✓", "now": "●", "todo": "○"}
_PLAIN = {"good": "x", "wait": "!", "bad": "-", "off": "-", "done": "x", "now": ">", "todo": " "}


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `look` is done, now, todo, or the tone of the end: good, wait, bad, off."""

    label: str
    look: str

    @property
    def mark(self) -> str:
        """A character that says it without colour."""
        return _MARKS[self.look]

    @property
    def plain(self) -> str:
        """The same for the text part, which every terminal shows."""
        return f"[{_PLAIN[self.look]}] {self.label}"


def steps(kind: str, status: str, words: Words) -> tuple[Step, ...]:
    """The steps of a transfer of this kind in this state: asked for, accepted, ended."""
    sim = kind == "sim"
    asked = words.one("step", "started" if sim else "requested")
    accepted = words.one("step", "accepted")
    state = words.state(kind, status)
    if status == "pending" and not sim:
        return Step(state, "now"), Step(accepted, "todo"), Step(words.one("step", "completed"), "todo")
    if status in ("pending", "in_progress"):
        return Step(asked, "done"), Step(state, "now"), Step(words.one("step", "completed"), "todo")
    end = Step(state, _TONES.get(status, "off"))
    if status in _NEVER_BEGAN or (sim and status == "failed"):
        return Step(asked, "done"), end
    return Step(asked, "done"), Step(accepted, "done"), end


def line(shown: tuple[Step, ...]) -> str:
    """The steps on one line of text."""
    return "  ---  ".join(step.plain for step in shown)
