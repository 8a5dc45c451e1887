"""How are the two processes of the Procfile started?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from relay.config import load


def settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--config` and `--unsafe-durability`."""
    command = click.option(
        "--unsafe-durability",
        is_flag=True,
        help="Run although the database would lose what was acknowledged.",
    )(command)
    return config_option(command)


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--config`."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A file over the defaults of config.example.toml; also RELAY_CONFIG.",
    )(command)


@click.command("serve")
@settings
def serve_command(config: Path | None, unsafe_durability: bool) -> None:
    """Run the web process until it is told to stop."""
    from relay.app import serve

    raise SystemExit(serve(load(config, os.environ), unsafe_durability=unsafe_durability))


@click.command("work")
@settings
def work_command(config: Path | None, unsafe_durability: bool) -> None:
    """Run a worker process until it is told to stop."""
    from relay.app import work

    raise SystemExit(work(load(config, os.environ), unsafe_durability=unsafe_durability))
