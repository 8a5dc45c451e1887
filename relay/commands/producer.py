"""Which systems may post events?"""

from __future__ import annotations

import click

from relay.commands.api import Api, connected
from relay.commands.token import SHOWN


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


@producer_command.command("tokens")
@click.argument("producer")
@connected
def tokens(api: Api, producer: str) -> None:
    """List a producer's tokens, without their texts (operator)."""
    api.show(api.every("producers", producer, "tokens"), SHOWN)


@producer_command.command("add-token")
@click.argument("producer")
@click.option("--name", default="", help="What it is for.")
@click.option("--expires-at", help="Until when it works, such as 2027-01-01T00:00:00Z; else until it is revoked.")
@connected
def add_token(api: Api, producer: str, name: str, expires_at: str | None) -> None:
    """Make one more token for a producer; those it has go on working (operator)."""
    body = {key: value for key, value in {"name": name, "expires_at": expires_at}.items() if value}
    api.show(api.ask("POST", "producers", producer, "tokens", body=body))


@producer_command.command("revoke-token")
@click.argument("producer")
@click.argument("token_id")
@connected
def revoke_token(api: Api, producer: str, token_id: str) -> None:
    """Revoke one of a producer's tokens (operator)."""
    api.show(api.ask("DELETE", "producers", producer, "tokens", token_id))


@producer_command.command("rotate-secret")
@click.argument("producer")
@click.option(
    "--overlap-seconds", "overlap", type=click.IntRange(0, 30 * 86_400), default=86_400, show_default=True,
    help="For how many seconds the secrets before it go on working.",
)  # fmt: skip
@connected
def rotate_secret(api: Api, producer: str, overlap: int) -> None:
    """Make a new signing secret for a producer, shown this once (operator)."""
    body = {"previous_expires_in_seconds": overlap}
    api.show(api.ask("POST", "producers", producer, "secrets", body=body))
