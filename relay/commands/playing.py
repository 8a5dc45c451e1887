"""How does a person at a terminal watch a play?

Line by line as it happens: on a terminal with colours and, below, the states that the transfer has come
through; else as plain text, one line each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, Final

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from relay.times import from_ms

_SIGNS: Final = {
    "step": ("▶", "bold"), "system": ("·", ""), "called": ("→", "magenta"), "state": ("●", "bold cyan"),
    "post": ("⇒", "green"), "mail": ("✉", "yellow"), "nobody": ("–", "dim"), "end": ("■", "bold green"),
}  # fmt: skip
_WORDS: Final = {"called": "callback", "state": "event", "post": "webhook", "mail": "e-mail", "nobody": "not told"}


def watch(ask: Callable[[str, str, object], Any], life: str, *, fast: bool, as_json: bool) -> bool:
    """Play it and show it; whether it was played to its end. `ask` asks the sandbox (method, path, body)."""
    begun = play = ask("POST", "/sandbox/plays", {"life": life, "fast": fast})
    console = Console(highlight=False, soft_wrap=True)
    pretty = console.is_terminal and not as_json
    with Live(console=console, auto_refresh=False, transient=True) if pretty else nullcontext() as live:
        for play, line in _lines(ask, begun):
            if as_json:
                click.echo(json.dumps(line, ensure_ascii=False))
            elif live is not None:
                console.print(styled(line))
                live.update(progress(play), refresh=True)
            else:
                click.echo(plain(line))
    if pretty:
        console.print(progress(play))
    return bool(play["state"] == "played")


def plain(line: dict[str, Any]) -> str:
    """A line as text: when, what, who, and what happened."""
    what = _WORDS.get(line["what"], line["what"])
    return f"{_time(line)}  {what:<9} {line['who'] + ': ' if line['who'] else ''}{line['text']}{'' if line['ok'] else '  ✗'}"


def styled(line: dict[str, Any]) -> Text:
    """The same for a terminal."""
    sign, style = _SIGNS[line["what"]]
    if not line["ok"]:
        style = "bold red" if line["what"] == "end" else "red"
    text = Text()
    if line["what"] == "step":
        text.append("\n")
    text.append(f"{_time(line)}  ", "dim")
    text.append(f"{sign} ", style)
    if line["who"]:
        text.append(f"{line['who']} ", "bold" if line["what"] == "step" else "dim")
    text.append(line["text"], style)
    return text


def progress(play: dict[str, Any]) -> Text:
    """The states that the transfer has come through."""
    text = Text("\n  ")
    for number, status in enumerate(play["statuses"]):
        text.append(" ━━ " if number else "", "dim")
        text.append(f"● {status.replace('_', ' ')}", _COLOURS.get(status, "cyan"))
    if play["state"] == "playing":
        text.append(" ━━ " if play["statuses"] else "", "dim")
        text.append("○ …", "dim")
    return text


_COLOURS: Final = {"completed": "bold green", "failed": "bold red", "expired": "bold red", "canceled": "bold yellow",
                   "partially_completed": "bold yellow"}  # fmt: skip


def _lines(ask: Callable[[str, str, object], Any], play: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    after, path = 0, f"/sandbox/plays/{play['id']}"
    while True:
        for line in play["lines"]:
            yield play, line
        after = play["next"]
        if play["state"] != "playing" and not play["lines"]:
            return
        play = ask("GET", f"{path}?after={after}&wait=1", None)


def _time(line: dict[str, Any]) -> str:
    return f"{from_ms(line['at_ms']).astimezone():%H:%M:%S}"
