"""What does a process of the relay hold open?

The composition root: everything that reaches outside is opened here, once, from the configuration, and
closed here. Web handlers find it under `SERVICES`; the worker holds it for its jobs.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientSession, web
from structlog.typing import FilteringBoundLogger

from relay import __version__
from relay.address_book import AddressBook
from relay.callback_key import FOLDER, CallbackKey
from relay.clock import Clock
from relay.config import Config
from relay.data import templates_dir
from relay.dialer import open_session, tls_context
from relay.egress import Policy
from relay.errors import ConfigError
from relay.mail.compose import Composer
from relay.mail.providers import sendgrid_key
from relay.mail.return_path import ReturnPath
from relay.mail.send import Mailer
from relay.nudge import DELIVER, FAN_OUT, HEAR, Nudge, open_pool
from relay.own import own_addresses
from relay.places import parse_cluster
from relay.preference_links import PreferenceLinks
from relay.store import Store
from relay.store.client import Client, Copies
from relay.store.cluster import ClusterClient
from relay.vault import Vault
from relay.webhook import WebhookSender


def _nobody() -> None:
    """Nobody to nudge: the sweep finds the work."""


@dataclass(frozen=True, slots=True)
class Services:
    """What a process holds open. `mailer` is None where no mail server is set: e-mail then waits."""

    config: Config
    store: Store
    vault: Vault
    sender: WebhookSender
    mailer: Mailer | None
    composer: Composer
    book: AddressBook
    callback_key: CallbackKey
    links: PreferenceLinks
    clock: Callable[[], int]
    log: FilteringBoundLogger
    nudge_fan_out: Callable[[], None] = _nobody
    nudge_deliver: Callable[[], None] = _nobody
    nudge_sources: Callable[[], None] = _nobody


SERVICES: web.AppKey[Services] = web.AppKey("services", Services)


def policy_of(config: Config) -> Policy:
    """Where the relay may connect to, as the operator set it."""
    egress = config.egress
    return Policy.of(
        egress.allow_networks,
        allow_http=egress.allow_http,
        allowed_ports=egress.allowed_ports,
        deny_networks=egress.deny_networks,
        own=own_addresses(),
    )


def session_of(
    config: Config, *, total_timeout_s: float, limit: int, tls: ssl.SSLContext | None = None
) -> ClientSession:
    """A guarded session, as the operator set egress up; at most `limit` connections, 0 for any number."""
    return open_session(
        policy_of(config),
        connect_timeout_s=config.worker.connect_timeout_seconds,
        total_timeout_s=total_timeout_s,
        keepalive_s=config.worker.keepalive_seconds,
        limit=limit,
        tls=tls,
        proxy=config.egress.proxy,
    )


def callback_key_of(config: Config, store: Store, vault: Vault) -> CallbackKey:
    """What signs callbacks, with the addresses that people reach the relay at."""
    organisation = config.formats.partner_center.organisation
    return CallbackKey(
        store.callback_key, vault, folder_url=config.server.base_url + FOLDER, organisation=organisation
    )


def tls_of(config: Config) -> ssl.SSLContext:
    """What the relay trusts, and shows to receivers that ask. ConfigError when its certificate is of no use."""
    egress = config.egress
    try:
        return tls_context(egress.client_certificate, egress.client_key)
    except (OSError, ssl.SSLError) as error:
        # OpenSSL's own texts name neither file nor cure.
        why = "the key does not belong to it" if isinstance(error, ssl.SSLError) else str(error)
        raise ConfigError([f"egress.client_certificate: {why}; give PEM files without a passphrase"]) from None


async def return_path(services: Services) -> ReturnPath | None:
    """What makes and reads the addresses that mails are sent from; None where there is no bounce mailbox."""
    bounces = services.config.bounces
    if not bounces.return_address:
        return None
    key = await services.book.key("return path")
    return ReturnPath(bounces.return_address, key, round(bounces.return_seconds * 1000))


def connect(config: Config) -> Client:
    """A client of the database; nothing is sent yet."""
    store = config.store
    copies = Copies(store.wait_replicas, store.wait_seconds)
    cluster = parse_cluster(store.url)
    if cluster is not None:
        return ClusterClient(
            cluster,
            prefix=store.prefix,
            connections=store.connections,
            timeout_s=store.timeout_seconds,
            copies=copies,
        )
    return Client.connect(
        store.url,
        prefix=store.prefix,
        connections=store.connections,
        timeout_s=store.timeout_seconds,
        copies=copies,
    )


@asynccontextmanager
async def open_services(
    config: Config, log: FilteringBoundLogger, *, clock_offset_ms: int = 0
) -> AsyncIterator[Services]:
    """Open everything; closed in the opposite order."""
    if config.bounces.sendgrid_key:
        sendgrid_key(config.bounces.sendgrid_key)  # told at the start, not at the first event
    async with AsyncExitStack() as stack:
        client = connect(config)
        stack.push_async_callback(client.close)
        clock = Clock(offset_ms=clock_offset_ms)
        await clock.sync(client)
        policy = policy_of(config)
        worker = config.worker
        session = session_of(
            config,
            total_timeout_s=worker.request_timeout_seconds,
            limit=0,  # the engine bounds what is out: in_flight, and one for each recipient
            tls=tls_of(config),
        )
        stack.push_async_callback(session.close)
        store, vault = Store.over(client), Vault(config.secrets.key_bytes)
        mailer = None
        if config.mail.is_on:
            mailer = Mailer(config.mail, pace=store.paces.take)
            stack.push_async_callback(mailer.close)
        pool = open_pool(config.store.arq_url or config.store.url)
        # A pool handed to redis-py is closed with its client only when that is said.
        stack.push_async_callback(pool.aclose, close_connection_pool=True)
        fan_out, deliver, hear = (Nudge(pool, job, log) for job in (FAN_OUT, DELIVER, HEAR))
        for nudge in (fan_out, deliver, hear):
            stack.push_async_callback(nudge.close)
        book = AddressBook(store.readers, vault)
        yield Services(
            config=config,
            store=store,
            vault=vault,
            sender=WebhookSender(
                session,
                policy=policy,
                timeout_s=worker.request_timeout_seconds,
                user_agent=f"transfer-relay/{__version__}",
            ),
            mailer=mailer,
            composer=Composer(config.mail, templates_dir()),
            callback_key=callback_key_of(config, store, vault),
            book=book,
            links=PreferenceLinks(book, config.server.public_url.rstrip("/"), config.mail.preference_link_days),
            clock=clock,
            log=log,
            nudge_fan_out=fan_out,
            nudge_deliver=deliver,
            nudge_sources=hear,
        )
