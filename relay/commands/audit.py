"""Are the activity logs what they were when they were written?"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TextIO

import click
import msgspec

from relay.archive import Archive
from relay.chain import Checked, Checker, Head, Line, Taken
from relay.chain_key import chain_key
from relay.commands.database import database_options, settings
from relay.config import Config
from relay.services import connect
from relay.store import Store
from relay.vault import Vault

FORMAT = "transfer-relay-activity/1"
_PAGE = 500
_TRIES = 3


class Entry(msgspec.Struct, omit_defaults=True):
    """One line of an export: the first says what it is, each other what retention has taken, a head or a line of
    the log."""

    format: str = ""
    partner: str = ""
    public_key: str = ""
    taken: Taken | None = None
    head: Head | None = None
    position: int = 0
    id: str = ""
    record: str = ""


class Archived(msgspec.Struct):
    """As much of a line of the archive as a log's proof needs."""

    kind: str
    partner: str = ""
    head: Head | None = None
    position: int = 0
    id: str = ""
    record: str = ""


_ARCHIVED = msgspec.json.Decoder(Archived)


@click.group("audit")
def audit_command() -> None:
    """Show that activity logs are what they were when they were written."""


@audit_command.command("verify")
@click.argument("partners", nargs=-1)
@click.option("--file", "file", type=click.File("r", encoding="utf-8"), help="What was exported, instead of the database.")
@click.option(
    "--archive", type=click.Path(path_type=Path, exists=True, file_okay=False), help="What retention has taken, instead."
)
@click.option("--public-key", help="The key that must have signed (whpk_…); else, in a file, the one it names.")
@click.option("--strict", is_flag=True, help="Lines that were chained long after they were written are a fault too.")
@database_options
def verify(
    partners: tuple[str, ...],
    file: TextIO | None,
    archive: Path | None,
    public_key: str | None,
    strict: bool,
    config: Path | None,
    data: Path | None,
) -> None:
    """Find every line that was changed, removed, added or moved, in the logs of PARTNERS or in all."""
    if archive is not None:
        if file is not None or not public_key:
            raise click.UsageError("give an archive with --public-key, and no file")
        raise SystemExit(_of_archive(Archive(archive), {name.casefold() for name in partners}, public_key, strict=strict))
    if file is not None:
        if partners:
            raise click.UsageError("give a file or partners, not both")
        raise SystemExit(_of_file(file, public_key, strict=strict))

    async def go(store: Store, vault: Vault) -> int:
        key = public_key or (await chain_key(store.chains, vault)).public_text
        wrong = 0
        async for partner in _named(store, partners):
            wrong += _say(partner, await _checked(store, partner, key), strict=strict)
        return 1 if wrong else 0

    raise SystemExit(_with_store(settings(config, data), go))


@audit_command.command("export")
@click.argument("partner")
@database_options
def export(partner: str, config: Path | None, data: Path | None) -> None:
    """Write a partner's whole log with its proof to standard output, a JSON object a line."""

    async def go(store: Store, vault: Vault) -> int:
        if await store.registry.get_partner(partner) is None:
            raise click.ClickException(f"there is no partner {partner}")
        name = partner.casefold()
        key = await chain_key(store.chains, vault)
        _write(Entry(format=FORMAT, partner=name, public_key=key.public_text))
        async for one in store.chains.walk(name):
            if isinstance(one, Taken):
                _write(Entry(taken=one))
            elif isinstance(one, Head):
                _write(Entry(head=one))
            else:
                _write(Entry(position=one.position, id=one.id, record=one.record.decode()))
        return 0

    raise SystemExit(_with_store(settings(config, data), go))


async def _checked(store: Store, partner: str, key: str) -> Checked:
    """What came of checking one log; again where retention took some of it meanwhile."""
    for _ in range(_TRIES):
        before = await store.chains.taken(partner)
        checker = Checker(partner, key)
        async for one in store.chains.walk(partner):
            _feed(checker, one)
        found = checker.end()
        if not found.faults or await store.chains.taken(partner) == before:
            break
    return found


def _of_archive(archive: Archive, partners: set[str], key: str, *, strict: bool) -> int:
    checkers: dict[str, Checker] = {}
    for raw in archive.lines():
        line = _ARCHIVED.decode(raw)
        if line.kind not in ("head", "activity") or (partners and line.partner not in partners):
            continue
        if line.partner not in checkers:
            checkers[line.partner] = Checker(line.partner, key)
        _feed(checkers[line.partner], line.head or Line(line.position, line.id, line.record.encode()))
    wrong = 0
    for partner, checker in sorted(checkers.items()):
        wrong += _say(partner, checker.end(), strict=strict)
    return 1 if wrong else 0


def _of_file(file: TextIO, public_key: str | None, *, strict: bool) -> int:
    checker: Checker | None = None
    partner = ""
    for number, entry in _entries(file):
        if checker is None:
            if entry.format != FORMAT:
                raise click.ClickException(f"line {number}: this is not an export of an activity log")
            partner = entry.partner
            key = public_key or entry.public_key
            checker = Checker(partner, key)
            click.echo(f"signed by {key}" + ("" if public_key else ", as the file says: compare it with what you know"))
        else:
            _feed(checker, entry.taken or entry.head or Line(entry.position, entry.id, entry.record.encode()))
    if checker is None:
        raise click.ClickException("the file is empty")
    return _say(partner, checker.end(), strict=strict)


def _entries(file: TextIO) -> Iterator[tuple[int, Entry]]:
    decoder = msgspec.json.Decoder(Entry)
    for number, text in enumerate(file, 1):
        try:
            yield number, decoder.decode(text)
        except msgspec.DecodeError:
            raise click.ClickException(f"line {number}: this is not a line of an export") from None


def _feed(checker: Checker, one: Taken | Head | Line) -> None:
    if isinstance(one, Taken):
        checker.begin(one)
    elif isinstance(one, Head):
        checker.head(one)
    else:
        checker.line(one)


def _say(partner: str, found: Checked, *, strict: bool) -> int:
    if found.late:
        click.echo(f"? {partner}: lines chained more than an hour after they were written: {found.late}", err=True)
    for fault in found.faults:
        click.echo(f"✗ {partner}: {fault}", err=True)
    if found.faults or (strict and found.late):
        return 1
    head = "" if found.last is None else f", head {found.last.number} is {found.last.after}"
    before = f", lines that retention has taken: up to position {found.taken.head.last}" if found.taken else ""
    newer = f", lines too new to be: {found.unchained}" if found.unchained else ""
    click.echo(f"{partner}: as it was written; lines chained: {found.chained}{before}{newer}{head}")
    return 0


def _write(entry: Entry) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(entry) + b"\n")


async def _named(store: Store, partners: tuple[str, ...]) -> AsyncIterator[str]:
    for partner in partners:
        yield partner.casefold()
    after = None
    while not partners:
        page = await store.registry.list_partners(after, _PAGE)
        for one in page.data:
            yield one.key
        after = page.next
        if after is None:
            return


def _with_store(loaded: Config, do: Callable[[Store, Vault], Awaitable[int]]) -> int:
    async def go() -> int:
        client = connect(loaded)
        try:
            return await do(Store.over(client), Vault(loaded.secrets.key_bytes))
        finally:
            await client.close()

    return asyncio.run(go())
