"""Under which keys is what is sealed, and how is an old key let go?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from relay.commands.database import database_options, settings
from relay.config import Config
from relay.errors import VaultError
from relay.rotation import Rotation, Walk
from relay.services import connect
from relay.vault import Vault


@click.group("keys")
def keys_command() -> None:
    """The keys that secrets are sealed with (`secrets.keys`)."""


@keys_command.command("rotate")
@database_options
def rotate(config: Path | None, data: Path | None) -> None:
    """Seal everything again with the first key, while the relay runs.

    To replace a key without a gap: add the new one at the end of `secrets.keys` and restart every process;
    put it first and restart every process; run this; remove the old one and restart every process.
    """
    walk = _run(settings(config, data), lambda rotation: rotation.rotate())
    for what, count in sorted(walk.again.items()):
        click.echo(f"sealed again: {count} {what}{'' if count == 1 else 's'}")
    _lost(walk)
    click.echo(f"All {walk.current.total()} that are sealed are under the first key; the others can be removed.")


@keys_command.command("status")
@database_options
def status(config: Path | None, data: Path | None) -> None:
    """Say how much is under the first key and how much is not, and change nothing."""
    walk = _run(settings(config, data), lambda rotation: rotation.walk(change=False))
    for what in sorted({*walk.current, *walk.old}):
        click.echo(f"{what}: {walk.current[what]} under the first key, {walk.old[what]} under another")
    _lost(walk)


def _lost(walk: Walk) -> None:
    for context in walk.lost:
        click.echo(f"✗ {context}: no key of secrets.keys opens it", err=True)
    if walk.lost:
        raise SystemExit(1)


def _run(loaded: Config, do: Callable[[Rotation], Awaitable[Walk]]) -> Walk:
    async def go() -> Walk:
        client = connect(loaded)
        try:
            return await do(Rotation(client, Vault(loaded.secrets.key_bytes)))
        finally:
            await client.close()

    try:
        return asyncio.run(go())
    except VaultError as error:
        raise click.ClickException(str(error)) from None
