"""How is everything started in one terminal?"""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command("up")
@click.option("--demo", is_flag=True, help="Register partners and play transfers to watch.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    envvar="RELAY_SERVER__PORT",
    help="Where the relay listens; 0: a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, envvar="RELAY_SERVER__HOST")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), default=Path(".relay"), show_default=True,
    help="Where everything is kept.",
)  # fmt: skip
def up_command(demo: bool, port: int, host: str, data: Path) -> None:
    """Everything in one terminal, on an embedded database: web, worker, and a mailbox that catches e-mail.

    Endpoints on this machine and plain http are allowed. Ctrl-C stops all of it.
    """
    from relay.up import Options, up

    raise SystemExit(up(Options(host, port, data.absolute(), demo), os.environ))
