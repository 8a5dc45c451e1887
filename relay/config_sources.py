"""Which transfer systems does the relay listen to, and how does it reach them?

The `[sources.*]` part of the settings (see relay.config), and with it those that speak as such a system does
(`[formats.*]`, `[sandbox]`). A source is on when it names somebody to listen for: a tenant of Partner Center, an
operator of SORACOM.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from relay.closed import WebhookFormat

_WEB_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_SECRET_FIELDS = ("client_secret", "refresh_token", "key")
_Positive = Annotated[float, Field(gt=0)]


def _web_url(text: str) -> str:
    if not _WEB_URL.fullmatch(text):
        raise PydanticCustomError("url", "give http://host or https://host, with a port or a path if need be")
    return text.rstrip("/")


def _folder_url(text: str) -> str:
    if not _WEB_URL.fullmatch(text) or not text.endswith("/"):
        raise PydanticCustomError("url", "give a whole folder: https://host/path/ with a slash at its end")
    return text


def _key(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{32,128}", text):
        raise PydanticCustomError("key", "give 32 to 128 letters, digits, - and _ (`openssl rand -hex 20` makes some)")
    return text


Url = Annotated[str, AfterValidator(_web_url)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Required = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tenant(_Section):
    """One table of `[[sources.partner_center.tenants]]`: a partner's own tenant in Partner Center.

    `name` stands in the callback URL. `partner` is that partner's id with the relay; "" finds it by its
    `tenant_id`. With a `refresh_token` the relay acts for the person who consented, without one as the
    application itself.
    """

    name: Name
    tenant_id: Required
    client_id: Required
    client_secret: Annotated[str, Field(min_length=1, repr=False)]
    refresh_token: Annotated[str, Field(repr=False)] = ""
    partner: str = ""


class PartnerCenter(_Section):
    """`[sources.partner_center]`"""

    tenants: tuple[Tenant, ...]
    api_url: Url
    login_url: Url
    scope: Required
    certificates: Annotated[tuple[Annotated[str, AfterValidator(_folder_url)], ...], Field(min_length=1)]
    roots_file: str
    organisation: Required
    keep_registered: bool
    registration_seconds: _Positive
    poll_seconds: _Positive
    polls_per_minute: Annotated[int, Field(gt=0)]
    reorder_seconds: Annotated[float, Field(ge=0)]
    timeout_seconds: _Positive

    def tenant(self, name: str) -> Tenant | None:
        """The tenant of this name."""
        return next((one for one in self.tenants if one.name == name), None)


class Operator(_Section):
    """One table of `[[sources.soracom.operators]]`: who calls through the façade, and by which key."""

    coverage: Literal["jp", "g"]
    operator_id: Required
    name: Required
    key: Annotated[str, Field(repr=False), AfterValidator(_key)]

    @property
    def segment(self) -> str:
        """Its part of the path: `<coverage>-<key>`."""
        return f"{self.coverage}-{self.key}"


class Soracom(_Section):
    """`[sources.soracom]`"""

    operators: tuple[Operator, ...]
    jp_url: Url
    g_url: Url
    requests_per_minute: Annotated[int, Field(gt=0)]
    timeout_seconds: _Positive

    def upstream(self, coverage: str) -> str:
        """The API of a coverage, with its version."""
        return self.jp_url if coverage == "jp" else self.g_url


class Sources(_Section):
    """`[sources]`"""

    partner_center: PartnerCenter
    soracom: Soracom


class CloudEventsFormat(_Section):
    """`[formats.cloudevents]`"""

    source: str


class PartnerCenterFormat(_Section):
    """`[formats.partner_center]`"""

    api_url: Url
    organisation: Annotated[str, Field(min_length=1, max_length=64)]


class Formats(_Section):
    """`[formats]`: other words for webhooks than the standard ones."""

    cloudevents: CloudEventsFormat
    partner_center: PartnerCenterFormat

    def origins(self, base_url: str) -> dict[WebhookFormat, str]:
        """Who each format names as its sender, of a relay at `base_url`."""
        return {
            WebhookFormat.CLOUDEVENTS: self.cloudevents.source or base_url,
            WebhookFormat.PARTNER_CENTER: self.partner_center.api_url,
        }


class Sandbox(_Section):
    """`[sandbox]`: where `relay sandbox serve` answers, where it keeps its keys, and whether the relay has a page
    to drive it."""

    host: Required
    port: Annotated[int, Field(gt=0, le=65535)]
    folder: Required
    page: bool

    @property
    def base_url(self) -> str:
        """How the relay and a person reach it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def read_secrets(sources: Any, problems: list[str]) -> None:
    """Put what `<name>_file` holds in the place of `<name>`, in the raw tables, and say what is there twice."""
    for source, table, unique in (
        ("partner_center", "tenants", "name"), ("soracom", "operators", "key")
    ):  # fmt: skip
        section = sources.get(source) if isinstance(sources, dict) else None
        entries = section.get(table) if isinstance(section, dict) else None
        seen: set[str] = set()
        for at, entry in enumerate(entries if isinstance(entries, list) else ()):
            if not isinstance(entry, dict):
                continue
            where = f"sources.{source}.{table}.{at}"
            _read_files(entry, where, problems)
            value = entry.get(unique)
            if isinstance(value, str) and value in seen:
                problems.append(f"{where}.{unique}: another entry has it already; give each its own")
            seen.add(value if isinstance(value, str) else "")


def _read_files(entry: dict[str, Any], where: str, problems: list[str]) -> None:
    for name in _SECRET_FIELDS:
        file = entry.pop(f"{name}_file", "")
        if not isinstance(file, str) or not file or entry.get(name):
            continue
        try:
            entry[name] = Path(file).read_text("utf-8").strip()
        except OSError as error:
            problems.append(f"{where}.{name}_file: {file} cannot be read ({error.strerror})")
        except UnicodeDecodeError:
            problems.append(f"{where}.{name}_file: {file} is not text in UTF-8")
