"""What can a person say to the relay at a terminal?

One module a group of commands under `relay/commands`; a module is imported when its command is asked for,
so that `relay serve` does not wait for what only `relay up` needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, NoReturn

import click

from relay import __version__
from relay.errors import ConfigError, RelayError

_COMMANDS: Final = {
    "up": ("up", "Everything in one terminal, on an embedded database."),
    "serve": ("processes", "The web process."),
    "work": ("processes", "A worker process."),
    "check": ("check", "Say all that is wrong with the configuration, the database and the mail server."),
    "audit": ("audit", "Show that activity logs are what they were when they were written."),
    "keys": ("keys", "The keys that secrets are sealed with."),
    "send": ("send", "Post an event, as a producer would."),
    "preview": ("preview", "Write every e-mail in every language."),
    "partner": ("partner", "Partners and the people who are told."),
    "endpoint": ("endpoint", "Where partners are told."),
    "transfer": ("transfer", "Transfers and what became of them."),
    "delivery": ("delivery", "Messages: an event to an endpoint or a mailbox."),
    "token": ("token", "Partners' tokens."),
    "producer": ("producer", "Systems that post events."),
    "bounce": ("bounce", "Hand in a message that came to the bounce mailbox."),
    "suppression": ("suppression", "Addresses that nothing is mailed to."),
    "source": ("source", "Transfer systems that the relay listens to itself."),
    "sandbox": ("sandbox", "The transfer systems themselves, played on this machine."),
}
"""Each command with its module and its line in the help, in the order of the help."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        found: click.Command = getattr(
            import_module(f"relay.commands.{_COMMANDS[cmd_name][0]}"), f"{cmd_name}_command"
        )
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="relay")
def relay() -> None:
    """Tells both sides of a transfer, and the customer."""


def main() -> NoReturn:
    """The command `relay`. What is wrong is said in sentences on standard error, and the exit code is 1."""
    try:
        relay()
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"relay: {problem}", err=True)
    except RelayError as error:
        click.echo(f"relay: {error}", err=True)
    raise SystemExit(1)
