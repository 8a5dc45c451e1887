"""Where is a partner told, and how is that going?"""

from __future__ import annotations

import base64
from typing import IO, Any

import click

from relay.commands.api import Api, connected, given
from relay.commands.saying import say

_COLUMNS = ("id", "state", "sending", "url", "event_types", "format", "description", "failing_since")


@click.group("endpoint")
def endpoint_command() -> None:
    """Where partners are told."""


@endpoint_command.command("list")
@click.argument("partner")
@connected
def list_(api: Api, partner: str) -> None:
    """List a partner's endpoints."""
    found = api.every("partners", partner, "endpoints")
    api.show(found if api.as_json else [{**one, "sending": _sending(one)} for one in found], _COLUMNS)


def _sending(endpoint: dict[str, Any]) -> str:
    """How requests go to it, in a word or two: what its state and its breaker come to."""
    breaker = endpoint["breaker"]
    if endpoint["state"] == "disabled":
        return "held"
    match breaker["state"]:
        case "open":
            return f"held since {breaker['since']}, probe at {breaker['next_probe_at']}"
        case "ramping":
            return f"ramping up, {breaker['window']} at once"
    return "all"


@endpoint_command.command("add")
@click.argument("partner")
@click.argument("address")
@click.option("--type", "types", multiple=True, help="Only events of this type; repeat it for more.")
@click.option("--description")
@click.option("--ordering", type=click.Choice(["transfer", "none"]))
@click.option("--format", "format_", type=click.Choice(["standard", "cloudevents", "partner_center"]), help="In which words it is told.")
@click.option("--rate-limit", type=int, help="Requests a minute.")
@click.option("--header", "headers", multiple=True, help='A header to send along: "Name: value".')
@click.option("--secret", help="A signing secret of your own, whsec_…; one is made when absent.")
@click.option("--asymmetric", is_flag=True, help="Sign with a key pair (v1a) too; its public half is published.")
@click.option("--verify", is_flag=True, help="Register it only if a pre-flight with a signed ping finds no problem.")
@click.option("--handshake", is_flag=True, help="Register it only if it consents (CloudEvents, OPTIONS).")
@connected
def add(
    api: Api,
    partner: str,
    address: str,
    types: tuple[str, ...],
    description: str | None,
    ordering: str | None,
    format_: str | None,
    rate_limit: int | None,
    headers: tuple[str, ...],
    secret: str | None,
    asymmetric: bool,
    verify: bool,
    handshake: bool,
) -> None:
    """Register the URL ADDRESS; its signing secret is answered."""
    body = given(
        url=address,
        event_types=types,
        description=description,
        ordering=ordering,
        format=format_,
        rate_limit=rate_limit,
        secret=secret,
    )
    if headers:
        body["headers"] = dict(_header(text) for text in headers)
    flags = {"asymmetric": asymmetric, "verify": verify, "handshake": handshake}
    body |= {name: True for name, is_set in flags.items() if is_set}
    api.show(api.ask("POST", "partners", partner, "endpoints", body=body))


@endpoint_command.command("show")
@click.argument("partner")
@click.argument("endpoint")
@connected
def show(api: Api, partner: str, endpoint: str) -> None:
    """Show an endpoint."""
    api.show(api.ask("GET", "partners", partner, "endpoints", endpoint))


@endpoint_command.command("remove")
@click.argument("partner")
@click.argument("endpoint")
@connected
def remove(api: Api, partner: str, endpoint: str) -> None:
    """Remove an endpoint; what is owed to it is canceled."""
    api.show(api.ask("DELETE", "partners", partner, "endpoints", endpoint))


@endpoint_command.command("pause")
@click.argument("partner")
@click.argument("endpoint")
@connected
def pause(api: Api, partner: str, endpoint: str) -> None:
    """Send nothing until it is enabled; nothing is lost meanwhile."""
    api.show(api.ask("PATCH", "partners", partner, "endpoints", endpoint, body={"state": "disabled"}))


@endpoint_command.command("enable")
@click.argument("partner")
@click.argument("endpoint")
@connected
def enable(api: Api, partner: str, endpoint: str) -> None:
    """Enable an endpoint and release what was held."""
    api.show(api.ask("POST", "partners", partner, "endpoints", endpoint, "enable", body={}))


@endpoint_command.command("test")
@click.argument("partner")
@click.argument("endpoint")
@connected
def test(api: Api, partner: str, endpoint: str) -> None:
    """Send `relay.ping` now and show what came of it; the exit code is 1 unless it was taken."""
    attempt = api.ask("POST", "partners", partner, "endpoints", endpoint, "test", body={})
    api.show(attempt)
    raise SystemExit(0 if attempt["outcome"] == "accepted" else 1)


_MARKS = {"ok": "✓", "warning": "!", "problem": "✗"}


@endpoint_command.command("check")
@click.argument("partner")
@click.argument("endpoint")
@click.option("--forgery", is_flag=True, help="Also send a ping with a false signature, which should be refused.")
@connected
def check(api: Api, partner: str, endpoint: str, forgery: bool) -> None:
    """Look at name, connection and certificate and send a signed ping; the exit code is 1 if there is a problem."""
    path = ("partners", partner, "endpoints", endpoint, "preflight")
    said = api.ask("POST", *path, body={"forgery": forgery})
    if api.as_json:
        api.show(said)
    else:
        for finding in said["findings"]:
            say(f"{_MARKS[finding['level']]} {finding['check']}: {finding['detail']}")
    raise SystemExit(0 if said["ok"] else 1)


@endpoint_command.command("verify-help")
@click.argument("partner")
@click.argument("endpoint")
@click.argument("signature")
@click.option("--id", "message", required=True, help="The webhook-id of the message.")
@click.option("--timestamp", help="The webhook-timestamp that was verified; needed of a ping.")
@click.option("--body", type=click.File("rb"), help="A file with the bytes that were verified; needed of a ping.")
@click.option("--attempt", type=click.IntRange(1), help="Which attempt of the delivery; the last when absent.")
@click.option("--clock", type=int, help="The receiver's own time, in Unix seconds.")
@connected
def verify_help(
    api: Api,
    partner: str,
    endpoint: str,
    signature: str,
    message: str,
    timestamp: str | None,
    body: IO[bytes] | None,
    attempt: int | None,
    clock: int | None,
) -> None:
    """Say which mistake makes a receiver compute SIGNATURE; the exit code is 1 when none is known."""
    read = None if body is None else base64.b64encode(body.read()).decode()
    asked = given(
        signature=signature, id=message, timestamp=timestamp, body_base64=read, attempt=attempt, clock=clock
    )
    said = api.ask("POST", "partners", partner, "endpoints", endpoint, "verify-help", body=asked)
    if api.as_json:
        api.show(said)
    for mistake in () if api.as_json else said["mistakes"]:
        say(f"{mistake['mistake']}: {mistake['explanation']}")
    if not said["found"] and not api.as_json:
        say("No usual mistake gives this signature. Give --body and --timestamp as they were verified.")
    raise SystemExit(0 if said["found"] else 1)


@endpoint_command.command("secret")
@click.argument("partner")
@click.argument("endpoint")
@connected
def secret(api: Api, partner: str, endpoint: str) -> None:
    """Show the signing secret."""
    api.show(api.ask("GET", "partners", partner, "endpoints", endpoint, "secret"))


@endpoint_command.command("rotate")
@click.argument("partner")
@click.argument("endpoint")
@click.option("--overlap-seconds", type=int, help="For how long the old one signs too; a day when absent.")
@click.option("--key-pair", is_flag=True, help="Replace the key pair (v1a) and not the secret.")
@connected
def rotate(api: Api, partner: str, endpoint: str, overlap_seconds: int | None, key_pair: bool) -> None:
    """Replace the signing secret, or the key pair."""
    body = given(overlap_seconds=overlap_seconds, what="key_pair" if key_pair else None)
    api.show(api.ask("POST", "partners", partner, "endpoints", endpoint, "secret", "rotate", body=body))


@endpoint_command.command("replay")
@click.argument("partner")
@click.argument("endpoint")
@click.option("--since", required=True, help="RFC 3339, such as 2026-11-21T00:00:00Z.")
@click.option("--until", help="Now when absent.")
@click.option("--type", "types", multiple=True)
@connected
def replay(
    api: Api, partner: str, endpoint: str, since: str, until: str | None, types: tuple[str, ...]
) -> None:
    """Open the deliveries of a span of time again."""
    body = given(since=since, until=until, event_types=types)
    api.show(api.ask("POST", "partners", partner, "endpoints", endpoint, "replay", body=body))


@endpoint_command.command("deliveries")
@click.argument("partner")
@click.argument("endpoint")
@click.option("--status", type=click.Choice(["pending", "delivered", "exhausted", "canceled"]))
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@connected
def deliveries(api: Api, partner: str, endpoint: str, status: str | None, limit: int) -> None:
    """List an endpoint's deliveries, newest first."""
    page = api.ask(
        "GET", "partners", partner, "endpoints", endpoint, "deliveries", status=status, limit=limit
    )
    api.show(page["data"], ("id", "type", "transfer", "status", "held", "attempt_count", "last_outcome"))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise click.UsageError(f'{text!r}: give a header as "Name: value"')
    return name.strip(), value.strip()
