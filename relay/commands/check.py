"""What would keep the relay from running as it should?

Everything is looked at and everything that is wrong is said, so that one run is enough.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from cryptography import x509
from redis.exceptions import RedisError

from relay.accounts import State
from relay.archive import Archive, Busy
from relay.commands.nearby import FOLDER
from relay.commands.processes import config_option
from relay.config import Config, load, missing_secrets
from relay.data import templates_dir
from relay.engine.postmaster import MAIL
from relay.errors import ConfigError, StoreError
from relay.mail.compose import Composer
from relay.mail.send import Mailer
from relay.nudge import open_pool
from relay.places import shown
from relay.services import connect, tls_of
from relay.sources.certificates import read_authorities
from relay.sources.partner_api import source_of
from relay.sources.sims import SOURCE as SORACOM
from relay.store import Store
from relay.store.accounts import BOOKS, JOB
from relay.store.durability import (
    durability_problems,
    durability_unknown,
    replicas_short,
    room_notices,
    room_problems,
)
from relay.store.sources import Sources
from relay.times import format_ms


@click.command("check")
@config_option
def check_command(config: Path | None) -> None:
    """Say all that is wrong with the configuration, the secrets, the database and the mail server."""
    try:
        loaded = load(config, os.environ)
    except ConfigError as error:
        # Without settings there is no telling which database and mail server are meant.
        problems = error.problems
    else:
        problems = asyncio.run(_problems(loaded))
    for problem in problems:
        click.echo(f"✗ {problem}", err=True)
    if problems:
        click.echo("1 problem." if len(problems) == 1 else f"{len(problems)} problems.", err=True)
        if (FOLDER / "valkey").is_dir():
            click.echo(f"? A `relay up` has its data in {FOLDER}: it brings its own settings, which are not these.", err=True)
        raise SystemExit(1)
    click.echo("Configuration, secrets, database and mail server are fine.")


async def _problems(config: Config) -> list[str]:
    problems = missing_secrets(config)
    problems += await _database(config)
    problems += await _wakes(config)
    problems += _client_certificate(config)
    problems += _archive(config)
    problems += await _sources(config)
    try:
        records = Composer(config.mail, templates_dir()).dkim_records
    except ConfigError as error:
        problems += error.problems
    else:
        for record in records:
            click.echo(f"mail.dkim: the DNS must have {record}")
    if config.mail.is_on:
        problems += await _mail(config)
    else:
        problems.append("mail.url: not set, so e-mail waits; give RELAY_MAIL__URL=smtp://user:pass@host:port")
    return problems


def _client_certificate(config: Config) -> list[str]:
    try:
        tls_of(config)
    except ConfigError as error:
        return error.problems
    if not config.egress.client_certificate:
        return []
    shown = x509.load_pem_x509_certificate(Path(config.egress.client_certificate).read_bytes())
    left = shown.not_valid_after_utc - datetime.now(UTC)
    if left < timedelta(0):
        return [f"egress.client_certificate: it expired on {shown.not_valid_after_utc:%Y-%m-%d}; renew it"]
    if left < timedelta(days=14):
        click.echo(f"? egress.client_certificate: it expires in {left.days} days; renew it, then restart", err=True)
    return []


async def _sources(config: Config) -> list[str]:
    """What a running relay noted about the systems it listens to."""
    settings = config.sources.partner_center
    try:
        if settings.tenants:
            read_authorities(settings)
    except ConfigError as error:
        return error.problems
    client = connect(config)
    try:
        names = [*(source_of(one) for one in settings.tenants), *([SORACOM] if config.sources.soracom.operators else [])]
        found = [(name, await Sources(client).troubles(name)) for name in names]
    except StoreError:
        return []  # said of the database already
    finally:
        await client.close()
    return [f"{source}: {one.detail} (since {format_ms(one.since_ms)})" for source, all_ in found for one in all_]


def _archive(config: Config) -> list[str]:
    folder = config.retention.archive
    if not folder:
        return []
    try:
        with Archive(Path(folder)).alone():
            return []
    except Busy:
        return []  # a relay that runs is writing
    except OSError as error:
        return [f"retention.archive: {folder} cannot be written to ({error.strerror}), so nothing leaves; mend that"]


async def _mail(config: Config) -> list[str]:
    try:
        mailer = Mailer(config.mail)
    except ConfigError as error:
        return error.problems
    try:
        problems = await mailer.probe()
    finally:
        await mailer.close()
    client = connect(config)
    try:
        noted = await Sources(client).troubles(MAIL)
    except StoreError:
        return problems  # said of the database already
    finally:
        await client.close()
    names = {transport.name for transport in mailer.transports}
    return problems + [
        f"mail server {one.kind}: {one.detail} (as the workers found since {format_ms(one.since_ms)})"
        for one in noted
        if one.kind in names
    ]


async def _accounts(config: Config, store: Store) -> list[str]:
    raw = await store.shifts.state(JOB)
    last = BOOKS.decode(raw).last if raw else None
    if last is None:
        if config.accounts.transfers_per_second and await store.accounts.transfers():
            click.echo("? accounts: no worker has gone through all transfers yet", err=True)
        return []
    missing = last.states.get(State.UNACCOUNTED, 0)
    if not missing:
        return []
    at = format_ms(last.ended_ms)
    who = "1 recipient of an accepted event" if missing == 1 else f"{missing} recipients of accepted events"
    return [f"accounts: at {at} {who} did not add up; see GET /v1/accounts"]


async def _database(config: Config) -> list[str]:
    client = connect(config)
    try:
        await client.plain.ping()
        for notice in [*await durability_unknown(client), *await room_notices(client)]:
            click.echo(f"? {notice}", err=True)
        problems = [*await durability_problems(client), *await room_problems(client)]
        problems += await replicas_short(client, config.store.wait_replicas)
        return problems + await _accounts(config, Store.over(client))
    except StoreError as error:
        return [f"database: {error} at {shown(config.store.url)}; check RELAY_STORE__URL"]
    finally:
        await client.close()


async def _wakes(config: Config) -> list[str]:
    """arq's own server, where it has one."""
    if not config.store.arq_url:
        return []
    pool = open_pool(config.store.arq_url)
    try:
        await pool.ping()
    except (RedisError, OSError, TimeoutError) as error:
        where = shown(config.store.arq_url)
        return [f"arq's database cannot be reached ({type(error).__name__}) at {where}; check RELAY_STORE__ARQ_URL"]
    finally:
        await pool.aclose(close_connection_pool=True)
    return []
