"""Run by `make chaos`: the rounds, a line for each, and the accounts at the end; exit 1 unless nothing was
lost and nothing out of order."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from contextlib import ExitStack, redirect_stdout
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chaos.outage import Outage, sit_out
from chaos.storm import SETTINGS, Result, Storm, unleash

_SETTLE_SHARE = 0.15
_SHOWN = 20


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", default=secrets.token_hex(4), help="draw the same victims, moments and faults again")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--rate", type=float, default=30.0, help="events a second")
    parser.add_argument("--minutes", type=float, default=14.5, help="at most, all in all")
    parser.add_argument("--keep", type=Path, help="a folder for the logs and the data, kept")
    parser.add_argument("--cluster", action="store_true", help="over a cluster of three servers")
    parser.add_argument("--away", type=float, help="no rounds: the database is frozen, then gone, for so many seconds each")
    given = parser.parse_args()
    limit_s = given.minutes * 60
    if given.away:
        settings = {name: SETTINGS[name] for name in SETTINGS if name.startswith("RELAY_RETRY__")}
        return _away(Outage(given.seed, given.away, given.rate, limit_s * _SETTLE_SHARE, settings), given.keep)
    settle_s = limit_s * _SETTLE_SHARE
    storm = Storm(given.seed, given.rounds, given.rate, limit_s - settle_s, settle_s, cluster=given.cluster)
    console = Console(file=sys.stdout)  # beside what the rig prints, which is shown when something went wrong
    console.print(f"seed {storm.seed}: {storm.rounds} rounds at {storm.rate:g} events a second")
    with ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        with redirect_stdout(StringIO()) as logs:
            result = asyncio.run(unleash(storm, folder, lambda so_far: _progress(console, so_far, storm)))
    _report(console, result)
    if not result.sound:
        sys.stderr.write(logs.getvalue())
    if result.rounds < storm.rounds:
        console.print(f"only {result.rounds} of {storm.rounds} rounds in the time: give it more, or a quieter machine")
    return 0 if result.sound and result.rounds >= storm.rounds else 1


def _away(outage: Outage, keep: Path | None) -> int:
    """With the settings of production, but for the waits between tries."""
    console = Console(file=sys.stdout)
    console.print(f"seed {outage.seed}: {outage.rate:g} events a second")
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        with redirect_stdout(StringIO()) as logs:
            seen = asyncio.run(sit_out(outage, folder, console.print))
    _report(console, seen)
    console.print(f"{seen.refused} times 503 with Retry-After; the slowest answer took {seen.slowest_s:.1f} s")
    if not seen.sound:
        sys.stderr.write(logs.getvalue())
    return 0 if seen.sound else 1


def _progress(console: Console, result: Result, storm: Storm) -> None:
    tally = result.tally
    console.print(
        f"{result.seconds:6.1f} s  round {result.rounds:3}/{storm.rounds}"
        f"  acknowledged {tally.acknowledged:6}  delivered {tally.delivered_count:6} of {tally.owed_count:6}"
        f"  duplicates {tally.duplicates:4}  out of order {tally.out_of_order}",
        soft_wrap=True,
    )


def _report(console: Console, result: Result) -> None:
    tally = result.tally
    table = Table("", "count", title=f"{result.rounds} rounds in {result.seconds:.0f} s")
    kills = ", ".join(f"{name} {count}" for name, count in result.kills.items())
    for what, count in (
        (f"killed ({kills})", sum(result.kills.values())),
        ("events acknowledged", tally.acknowledged),
        ("webhooks owed", tally.owed_count),
        ("webhooks delivered", tally.delivered_count),
        ("requests, with retries", tally.arrivals),
        ("mails owed / delivered", f"{tally.mails_owed} / {result.mails}"),
        ("duplicates, each with the same webhook-id", tally.duplicates),
        ("out of order", tally.out_of_order),
        ("lost", result.lost_count),
        ("left pending", result.unsettled),
        ("processes that ended by themselves", len(result.ended)),
        ("other problems", len(tally.problems) - tally.out_of_order),
    ):
        table.add_row(what, str(count))
    console.print(table)
    for problem in tally.problems[:_SHOWN]:
        console.print(f"  {problem}", markup=False)
    for who, ids in result.lost.items():
        console.print(f"  lost at {who}: {', '.join(sorted(ids)[:_SHOWN])}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
