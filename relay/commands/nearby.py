"""Where does the `relay up` of a folder answer, and which token did it make?

A command that is told neither looks into the data folder. A token that came from elsewhere is not sent to an address
that somebody may have put into a folder, unless it is one of this machine's own; a token from the folder goes to no
address but the folder's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

FOLDER = Path(".relay")
_URL, _TOKEN = "url", "operator-token"


def data_option(command: click.decorators.FC) -> click.decorators.FC:
    """`--data`, as the argument `data`."""
    return click.option(
        "--data", type=click.Path(path_type=Path, file_okay=False), default=FOLDER, show_default=True,
        help="The data folder of a `relay up`: where the address and the token are that are not given.",
    )(command)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """An address and a token; "" for what is not known. `kept`: the token is the folder's."""

    url: str
    token: str
    kept: bool = False


def found(data: Path, url: str | None, token: str | None, *, file: str = _URL) -> Place:
    """What is given, and from the folder what is not; `file` holds the address there."""
    kept = _text(data / file)
    where = url or (kept if not token or is_own(kept) else "")
    if token or not kept or where.rstrip("/") != kept:
        return Place(where, token or "")
    return Place(where, _text(data / _TOKEN), kept=True)


def is_own(url: str) -> bool:
    """Whether it leads to this machine and nowhere else."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def noted(data: Path, url: str) -> Iterator[None]:
    """For as long as this lasts, the folder says that a relay answers at `url`."""
    (data / _URL).write_text(url + "\n", "ascii")
    try:
        yield
    finally:
        (data / _URL).unlink(missing_ok=True)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
