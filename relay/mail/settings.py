"""What must the configuration say about mail?

The shape that `compose` and `send` need; the `mail` section of the configuration has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from relay.errors import ConfigError, MessageError
from relay.mail.dkim import DkimKey
from relay.mail.mime import Address, address
from relay.mail.pace import DomainLimit, WarmUp


class TransportSettings(Protocol):
    """One mail server of several. What is empty is as in the `mail` section; `name` is the host and port."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def start_tls(self) -> str: ...
    @property
    def ca_file(self) -> str: ...
    @property
    def connections(self) -> int: ...
    @property
    def warm_up(self) -> WarmUp | None: ...


class MailSettings(Protocol):
    """The `mail` section. Times are seconds.

    `url` is `smtp://[user:password@]host[:port]` or `smtps://…`. `start_tls` is `required`,
    `if_offered` or `never`. `ca_file` is a PEM file of certificates to trust besides the system's.
    `data_timeout_seconds` is how long the server may take to answer the final dot (RFC 5321, 4.5.3.2.6
    asks for ten minutes: giving up earlier sends the message twice). `transports` are tried after `url`, in
    their order. `suspicions`, `probe_seconds` and `probe_max_seconds`: `relay.mail.standing`.
    """

    @property
    def url(self) -> str: ...
    @property
    def from_address(self) -> str: ...
    @property
    def from_name(self) -> str: ...
    @property
    def product_name(self) -> str: ...
    @property
    def logo_url(self) -> str: ...
    @property
    def color(self) -> str: ...
    @property
    def start_tls(self) -> str: ...
    @property
    def ca_file(self) -> str: ...
    @property
    def default_locale(self) -> str: ...
    @property
    def timezone(self) -> str: ...
    @property
    def timezones(self) -> Mapping[str, str]: ...
    @property
    def dkim(self) -> Sequence[DkimKey]: ...
    @property
    def calendar(self) -> bool: ...
    @property
    def connections(self) -> int: ...
    @property
    def transports(self) -> Sequence[TransportSettings]: ...
    @property
    def domain_limits(self) -> Sequence[DomainLimit]: ...
    @property
    def suspicions(self) -> int: ...
    @property
    def probe_seconds(self) -> float: ...
    @property
    def probe_max_seconds(self) -> float: ...
    @property
    def connect_timeout_seconds(self) -> float: ...
    @property
    def command_timeout_seconds(self) -> float: ...
    @property
    def data_timeout_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class PlainTransport:
    """One mail server as plain values."""

    url: str
    name: str = ""
    start_tls: str = ""
    ca_file: str = ""
    connections: int = 0
    warm_up: WarmUp | None = None


@dataclass(frozen=True, slots=True)
class PlainMailSettings:
    """The same shape as plain values: for previews and for anything without a configuration file."""

    url: str = ""
    from_address: str = "transfers@relay.example"
    from_name: str = "Transfer Relay"
    product_name: str = "Transfer Relay"
    logo_url: str = ""
    color: str = "#2657b8"
    start_tls: str = "required"
    ca_file: str = ""
    default_locale: str = "en"
    timezone: str = "UTC"
    timezones: Mapping[str, str] = field(default_factory=lambda: {"ja": "Asia/Tokyo"})
    dkim: Sequence[DkimKey] = ()
    calendar: bool = True
    connections: int = 4
    transports: Sequence[TransportSettings] = ()
    domain_limits: Sequence[DomainLimit] = ()
    suspicions: int = 3
    probe_seconds: float = 5
    probe_max_seconds: float = 300
    connect_timeout_seconds: float = 30
    command_timeout_seconds: float = 300
    data_timeout_seconds: float = 600


def own_address(config_mail: MailSettings, name: str = "") -> Address:
    """The mailbox that messages come from; ConfigError when it is none."""
    try:
        return address(config_mail.from_address, name)
    except MessageError:
        raise ConfigError(["mail.from_address: give one e-mail address of your own"]) from None
