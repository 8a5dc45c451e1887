"""How does everything run in one terminal, with nothing installed?

An embedded database, a mailbox and the two processes of the Procfile, over one data folder. Children end
first and the database last; whatever dies is started again; whatever kills this process takes all of them
with it, and the next start carries on with what is in the folder.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import sys
import tomllib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import aiohttp

from relay.api.operator_pages import SIGNED_IN
from relay.auth import new_token
from relay.banner import banner, play_command
from relay.catcher import Catcher
from relay.commands.nearby import noted
from relay.config import Config, load
from relay.data import defaults_path
from relay.demo import Demo
from relay.demo_partner import Receiver
from relay.embedded import EmbeddedError, EmbeddedValkey, free_port, kept_secret
from relay.errors import RelayError
from relay.model import TokenHolder
from relay.sandbox.serve import settings_of
from relay.services import connect
from relay.store.mailbox import Mailbox
from relay.store.sessions import Sessions
from relay.stream import shown
from relay.supervise import Child

_LINK_S = 24 * 3600
_LOOK_S = 0.1
_INTRODUCTIONS = 150
_WEB_PATIENCE_S = 15.0
_TOKEN_NAMES = {"RELAY_OPERATOR_TOKEN", "RELAY_SECRETS__OPERATOR_TOKEN", "RELAY_SECRETS__OPERATOR_TOKEN_FILE"}
_LEASE_S = "5"  # nobody else works here: what a killed worker held is wanted soon after the next start
_WORKER_SPARE_S = 5.0  # more than the worker lets its requests take


class UpError(RelayError):
    """`relay up` cannot start; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `relay up` was told."""

    host: str
    port: int
    data: Path
    demo: bool


def up(options: Options, environ: Mapping[str, str]) -> int:
    """Run everything until SIGINT or SIGTERM; the exit code. Raises RelayError when it cannot start."""
    with _alone(options.data):
        port = options.port or free_port()
        _must_be_free(options.host, port)
        with EmbeddedValkey.start(options.data / "valkey") as valkey:
            return asyncio.run(_main(options, port, valkey, environ))


def child_environ(
    options: Options, port: int, store_url: str, mail_url: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """The environment of the two processes. What the person set, in the environment or in the file of
    RELAY_CONFIG, stays, but for the database, which is this folder's; `mail_url` is the catcher's, used
    unless they named a mail server of their own."""
    theirs = stated(environ)
    child = {
        "RELAY_EGRESS__ALLOW_NETWORKS": '["127.0.0.0/8", "::1/128"]',
        "RELAY_EGRESS__ALLOW_HTTP": "true",
        "RELAY_MAILBOX__ENABLED": "true",
        "RELAY_SERVER__ALLOWED_HOSTS": json.dumps(["localhost", *([options.host] if options.host else [])]),
        "RELAY_LOG__FORMAT": "json",
        "RELAY_WORKER__LEASE_SECONDS": _LEASE_S,
        "RELAY_MAIL__URL": mail_url,
        "PYTHONUNBUFFERED": "1",
    }
    if "RELAY_MAIL__URL" not in theirs:
        child["RELAY_MAIL__START_TLS"] = "never"
    if not theirs & {"RELAY_SECRETS__KEYS", "RELAY_SECRETS__KEYS_FILE"}:
        key = kept_secret(options.data / "key", lambda: b64encode(os.urandom(32)).decode())
        child["RELAY_SECRETS__KEYS"] = f'["{key}"]'
    if not theirs & _TOKEN_NAMES:
        child["RELAY_OPERATOR_TOKEN"] = kept_secret(options.data / "operator-token", _new_token)
    if options.host in ("0.0.0.0", "::", "") or ":" in options.host:  # noqa: S104 - compared, not bound
        child["RELAY_SERVER__PUBLIC_URL"] = f"http://{_reachable(options.host)}:{port}"
    kept = {name: value for name, value in environ.items() if value or not name.startswith("RELAY_")}
    ours = {
        "RELAY_SERVER__HOST": options.host,
        "RELAY_SERVER__PORT": str(port),
        "RELAY_STORE__URL": store_url,
        "RELAY_STORE__ARQ_URL": "",
    }
    return {name: value for name, value in child.items() if name not in theirs} | kept | ours


def with_sandbox(options: Options, child: dict[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which the sandbox has a place, and the relay listens to each of its systems, unless
    the person has set that source."""
    places = {
        "RELAY_SANDBOX__PORT": str(free_port()),
        "RELAY_SANDBOX__FOLDER": str(options.data / "sandbox"),
        "RELAY_SANDBOX__PAGE": "true",
    }
    theirs = stated(environ)
    child = {name: value for name, value in places.items() if name not in theirs} | child
    for name, value in settings_of(load(None, child)).items():
        source = name.rpartition("__")[0]
        if not any(one.startswith(source) for one in theirs):
            child[name] = value
    return child


def stated(environ: Mapping[str, str]) -> set[str]:
    """The settings that the person set, by their names in the environment. What their file says as the
    defaults do counts as not set, so that a copy of the example changes nothing. A file that cannot be
    read states nothing here: loading it says what is wrong with it."""
    found = {name for name, value in environ.items() if value and name.startswith("RELAY_")}
    try:
        file = tomllib.loads(Path(environ.get("RELAY_CONFIG", "")).read_text("utf-8"))
    except (OSError, ValueError):
        return found
    defaults = tomllib.loads(defaults_path().read_text("utf-8"))
    sections = {name: section for name, section in file.items() if isinstance(section, dict)}
    return found | {
        f"RELAY_{name}__{key}".upper()
        for name, section in sections.items()
        for key, value in section.items()
        if value != defaults.get(name, {}).get(key)
    }


def _new_token() -> str:
    return new_token(TokenHolder.OPERATOR, "operator", 0)[1]


async def _main(options: Options, port: int, valkey: EmbeddedValkey, environ: Mapping[str, str]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        # Its own settings are read first: the store's prefix decides where the mailbox is.
        config = load(None, child_environ(options, port, valkey.url, "smtp://127.0.0.1", environ))
        client = connect(config)
        stack.push_async_callback(client.close)
        catcher = await stack.enter_async_context(Catcher(Mailbox(client), told=_caught))
        receiver = Receiver(options.data, say)
        if options.demo:  # before the worker: what is owed from the last time goes to those who listen
            await stack.enter_async_context(receiver)
        child = with_sandbox(options, child_environ(options, port, valkey.url, catcher.url, environ), environ)
        children = {
            "web": Child("web", [sys.executable, "-m", "relay", "serve"], child, say),
            "worker": Child("worker", [sys.executable, "-m", "relay", "work"], child, say),
            "sandbox": Child("sandbox", [sys.executable, "-m", "relay", "sandbox", "serve"], child, say),
        }
        tasks = [asyncio.create_task(one.run()) for one in children.values()]
        tasks.append(asyncio.create_task(_keep(valkey)))
        url = f"http://{_reachable(options.host)}:{port}"
        if await _ready(url, stop):
            link, to_sandbox = [await Sessions(client).new_link(SIGNED_IN, seconds=_LINK_S) for _ in range(2)]
            own_mail = "RELAY_MAIL__URL" in stated(environ)
            await _introduced(url, load(None, child), stop)
            stack.enter_context(noted(options.data, url))
            play = play_command(sys.argv[0], options.data)
            token = config.secrets.operator_token
            _print(banner(url, token, link, own_mail=own_mail, sandbox_link=to_sandbox, play=play))
            if options.demo:
                demo = Demo(url, token, receiver, say)
                tasks.append(asyncio.create_task(demo.run()))
        await _stopped(stop, tasks)
        await _end(children, tasks, config)
    return 0


async def _stopped(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Until told to stop. What breaks in a task is said at once; only without the database is it the end."""
    waiting = asyncio.create_task(stop.wait())
    running = set(tasks)
    while not stop.is_set() and running:
        done, _ = await asyncio.wait({waiting, *running}, return_when=asyncio.FIRST_COMPLETED)
        for task in done & running:
            running.discard(task)
            error = task.exception()
            if error is not None:
                say("data", f"{type(error).__name__}: {error}")
                if isinstance(error, EmbeddedError):
                    stop.set()
    waiting.cancel()


async def _end(children: Mapping[str, Child], tasks: list[asyncio.Task[None]], config: Config) -> None:
    _print("\nStopping: what is in flight is finished first.")
    patience = {"web": _WEB_PATIENCE_S, "sandbox": _WEB_PATIENCE_S, "worker": config.worker.drain_seconds + _WORKER_SPARE_S}
    await asyncio.gather(*(one.end(patience[name]) for name, one in children.items()))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _keep(valkey: EmbeddedValkey) -> None:
    """Start the database again when it died. It blocks: nothing can go on without the database anyway."""
    while True:
        await asyncio.sleep(_LOOK_S)
        if not valkey.running:
            say("data", "the database ended; it is started again")
            valkey.restart()


async def _ready(url: str, stop: asyncio.Event) -> bool:
    """Wait until the web process answers; False when told to stop before."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while not stop.is_set():
            try:
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return True
            except (aiohttp.ClientError, TimeoutError):
                pass  # it is still starting
            try:
                await asyncio.wait_for(stop.wait(), _LOOK_S)
            except TimeoutError:
                continue
    return False


async def _introduced(url: str, config: Config, stop: asyncio.Event) -> None:
    """The relay is registered with the sandbox before anybody plays there: of what happens before, a system
    tells nobody. Where it takes too long, the worker does it later."""
    listened = config.sources.partner_center
    if not listened.api_url.startswith(config.sandbox.base_url):
        return
    headers = {"Authorization": f"Bearer {config.secrets.operator_token}"}
    left = [f"{url}/v1/sources/partner-center/{one.name}/registration" for one in listened.tenants]
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=5)) as session:
        for _ in range(_INTRODUCTIONS):
            if not left or stop.is_set():
                return
            try:
                async with session.post(left[0], json={"replace": True}) as answer:
                    if answer.status == 200:
                        left.pop(0)
                        continue
            except (aiohttp.ClientError, TimeoutError):
                pass  # one of the two is still starting
            await asyncio.sleep(_LOOK_S)


def say(source: str, line: str) -> None:
    """One line on the terminal, where it says something to who reads along."""
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    if text := shown(source, line, datetime.now().astimezone(), colour=colour):
        _print(text)


def _print(text: str) -> None:
    with suppress(OSError):  # a terminal that is gone: there is still all the rest to end in order
        print(text, flush=True)


def _caught(to: str, subject: str) -> None:
    say("mailbox", f"for {to}: {subject}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the data folder; the kernel lets go of it with the process."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UpError(f"another `relay up` runs over {folder}; stop it, or give another --data") from None
        yield


def _must_be_free(host: str, port: int) -> None:
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        with socket.create_server(found[0][4][:2], family=found[0][0]):
            pass
    except OSError as error:
        raise UpError(
            f"cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}); give another --port"
        ) from None


def _reachable(host: str) -> str:
    if host in ("0.0.0.0", ""):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host

