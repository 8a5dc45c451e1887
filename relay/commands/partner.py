"""Which partners are there, and who of them is told by e-mail?"""

from __future__ import annotations

from email.utils import parseaddr

import click

from relay.commands.api import Api, connected, given

_AGENT_HELP = 'A person who is told: "Aoi Tanaka <aoi@fabrikam.example>", with a language after it if it differs ("… ja").'


@click.group("partner")
def partner_command() -> None:
    """Partners and the people who are told."""


@partner_command.command("list")
@connected
def list_(api: Api) -> None:
    """List the partners (operator)."""
    api.show(api.every("partners"), ("id", "name", "locale", "admin_agents", "created_at"))


@partner_command.command("show")
@click.argument("partner")
@connected
def show(api: Api, partner: str) -> None:
    """Show a partner."""
    api.show(api.ask("GET", "partners", partner))


@partner_command.command("put")
@click.argument("partner")
@click.option("--name", required=True, help="As mails call it.")
@click.option("--locale", help="The language of its mails, such as ja; each person may have another.")
@click.option("--tenant-id", help="Its tenant in Partner Center, where it has one.")
@click.option("--agent", "agents", multiple=True, help=_AGENT_HELP)
@connected
def put(
    api: Api, partner: str, name: str, locale: str | None, tenant_id: str | None, agents: tuple[str, ...]
) -> None:
    """Register a partner, or replace what is registered of it (operator)."""
    body = given(name=name, locale=locale, tenant_id=tenant_id)
    body["admin_agents"] = [_agent(text) for text in agents]
    api.show(api.ask("PUT", "partners", partner, body=body))


@partner_command.command("agents")
@click.argument("partner")
@click.argument("agents", nargs=-1)
@connected
def agents(api: Api, partner: str, agents: tuple[str, ...]) -> None:
    """Replace the list of the people who are told, each "Name <address>"."""
    body = {"admin_agents": [_agent(text) for text in agents]}
    api.show(api.ask("PUT", "partners", partner, "admin-agents", body=body))


@partner_command.command("remove")
@click.argument("partner")
@connected
def remove(api: Api, partner: str) -> None:
    """Remove a partner with its endpoints and tokens (operator)."""
    api.show(api.ask("DELETE", "partners", partner))


@partner_command.command("activity")
@click.argument("partner")
@click.option("--transfer", help="Only of this transfer.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@connected
def activity(api: Api, partner: str, transfer: str | None, limit: int) -> None:
    """Show what was told to a partner, newest first."""
    page = api.ask("GET", "partners", partner, "activity", transfer=transfer, limit=limit)
    api.show(page["data"], ("at", "type", "transfer", "role", "audit", "late", "derived"))


@partner_command.command("portal-link")
@click.argument("partner")
@connected
def portal_link(api: Api, partner: str) -> None:
    """Make a link that signs a person of a partner into the portal, once (operator)."""
    api.show(api.ask("POST", "partners", partner, "portal-links", body={}))


def _agent(text: str) -> dict[str, object]:
    address, _, after = text.partition(">")
    name, email = parseaddr(address + (">" if "<" in address else ""))
    if "@" not in email:
        raise click.UsageError(f'{text!r}: give a person as "Name <address>"')
    return given(email=email, name=name or email.partition("@")[0], locale=after.strip() or None)
