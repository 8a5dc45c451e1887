"""Which tokens may speak for a partner?"""

from __future__ import annotations

import click

from relay.commands.api import Api, connected


@click.group("token")
def token_command() -> None:
    """Partners' tokens."""


@token_command.command("list")
@click.argument("partner")
@connected
def list_(api: Api, partner: str) -> None:
    """List a partner's tokens, without their texts (operator)."""
    api.show(api.every("partners", partner, "tokens"), ("id", "created_at"))


@token_command.command("create")
@click.argument("partner")
@connected
def create(api: Api, partner: str) -> None:
    """Make a token for a partner; it is shown this once (operator)."""
    api.show(api.ask("POST", "partners", partner, "tokens", body={}))


@token_command.command("revoke")
@click.argument("partner")
@click.argument("token_id")
@connected
def revoke(api: Api, partner: str, token_id: str) -> None:
    """Revoke a partner's token by its id (operator)."""
    api.show(api.ask("DELETE", "partners", partner, "tokens", token_id))
