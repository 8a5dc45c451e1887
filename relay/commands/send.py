"""What does the relay say to an event?"""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any, BinaryIO

import click

from relay.commands.api import Api, connected
from relay.commands.saying import say
from relay.commands.watching import REFUSED, SENT, Folder


@click.command("send")
@click.argument("file", type=click.File("rb"), required=False)
@click.option(
    "--watch", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Post each *.json file that appears in this folder.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="With --watch: post what is there, and end.")
@click.option("--every", type=click.FloatRange(0.05, 3600), default=1.0, show_default=True, help="Seconds between two looks.")
@connected
def send_command(api: Api, file: BinaryIO | None, folder: Path | None, once: bool, every: float) -> None:
    """Post the event, or the array of events, in FILE (`-`: standard input), as a producer would.

    A CloudEvent, or an array of them, is posted as such. Prints each answer; the exit code is 1 if one of them is a
    refusal.

    With --watch, the files that appear in a folder are posted, the oldest first, until Ctrl-C. Then they are moved:
    into sent/, or into refused/ with the answer beside it (NAME.problem). While the relay is away or has no room they
    wait. It may be ended and begun again at any time: the events' ids make a repeat no second event. Write files
    elsewhere, or under another ending, and rename them.
    """
    if (file is None) == (folder is None):
        raise click.UsageError("give either FILE or --watch FOLDER")
    if file is not None:
        _send(api, file.read())
    assert folder is not None
    _watch(Folder(folder, api, say, threading.Event(), every), once=once)


def _send(api: Api, raw: bytes) -> None:
    said = api.post_events(raw)
    answers = said.body if isinstance(said.body, list) else [said.body]
    worst = said.status
    for answer in answers:
        code = answer.get("code", said.status) if isinstance(answer, dict) else said.status
        worst = max(worst, code)
        say(json.dumps(answer, ensure_ascii=False) if api.as_json else _line(code, answer))
    raise SystemExit(1 if worst >= 400 else 0)


def _watch(folder: Folder, *, once: bool) -> None:
    """Until a signal: the file that is being posted is finished first; a second signal does not wait for it."""

    def end(number: int, frame: object) -> None:
        folder.stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        known = folder.watch(once=once)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    sent, refused = folder.counts[SENT], folder.counts[REFUSED]
    say(f"{sent} sent, {refused} refused, {folder.left()} left")
    raise SystemExit(1 if not known or (once and refused) else 0)


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
