"""Which installation does a command work on that speaks to the database itself?

The one that the settings name, or with `--data` the one that a `relay up` runs over a folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from relay.commands.nearby import FOLDER
from relay.commands.processes import config_option
from relay.config import Config, load, missing_keys
from relay.embedded import EmbeddedError, running_url
from relay.errors import ConfigError


def database_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--config` and `--data`."""
    command = click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        help="The folder of a `relay up` that runs, instead of the settings' database and keys.",
    )(command)
    return config_option(command)


def near(data: Path | None) -> list[str]:
    """A hint, where a `relay up` has its data in this folder and nobody said that it is meant."""
    if data is not None or not (FOLDER / "valkey").is_dir():
        return []
    return [f"a `relay up` has its data in {FOLDER}: if that is meant, add --data {FOLDER}"]


def settings(config: Path | None, data: Path | None) -> Config:
    """The settings, with a database and keys. Raises ConfigError."""
    environ = dict(os.environ)
    if data is not None:
        try:
            environ["RELAY_STORE__URL"] = running_url(data / "valkey")
            key = (data / "key").read_text("ascii").strip() if (data / "key").exists() else ""
        except (EmbeddedError, OSError) as error:
            raise ConfigError([f"--data {data}: {error}"]) from None
        if key:
            environ.setdefault("RELAY_SECRETS__KEYS", f'["{key}"]')
    loaded = load(config, environ)
    if problems := missing_keys(loaded):
        raise ConfigError(problems + near(data))
    return loaded
