"""What does the relay say to an event?"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import click

from relay.commands.api import Api, connected


@click.command("send")
@click.argument("file", type=click.File("rb"))
@connected
def send_command(api: Api, file: BinaryIO) -> None:
    """Post the event, or the array of events, in FILE (`-`: standard input), as a producer would.

    Prints each answer; the exit code is 1 if one of them is a refusal.
    """
    said = api.send("POST", "/v1/events", file.read())
    answers = said.body if isinstance(said.body, list) else [said.body]
    worst = said.status
    for answer in answers:
        code = answer.get("code", said.status) if isinstance(answer, dict) else said.status
        worst = max(worst, code)
        click.echo(json.dumps(answer, ensure_ascii=False) if api.as_json else _line(code, answer))
    raise SystemExit(1 if worst >= 400 else 0)


def _line(code: int, answer: Any) -> str:
    said = answer or {}
    words = said.get("status") if isinstance(said.get("status"), str) else ""
    parts = [
        str(code),
        str(words or said.get("title") or ""),
        str(said.get("id") or ""),
        said.get("detail") or "",
    ]
    lines = [" ".join(part for part in parts if part)]
    lines += [
        f"    {fault['pointer'] or '(the whole body)'}: {fault['detail']}" for fault in said.get("errors", ())
    ]
    return "\n".join(lines)
