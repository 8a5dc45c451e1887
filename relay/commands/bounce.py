"""What does a mail server hand to the relay of what came to the bounce mailbox?"""

from __future__ import annotations

import json
from typing import BinaryIO
from urllib.parse import urlencode

import click

from relay.commands.api import Api, connected

_REFUSED, _LATER = 65, 75
"""EX_DATAERR and EX_TEMPFAIL of sysexits.h, which mail servers understand."""


@click.command("bounce")
@click.argument("file", type=click.File("rb"))
@click.option("--recipient", default="", help="The address that the message came to, such as Postfix's ${recipient}.")
@connected
def bounce_command(api: Api, file: BinaryIO, recipient: str) -> None:
    """Hand in the message in FILE (`-`: standard input) that came to the bounce mailbox.

    For a pipe from a mail server. The exit code is 0 when it was taken or may be forgotten, 65 when it is no report or is
    not believed, and 75 when the relay cannot take it now: the mail server then keeps it and comes again.
    """
    query = f"?{urlencode({'recipient': recipient})}" if recipient else ""
    try:
        said = api.send("POST", f"/v1/bounces{query}", file.read(), media="message/rfc822")
    except click.ClickException as error:
        click.echo(error.format_message(), err=True)
        raise SystemExit(_LATER) from None
    body = said.body if isinstance(said.body, dict) else {}
    if said.status < 400:
        click.echo(json.dumps(body) if api.as_json else f"{body.get('outcome')} {body.get('delivery') or ''}".strip())
        return
    faults = [fault["detail"] for fault in body.get("errors", ())] or [body.get("detail") or str(said.status)]
    click.echo(f"{said.status}: {' '.join(faults)}", err=True)
    # A token that is not taken, or a setting that is missing, is mended: until then nothing is thrown away.
    raise SystemExit(_REFUSED if said.status in (413, 422) else _LATER)
