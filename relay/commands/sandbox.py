"""How is the sandbox started and driven at a terminal?

Every command but `serve` and `settings` is a request to a running sandbox. Where it is and its token are
found in the data folder of `relay up`, unless they are given.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from relay.commands.api import Api, Refused, given
from relay.commands.nearby import data_option, found
from relay.commands.processes import config_option
from relay.config import load


@click.group("sandbox")
def sandbox_command() -> None:
    """The transfer systems themselves, played on this machine."""


@sandbox_command.command("serve")
@config_option
def serve_(config: Path | None) -> None:
    """Run the sandbox until it is told to stop (`relay up` does so too)."""
    from relay.sandbox.serve import run

    raise SystemExit(run(load(config, os.environ)))


@sandbox_command.command("settings")
@config_option
def settings_(config: Path | None) -> None:
    """Print what the relay must be set to, to listen to the sandbox: lines for a shell."""
    import shlex

    from relay.sandbox.serve import settings_of

    for name, value in settings_of(load(config, os.environ)).items():
        click.echo(f"export {name}={shlex.quote(value)}")


@dataclass(frozen=True, slots=True)
class Driver:
    """A running sandbox, as a person at a terminal drives it."""

    api: Api

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of an answer below 400. Raises click's exceptions."""
        import json

        said = self.api.send(method, path, None if body is None else json.dumps(body).encode())
        if said.status >= 400:
            raise Refused(said.status, said.body, self.api.hint(said.status))
        return said.body


def driving(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command `--data`, `--sandbox`, `--token` and `--json`, and a `Driver` as its first argument."""

    @data_option
    @click.option("--sandbox", envvar="RELAY_SANDBOX_URL", help="Where the sandbox is, if not there.")
    @click.option("--token", envvar="RELAY_OPERATOR_TOKEN", help="The operator's token, if not there.")
    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
    @functools.wraps(command)
    def wrapped(*args: Any, data: Path, sandbox: str | None, token: str | None, as_json: bool, **rest: Any) -> Any:
        place = found(data, sandbox, token, file="sandbox/url")
        if not place.url or not place.token:
            raise click.ClickException(
                f"no sandbox is known in {data}; start `relay up` here, or give --sandbox and --token"
            )
        return command(Driver(Api(place.url, place.token, as_json, data if place.kept else None)), *args, **rest)

    return wrapped


@sandbox_command.command("play")
@click.argument("life", required=False)
@click.option("--list", "listing", is_flag=True, help="Which lives there are.")
@click.option("--fast", is_flag=True, help="Without pauses for who reads along.")
@driving
def play_(driver: Driver, life: str | None, listing: bool, fast: bool) -> None:
    """Play LIFE, from the parties' first step to the last POST and e-mail, and show it; `all` plays every one.

    It needs a running `relay up`. Exit code 1 unless it was played to its end.
    """
    from relay.commands.playing import watch

    known = driver.ask("GET", "/sandbox/lives")["data"]
    names = [one["name"] for one in known]
    if listing or life is None:
        driver.api.show(known, ("name", "about"))
        return
    if life not in (*names, "all"):
        raise click.UsageError(f"there is no life {life!r}; there are {', '.join(names)}, and all")
    played = [
        watch(driver.ask, name, fast=fast, as_json=driver.api.as_json) for name in (names if life == "all" else [life])
    ]
    raise SystemExit(0 if all(played) else 1)


@sandbox_command.command("clock")
@click.option("--rate", type=float, help="Seconds of the sandbox in one of the world's; 0 stops it, 1 is real time.")
@click.option("--jump", help="It is so much later at once: 90s, 15m, 72h or 30d.")
@driving
def clock_(driver: Driver, rate: float | None, jump: str | None) -> None:
    """Show or set the sandbox's time."""
    body = given(rate=rate, jump_seconds=_seconds(jump) if jump else None)
    driver.api.show(driver.ask("POST" if body else "GET", "/sandbox/clock", body or None))


@sandbox_command.command("fault")
@click.argument("system")
@click.argument("kind", required=False)
@click.option("--count", type=int, help="How often.")
@click.option("--transfer", help="Only in this transfer.")
@click.option("--tenant", help="Only for this party.")
@click.option("--event", help="Only calls with this event.")
@click.option("--item", type=int, help="Which item, from 1.")
@click.option("--for", "lasts", help="How long: 90s, 15m, 72h or 30d.")
@click.option("--then", help="How it goes on after that.")
@click.option("--clear", is_flag=True, help="Forget the faults that wait.")
@driving
def fault_(driver: Driver, system: str, kind: str | None, lasts: str | None, clear: bool, **rest: Any) -> None:
    """Have something go wrong in SYSTEM; without KIND, show what may go wrong and what waits."""
    path = f"/sandbox/{system}/faults"
    if clear:
        driver.ask("DELETE", path)
    if kind:
        body = given(kind=kind, seconds=_seconds(lasts) if lasts else None, **rest)
        driver.ask("POST", path, body)
    found = driver.ask("GET", path)
    if driver.api.as_json:
        driver.api.show(found)
        return
    if not kind and not clear:
        driver.api.show(found["known"])
        click.echo()
    driver.api.show(found["data"], ("kind", "count", "transfer", "tenant", "event", "item", "seconds"))


@sandbox_command.command("token")
@click.argument("partner")
@click.option("--role", default="admin_agent", show_default=True, help="Of whom; application: nobody, the program alone.")
@driving
def token_(driver: Driver, partner: str, role: str) -> None:
    """Print an OAuth token of PARTNER (its tenant, or its id with the relay) for Partner Center's API."""
    said = driver.ask("POST", "/sandbox/partner-center/tokens", {"partner": partner, "role": role})
    click.echo(said["access_token"])


@sandbox_command.command("reset")
@driving
def reset_(driver: Driver) -> None:
    """Begin anew: another world, without transfers, at the world's own time."""
    driver.api.show(driver.ask("POST", "/sandbox/reset", {}))


def _seconds(text: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = text[:-1], text[-1:]
    if not number.isascii() or not number.isdecimal() or unit not in units:
        raise click.UsageError(f"{text!r}: give a number with s, m, h or d, such as 30d")
    return int(number) * units[unit]
