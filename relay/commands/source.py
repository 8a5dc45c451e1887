"""Which transfer systems does the relay listen to, and how is that going?"""

from __future__ import annotations

from typing import Any

import click

from relay.commands.api import Api, connected


@click.group("source")
def source_command() -> None:
    """Transfer systems that the relay listens to itself."""


@source_command.command("list")
@connected
def list_(api: Api) -> None:
    """List the sources and what is wrong with them (operator)."""
    found = api.ask("GET", "sources")["data"]
    rows = [{**one, "wrong": ", ".join(trouble["kind"] for trouble in one["troubles"]) or "–"} for one in found]
    api.show(found if api.as_json else rows, ("source", "waiting", "wrong", "callback_url"))


@source_command.group("partner-center")
def partner_center() -> None:
    """Callbacks of Microsoft Partner Center, one tenant each."""


@partner_center.command("register")
@click.argument("tenant")
@click.option("--replace", is_flag=True, help="Also when somebody else's URL is registered; it cuts them off.")
@connected
def register(api: Api, tenant: str, replace: bool) -> None:
    """Have Partner Center call this relay for everything about transfers (operator)."""
    api.show(api.ask("POST", "sources", "partner-center", tenant, "registration", body={"replace": replace}))


@partner_center.command("status")
@click.argument("tenant")
@connected
def status(api: Api, tenant: str) -> None:
    """Show whom Partner Center calls, what waits and what is wrong; exit code 1 if anything is (operator)."""
    found = api.ask("GET", "sources", "partner-center", tenant)
    wrong = [f"{one['kind']}: {one['detail']} (since {one['since']})" for one in found["troubles"]]
    registration: dict[str, Any] | None = found["registration"]
    if registration is None:
        wrong.append(f"Partner Center cannot be asked: {found['unreachable']}")
    elif registration["problem"] and not any(one["kind"] == "registration" for one in found["troubles"]):
        wrong.append(f"registration: {registration['problem']}")
    if api.as_json:
        api.show(found)
    else:
        shown = {name: found[name] for name in ("source", "callback_url", "waiting", "tested_at")}
        if registration is not None:
            shown |= {"registered_url": registration["url"], "registered_events": registration["events"]}
        api.show(shown)
        api.show(found["past"], ("at", "event", "outcome", "transfer"))
        for line in wrong:
            click.echo(f"✗ {line}", err=True)
    raise SystemExit(1 if wrong else 0)


@partner_center.command("test")
@click.argument("tenant")
@connected
def test(api: Api, tenant: str) -> None:
    """Ask Partner Center for a validation event and wait for it; exit code 1 unless it comes (operator)."""
    found = api.ask("POST", "sources", "partner-center", tenant, "test", body={})
    api.show(found)
    raise SystemExit(0 if found["arrived"] else 1)
