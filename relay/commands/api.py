"""How does a command ask the API?

One request at a time, with what is needed said by options or by the environment, and the answer shown as
a table for a person or as JSON for a program.
"""

from __future__ import annotations

import functools
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relay.commands.nearby import data_option, found, is_own
from relay.commands.saying import fit, say

DEFAULT_URL = "http://127.0.0.1:8080"
_TIMEOUT_S = 60.0
_WIDEST = 1000


class Refused(click.ClickException):
    """The API refused; the message has all it said."""

    def __init__(self, status: int, problem: Any, hint: str = "") -> None:
        lines = [f"{status}: {problem.get('detail') or problem.get('title')}"] if problem else [str(status)]
        for fault in (problem or {}).get("errors", ()):
            lines.append(f"  {fault['pointer'] or '(the whole body)'}: {fault['detail']}")
        super().__init__(fit("\n".join([*lines, *([hint] if hint else [])])))


class Unreachable(click.ClickException):
    """Nobody answers."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: its status and its JSON, None where there is none. `retry_after_s`: when to come again."""

    status: int
    body: Any
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Api:
    """The API at `url`, as the holder of `token`; `as_json` says how answers are shown. `source`: the folder that
    the token is from, where it was not given."""

    url: str
    token: str
    as_json: bool = False
    source: Path | None = None

    def ask(self, method: str, *path: str, body: object = None, **query: object) -> Any:
        """The JSON of an answer below 400. Raises click's exceptions."""
        text = "/".join(quote(part, safe="") for part in path)
        asked = {name: value for name, value in query.items() if value is not None}
        data = None if body is None else json.dumps(body).encode()
        said = self.send(method, f"/v1/{text}" + (f"?{urlencode(asked)}" if asked else ""), data)
        if said.status >= 400:
            raise Refused(said.status, said.body, self.hint(said.status))
        return said.body

    def hint(self, status: int) -> str:
        """What may be wrong with a token that nobody gave and that is not taken."""
        if status != HTTPStatus.UNAUTHORIZED or self.source is None:
            return ""
        return f"The token is from {self.source}; was `relay up` started with RELAY_OPERATOR_TOKEN? Then set it here too."

    def post_events(self, raw: bytes) -> Said:
        """Whatever was answered to an event, an array of them, or CloudEvents."""
        return self.send("POST", "/v1/events", raw, media=media_of(raw))

    def send(self, method: str, path: str, data: bytes | None, *, media: str = "application/json") -> Said:
        """Whatever was answered. Raises Unreachable."""
        request = urllib.request.Request(  # noqa: S310 - `connected` lets only http and https through
            self.url.rstrip("/") + path,
            data=data,
            method=method,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": media},
        )
        try:
            with _opener(self.url).open(request, timeout=_TIMEOUT_S) as answer:
                return Said(answer.status, _json(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                if 300 <= error.code < 400:
                    raise Unreachable(f"{self.url} leads elsewhere; give the relay's own address as --url") from None
                after = error.headers.get("Retry-After", "")
                return Said(error.code, _json(error.read()), int(after) if after.isdecimal() else None)
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            hint = f" {self.source} says that a `relay up` is there: start it again." if self.source else ""
            raise Unreachable(f"{self.url} does not answer ({reason}); is the relay running?{hint}") from None

    def every(self, *path: str, **query: object) -> list[Any]:
        """All entries of a list, page by page."""
        found: list[Any] = []
        after: object = None
        while True:
            page = self.ask("GET", *path, limit=500, after=after, **query)
            found += page["data"]
            after = page["next"]
            if after is None:
                return found

    def show(self, value: Any, columns: Sequence[str] = ()) -> None:
        """Print an answer: a table of `columns` for a list, name and value for an object."""
        if self.as_json:
            say(json.dumps(value, ensure_ascii=False, indent=2))
        elif isinstance(value, list):
            _table(columns, [[entry.get(name) for name in columns] for entry in value])
        elif value is None:
            say("Done.")
        else:
            for name, content in value.items():
                say(f"{name + ':':<22} {_text(content)}")


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command `--url`, `--token`, `--data` and `--json`, and an `Api` as its first argument."""

    @click.option(
        "--url", envvar="RELAY_URL",
        help=f"Where the relay is; also RELAY_URL. Else the `relay up` of this folder, or {DEFAULT_URL}.",
    )  # fmt: skip
    @click.option(
        "--token",
        envvar=["RELAY_TOKEN", "RELAY_OPERATOR_TOKEN"],
        help="Your token; also RELAY_TOKEN or RELAY_OPERATOR_TOKEN. Else that of the `relay up` of this folder.",
    )
    @data_option
    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
    @functools.wraps(command)
    def wrapped(*args: Any, url: str | None, token: str | None, data: Path, as_json: bool, **options: Any) -> Any:
        place = found(data, url, token)
        if urlsplit(place.url or DEFAULT_URL).scheme not in ("http", "https"):
            raise click.UsageError("--url: give an address that begins with http:// or https://")
        if not place.token:
            raise click.UsageError(_nobody(data, url))
        source = data if place.kept else None
        return command(Api(place.url or DEFAULT_URL, place.token, as_json, source), *args, **options)

    return wrapped


def _nobody(data: Path, url: str | None) -> str:
    said = "give --token, or set RELAY_TOKEN or RELAY_OPERATOR_TOKEN"
    if url is not None:
        return said
    return f"{said} (and --url or RELAY_URL); or run this where a `relay up` runs: none that runs is known in {data}"


def media_of(raw: bytes) -> str:
    """What kind of JSON this is: the relay's own events, a CloudEvent, or a batch of them."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return "application/json"
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, dict) or "specversion" not in first:
        return "application/json"
    from relay.cloud_events import BATCH, STRUCTURED

    return BATCH if isinstance(value, list) else STRUCTURED


def given(**values: object) -> dict[str, object]:
    """The values that were given: what is None or empty is left out."""
    return {name: value for name, value in values.items() if value is not None and value != ()}


class _Stay(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: the token would go with it, and a POST would become a GET."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener(url: str) -> urllib.request.OpenerDirector:
    # A proxy of the environment knows nothing of this machine's own addresses.
    proxies: Mapping[str, str] | None = {} if is_own(url) else None
    return urllib.request.build_opener(
        urllib.request.ProxyHandler(None if proxies is None else dict(proxies)), _Stay
    )


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return {"detail": raw[:500].decode("utf-8", "replace")}


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    if not rows:
        say("There are none.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(fit(_text(value))) for value in row))
    console = Console()
    if not console.is_terminal:  # nobody's window: a row is a line
        console = Console(width=_WIDEST)
    console.print(table)


def _text(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(_text(one) for one in value) or "–"
        case {"email": email, "name": name}:
            return f"{name} <{email}>" + (f" {value['locale']}" if value.get("locale") else "")
        case dict():
            return " ".join(f"{key}={_text(one)}" for key, one in value.items() if one is not None) or "–"
    return str(value)
