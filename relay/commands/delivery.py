"""What became of a message, and may it be sent again?"""

from __future__ import annotations

import click

from relay.commands.api import Api, connected
from relay.commands.saying import say
from relay.model import DeliveryStatus

COLUMNS = ("id", "channel", "partner", "email", "type", "transfer", "status", "held", "attempt_count", "last_outcome")


@click.group("delivery")
def delivery_command() -> None:
    """Messages: an event to an endpoint or a mailbox."""


@delivery_command.command("list")
@click.option("--status", type=click.Choice([one.value for one in DeliveryStatus]), help="Only those in this status.")
@click.option("--channel", type=click.Choice(["webhook", "email"]))
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@connected
def list_(api: Api, limit: int, **only: str | None) -> None:
    """List deliveries of the whole installation, newest first (operator)."""
    api.show(api.ask("GET", "deliveries", limit=limit, **only)["data"], COLUMNS)


@delivery_command.command("show")
@click.argument("delivery")
@connected
def show(api: Api, delivery: str) -> None:
    """Show a delivery, and what came of each attempt."""
    found = api.ask("GET", "deliveries", delivery)
    if api.as_json:
        api.show(found)
        return
    api.show({name: value for name, value in found.items() if name != "attempts" and value is not None})
    for one in found["attempts"]:
        status = f" {one['status']}" if one["status"] else ""
        say(f"\n{one['number']}. {one['at']} {one['outcome']}{status}")
        if one["explanation"]:
            say(f"   {one['explanation']}")


@delivery_command.command("resend")
@click.argument("deliveries", nargs=-1, required=True)
@connected
def resend(api: Api, deliveries: tuple[str, ...]) -> None:
    """Send deliveries again, each with all its tries before it."""
    for delivery in deliveries:
        api.ask("POST", "deliveries", delivery, "resend", body={})
        if not api.as_json:
            say(f"{delivery}: it is sent again")
