"""Which tokens may speak for a partner?"""

from __future__ import annotations

import click

from relay.commands.api import Api, connected

SHOWN = ("id", "name", "scope", "created_at", "expires_at", "last_used_at")


@click.group("token")
def token_command() -> None:
    """Partners' tokens."""


@token_command.command("list")
@click.argument("partner")
@connected
def list_(api: Api, partner: str) -> None:
    """List a partner's tokens, without their texts (operator)."""
    api.show(api.every("partners", partner, "tokens"), SHOWN)


@token_command.command("create")
@click.argument("partner")
@click.option("--name", default="", help="What it is for.")
@click.option("--read-only", is_flag=True, help="It changes nothing and is shown no secret.")
@click.option("--expires-at", help="Until when it works, such as 2027-01-01T00:00:00Z; else until it is revoked.")
@connected
def create(api: Api, partner: str, name: str, read_only: bool, expires_at: str | None) -> None:
    """Make a token for a partner; it is shown this once (operator)."""
    given = {"name": name, "scope": "read" if read_only else None, "expires_at": expires_at}
    body = {key: value for key, value in given.items() if value}
    api.show(api.ask("POST", "partners", partner, "tokens", body=body))


@token_command.command("revoke")
@click.argument("partner")
@click.argument("token_id")
@connected
def revoke(api: Api, partner: str, token_id: str) -> None:
    """Revoke a partner's token by its id (operator)."""
    api.show(api.ask("DELETE", "partners", partner, "tokens", token_id))
