"""To whom is nothing mailed any more?"""

from __future__ import annotations

import click

from relay.closed import SuppressionReason
from relay.commands.api import Api, connected

_COLUMNS = ("email", "reason", "source", "at", "status", "detail")


@click.group("suppression")
def suppression_command() -> None:
    """Addresses that nothing is mailed to."""


@suppression_command.command("list")
@click.option("--reason", type=click.Choice([reason.value for reason in SuppressionReason]), help="Only for this reason.")
@click.option("--email", help="Only this address.")
@click.option("--partner", help="Only this partner's admin agents.")
@connected
def list_(api: Api, reason: str | None, email: str | None, partner: str | None) -> None:
    """List them, newest first (operator; with --partner, that partner)."""
    if partner is not None and (reason or email):
        raise click.UsageError("give --partner alone")
    if partner is None:
        api.show(api.every("suppressions", reason=reason, email=email), _COLUMNS)
    else:
        api.show(api.every("partners", partner, "suppressions"), _COLUMNS)


@suppression_command.command("add")
@click.argument("email")
@click.option("--note", default="", help="Why, for whoever reads the list.")
@connected
def add(api: Api, email: str, note: str) -> None:
    """Have nothing more mailed to an address (operator)."""
    api.show(api.ask("POST", "suppressions", body={"email": email, "note": note}))


@suppression_command.command("remove")
@click.argument("email")
@click.option("--partner", help="As this partner: one of its admin agents.")
@connected
def remove(api: Api, email: str, partner: str | None) -> None:
    """Take an address off the list (operator; with --partner, that partner)."""
    path = ("suppressions", email) if partner is None else ("partners", partner, "suppressions", email)
    api.show(api.ask("DELETE", *path))
