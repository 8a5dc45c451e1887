"""How fast is the relay, as a share of what this machine does bare, in this very run?

`python -m bench [--quick] [rates] [waits] [backlog] [memory] [parts]`. Every figure stands beside its bare limit; ratios
travel between machines, rates do not. The result is a table and `bench/results/latest.json`.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench import backlog, memory, parts, waits
from bench.rates import Rates
from bench.wire import Sink
from relay.embedded import free_port

_GOALS = {
    "ingest_ratio": "≥ 0.4",
    "deliver_two_ratio": "≥ 0.4",
    "deliver_thousand_ratio": "≥ 0.4",
    "two_workers_to_one": "≥ 1.7 where cores allow",
    "beside_hung_to_alone": "≤ 1.5",
    "backlog_long_to_short": "≤ 1.2",
}
"""What is aimed at; see docs/development.md for what is reached and what limits it."""


async def run(wanted: set[str], scale: int) -> dict[str, float]:
    """Measure what is wanted; all of it when nothing is named."""
    figures: dict[str, float] = {}
    Sink.reached = asyncio.Event()
    port = free_port()
    await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port, backlog=4096)
    sink = f"http://127.0.0.1:{port}"
    if not wanted or "rates" in wanted:
        await Rates(sink, figures, scale).run()
    if not wanted or "waits" in wanted:
        await waits.measure(sink, figures, scale)
    if not wanted or "backlog" in wanted:
        await backlog.measure(sink, figures, scale)
    if not wanted or "memory" in wanted:
        await memory.measure(sink, figures, scale)
    if not wanted or "parts" in wanted:
        parts.measure(figures)
    return figures


def main() -> None:
    """Run, print the table, keep the figures."""
    words = set(sys.argv[1:])
    quick = "--quick" in words
    figures = uvloop.run(run(words - {"--quick"}, 4 if quick else 1))
    python, cores = platform.python_version(), os.cpu_count() or 0
    table = Table("figure", "value", "goal", title=f"Python {python}, {cores} cores" + (", quick" if quick else ""))
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}" if value < 100 else f"{value:,.0f}", _GOALS.get(name, ""))
    Console().print(table)
    kept = Path("bench/results")
    kept.mkdir(parents=True, exist_ok=True)
    told = {"python": python, "cores": cores, "quick": quick, "figures": figures}
    (kept / "latest.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
