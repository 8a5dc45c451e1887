"""Which systems may post events?"""

from __future__ import annotations

import click

from relay.commands.api import Api, connected


@click.group("producer")
def producer_command() -> None:
    """Systems that post events."""


@producer_command.command("list")
@connected
def list_(api: Api) -> None:
    """List the producers (operator)."""
    api.show(api.every("producers"), ("id", "name", "all_transfers", "created_at"))


@producer_command.command("create")
@click.argument("name")
@click.option(
    "--all-transfers", is_flag=True, help="It may post about transfers that another one named first."
)
@connected
def create(api: Api, name: str, all_transfers: bool) -> None:
    """Let a system post events; its token and secret are shown this once (operator)."""
    api.show(api.ask("POST", "producers", body={"name": name, "all_transfers": all_transfers}))


@producer_command.command("revoke")
@click.argument("producer")
@connected
def revoke(api: Api, producer: str) -> None:
    """Revoke a producer's token and secret (operator)."""
    api.show(api.ask("DELETE", "producers", producer))
