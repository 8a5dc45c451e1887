"""What has the operator set?

`config.example.toml` is loaded first, then the operator's own file over it, then `RELAY_<SECTION>__<KEY>`
from the environment. The result is frozen and typed; everything that is wrong is reported at once, each
with its key and the cure.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

from relay.config_mail import BouncesSection, Mail
from relay.config_retention import RetentionSection
from relay.config_sources import Formats, Sandbox, Sources, read_secrets
from relay.data import defaults_path
from relay.errors import ConfigError
from relay.fields import database_url, network, proxy_or_none, span, wakes_url, web_url_or_none
from relay.model import Audience, EventType, Kind

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
_SHORTEST_OPERATOR_TOKEN = 32
_KEY_BYTES = 32


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Server(_Section):
    """`[server]`"""

    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    public_url: Annotated[str, AfterValidator(web_url_or_none)]
    max_request_bytes: Positive
    max_event_bytes: Positive
    header_timeout_seconds: Seconds
    body_timeout_seconds: Seconds
    keepalive_seconds: Seconds
    allowed_hosts: tuple[str, ...]
    trusted_proxies: tuple[Annotated[str, AfterValidator(network)], ...]

    @property
    def base_url(self) -> str:
        """How people reach the server, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


class StoreSection(_Section):
    """`[store]`"""

    url: Annotated[str, AfterValidator(database_url)]
    arq_url: Annotated[str, AfterValidator(wakes_url)]
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
    connections: Positive
    timeout_seconds: Seconds
    wait_replicas: Annotated[int, Field(ge=0)]
    wait_seconds: Seconds
    unsafe_durability: bool


class Secrets(_Section):
    """`[secrets]`: what has no default."""

    operator_token: str = ""
    operator_token_file: str
    keys: tuple[str, ...] = ()
    keys_file: str

    @property
    def key_bytes(self) -> list[bytes]:
        """The keys, decoded; the first seals, all open."""
        return [base64.b64decode(key) for key in self.keys]


class Worker(_Section):
    """`[worker]`"""

    in_flight: Positive
    endpoint_window: Positive
    mail_in_flight: Positive
    mailbox_window: Positive
    lease_seconds: Seconds
    request_timeout_seconds: Seconds
    connect_timeout_seconds: Seconds
    keepalive_seconds: Seconds
    drain_seconds: Seconds


class Retry(_Section):
    """`[retry]`"""

    waits_seconds: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]
    jitter: Annotated[float, Field(ge=0, lt=1)]
    retry_after_max_seconds: Annotated[float, Field(ge=0)]
    warn_after_seconds: Seconds
    disable_after_seconds: Seconds


class BreakerSection(_Section):
    """`[breaker]`"""

    failures_to_open: Annotated[int, Field(ge=0)]
    probe_seconds: Seconds
    probe_max_seconds: Seconds


class Egress(_Section):
    """`[egress]`"""

    allow_networks: tuple[Annotated[str, AfterValidator(network)], ...]
    deny_networks: tuple[Annotated[str, AfterValidator(network)], ...]
    allow_http: bool
    allowed_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...]
    proxy: Annotated[str, AfterValidator(proxy_or_none)]
    client_certificate: str
    client_key: str
    origin: Annotated[str, Field(pattern=r"^([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)?$")]


class MailboxSection(_Section):
    """`[mailbox]`"""

    enabled: bool


class Limits(_Section):
    """`[limits]`"""

    endpoints_per_partner: Positive
    most_unplanned: Positive
    events_per_second: Annotated[float, Field(ge=0)]
    requests_per_second: Annotated[float, Field(ge=0)]
    address_requests_per_second: Annotated[float, Field(ge=0)]
    failures_per_minute: Annotated[float, Field(ge=0)]
    checks_per_minute: Annotated[float, Field(ge=0)]


class AuditSection(_Section):
    """`[audit]`"""

    chain_every_seconds: Annotated[float, Field(ge=0)]


class DeadlinesSection(_Section):
    """`[deadlines]`"""

    expire: bool
    stalled_after_seconds: Annotated[float, Field(ge=0)]
    stalled_kinds: tuple[Kind, ...]
    quiet_seconds: Annotated[float, Field(ge=0)]


class AccountsSection(_Section):
    """`[accounts]`"""

    transfers_per_second: Annotated[int, Field(ge=0)]
    pause_seconds: Annotated[float, Field(ge=0)]


class Log(_Section):
    """`[log]`"""

    format: Literal["json", "text"]
    level: Literal["debug", "info", "warning", "error"]


class NotifyRow(_Section):
    """`[notify.<kind>.<type>]`: who is told of one type."""

    email: tuple[Audience, ...] = ()
    webhook: tuple[Audience, ...] = ()
    activity: tuple[Audience, ...] = ()
    audit: tuple[Audience, ...] = ()


class NotifyKind(_Section):
    """`[notify.<kind>]`"""

    created: NotifyRow
    updated: NotifyRow
    completed: NotifyRow
    partially_completed: NotifyRow
    failed: NotifyRow
    expired: NotifyRow
    canceled: NotifyRow
    stalled: NotifyRow


class Notify(_Section):
    """`[notify]`: the policy."""

    derived_email: bool
    remind_before: tuple[Annotated[str, AfterValidator(span)], ...]
    subscription: NotifyKind
    sim: NotifyKind

    def row(self, kind: Kind, type_: EventType) -> NotifyRow:
        """Who is told of this type of this kind."""
        rows = self.subscription if kind is Kind.SUBSCRIPTION else self.sim
        row: NotifyRow = getattr(rows, type_.value.removeprefix("transfer."))
        return row


class Config(_Section):
    """Everything, by section."""

    server: Server
    store: StoreSection
    secrets: Secrets
    worker: Worker
    retry: Retry
    breaker: BreakerSection
    egress: Egress
    mail: Mail
    bounces: BouncesSection
    mailbox: MailboxSection
    limits: Limits
    audit: AuditSection
    deadlines: DeadlinesSection
    accounts: AccountsSection
    retention: RetentionSection
    log: Log
    sources: Sources
    sandbox: Sandbox
    formats: Formats
    notify: Notify


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The settings in force. `path` overlays the defaults, `environ` overrides both. Raises ConfigError."""
    with defaults_path().open("rb") as file:
        values = tomllib.load(file)
    known = _paths(values) | {("secrets", "operator_token"), ("secrets", "keys")}
    problems: list[str] = []
    chosen = path or (Path(environ["RELAY_CONFIG"]) if environ.get("RELAY_CONFIG") else None)
    if chosen is not None:
        try:
            with chosen.open("rb") as file:
                overlay = tomllib.load(file)
        except FileNotFoundError:
            raise ConfigError([f"{chosen}: there is no such file; check --config or RELAY_CONFIG"]) from None
        except OSError as error:
            raise ConfigError([f"{chosen}: cannot be read ({error.strerror})"]) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError([f"{chosen}: not TOML: {error}"]) from None
        for path_ in sorted(_paths(overlay) - known):
            problems.append(_unknown(f"{chosen}: {'.'.join(path_)}", ".".join(path_), known))
        _merge(values, overlay, known)
    problems += _from_environment(values, environ, known)
    _secrets(values["secrets"], environ, problems)
    read_secrets(values["sources"], problems)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            problems.append(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg'].lower()}")
        raise ConfigError(problems) from None
    if problems:
        raise ConfigError(problems)
    return config


def _from_environment(
    values: dict[str, Any], environ: Mapping[str, str], known: set[tuple[str, ...]]
) -> list[str]:
    problems = []
    for name, text in environ.items():
        if not name.startswith("RELAY_") or "__" not in name:
            continue
        path = tuple(part.lower() for part in name.removeprefix("RELAY_").split("__"))
        if path not in known:
            problems.append(_unknown(name, ".".join(path), known, _variable))
            continue
        at = values
        for part in path[:-1]:
            at = at[part]
        old = at.get(path[-1])
        if isinstance(old, list) or path == ("secrets", "keys"):
            try:
                at[path[-1]] = json.loads(text)
            except json.JSONDecodeError:
                problems.append(f'{name}: a list in the environment is JSON, such as ["10.0.0.0/8"]')
        else:
            at[path[-1]] = text
    return problems


def _secrets(section: dict[str, Any], environ: Mapping[str, str], problems: list[str]) -> None:
    """The secrets come from the environment or their files. Which are missing is said only by what needs
    them (`missing_secrets`), so that `relay preview` needs none."""
    if environ.get("RELAY_OPERATOR_TOKEN"):
        section["operator_token"] = environ["RELAY_OPERATOR_TOKEN"]
    for name, file in (("operator_token", "operator_token_file"), ("keys", "keys_file")):
        if isinstance(section.get(file), str) and section[file] and not section.get(name):
            try:
                text = Path(section[file]).read_text("utf-8").strip()
            except OSError as error:
                problems.append(f"secrets.{file}: {section[file]} cannot be read ({error.strerror})")
                continue
            except UnicodeDecodeError:
                problems.append(f"secrets.{file}: {section[file]} is not text in UTF-8")
                continue
            section[name] = text.split() if name == "keys" else text
    token = section.get("operator_token", "")
    if isinstance(token, str) and token and len(token) < _SHORTEST_OPERATOR_TOKEN:
        problems.append(f"RELAY_OPERATOR_TOKEN: give at least {_SHORTEST_OPERATOR_TOKEN} characters")
    keys = section.get("keys", ())
    for at, key in enumerate(keys if isinstance(keys, list) else ()):
        if not _is_key(key):
            problems.append(f"secrets.keys: number {at + 1} is not {_KEY_BYTES} bytes in base64")


def _is_key(key: object) -> bool:
    try:
        return isinstance(key, str) and len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False


def missing_secrets(config: Config) -> list[str]:
    """Which secrets a server or worker needs and has not."""
    missing = []
    if not config.secrets.operator_token:
        missing.append("RELAY_OPERATOR_TOKEN: set it to a random string of at least 32 characters")
    return missing + missing_keys(config)


def missing_keys(config: Config) -> list[str]:
    """That there is no key to seal secrets with, if there is none."""
    if config.secrets.keys:
        return []
    how = "set it to a JSON list of 32-byte keys in base64 (`openssl rand -base64 32` makes one)"
    return [f"RELAY_SECRETS__KEYS: {how}"]


def _paths(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for name, value in values.items():
        found |= _paths(value, (*above, name)) if isinstance(value, dict) else {(*above, name)}
    return found


def _merge(
    values: dict[str, Any], overlay: Mapping[str, Any], known: set[tuple[str, ...]], above: tuple[str, ...] = ()
) -> None:
    """Lay what is known of `overlay` over `values`; the rest is told as a problem and has no place there."""
    for name, value in overlay.items():
        path = (*above, name)
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            _merge(values[name], value, known, path)
        elif path in known:
            values[name] = value


def _variable(key: str) -> str:
    return "RELAY_" + key.upper().replace(".", "__")


def _unknown(where: str, key: str, known: set[tuple[str, ...]], spelt: Callable[[str], str] = str) -> str:
    near = difflib.get_close_matches(key, [".".join(path) for path in known], n=1)
    return f"{where}: there is no such setting" + (f"; did you mean {spelt(near[0])}?" if near else "")
