"""Where does a transfer stand, and who was told of it?"""

from __future__ import annotations

from typing import Any

import click

from relay.commands.api import Api, connected
from relay.commands.delivery import COLUMNS
from relay.commands.saying import say
from relay.model import Audience, Kind, Status

_MARKS = ("late", "repeat", "derived", "gap")


@click.group("transfer")
def transfer_command() -> None:
    """Transfers and what became of them."""


@transfer_command.command("list")
@click.option("--status", type=click.Choice([one.value for one in Status]), help="Only those in this status.")
@click.option("--kind", type=click.Choice([one.value for one in Kind]))
@click.option("--role", type=click.Choice([one.value for one in Audience]), help="Only those in which you have this role.")
@click.option("--customer", help="Only this customer's, by id.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@connected
def list_(api: Api, limit: int, **only: str | None) -> None:
    """List transfers, newest first: your own, or the operator's all."""
    found = api.ask("GET", "transfers", limit=limit, **only)["data"]
    rows = [{**one, **{side: (one.get(side) or {}).get("id") for side in ("source", "target")}} for one in found]
    api.show(found if api.as_json else rows, ("id", "kind", "status", "source", "target", "sequence", "updated_at"))


@transfer_command.command("show")
@click.argument("transfer")
@connected
def show(api: Api, transfer: str) -> None:
    """Show where a transfer stands: each event, who was told and what became of it, and who was not, with the reason."""
    found = api.ask("GET", "transfers", transfer)
    if api.as_json:
        api.show(found)
        return
    names = ("id", "kind", "status", "source", "target", "customer", "updated_at")
    api.show({name: found[name] for name in names if found.get(name) is not None})
    for entry in found["timeline"]:
        marks = "".join(f", {mark}" for mark in _MARKS if entry[mark])
        say(f"\n{entry['sequence']}. {entry['type']} at {entry['occurred_at']} ({entry['event_id']}{marks})")
        for told in entry["told"]:
            say(f"   {told['channel']:<8} {_whom(told)}: {_became(told)}{told['delivery']}")
        for skip in entry["skipped"]:
            say(f"   –        {_whom(skip)}: no {skip['channel']}, {skip['reason']}")
    for refusal in found["refusals"]:
        say(f"\nrefused: {refusal['type']} at {refusal['refused_at']} ({refusal['event_id']}): {refusal['reason']}")


@transfer_command.command("deliveries")
@click.argument("transfer")
@click.option("--channel", type=click.Choice(["webhook", "email"]))
@connected
def deliveries(api: Api, transfer: str, channel: str | None) -> None:
    """List the deliveries of a transfer, newest first."""
    api.show(api.every("transfers", transfer, "deliveries", channel=channel), COLUMNS)


def _became(told: dict[str, Any]) -> str:
    """What became of the delivery by now; nothing when its records are no longer kept."""
    if told["status"] is None:
        return ""
    return f"{told['status']}{': ' + told['reason'] if told['reason'] else ''}, "


def _whom(one: dict[str, Any]) -> str:
    whom = one.get("email") or one.get("endpoint") or one.get("partner")
    return f"{one['audience']} {whom}" if whom else str(one["audience"])
