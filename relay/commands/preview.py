"""What does every e-mail look like?"""

from __future__ import annotations

import os
from pathlib import Path

import click

from relay.commands.processes import config_option
from relay.config import load
from relay.data import templates_dir


@click.command("preview")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@config_option
def preview_command(directory: Path, config: Path | None) -> None:
    """Write every e-mail in every language into DIRECTORY, light and dark, as text and as sent, with an index."""
    from relay.mail.compose import Composer
    from relay.mail.preview import write_preview

    templates = templates_dir()
    written = write_preview(directory, Composer(load(config, os.environ).mail, templates), templates)
    click.echo(f"{len(written)} files; open {directory / 'index.html'}")
