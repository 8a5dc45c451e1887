"""How do mails look, who vouches for them, and which server takes them?

The `[mail]` part of the settings (see relay.config).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_Positive = Annotated[int, Field(gt=0)]
_Seconds = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DkimSection(_Section):
    """One of `[mail] dkim`"""

    selector: str
    domain: str = ""
    key_file: str = ""
    key: Annotated[str, Field(repr=False)] = ""


class Mail(_Section):
    """`[mail]`"""

    url: str
    start_tls: Literal["required", "if_offered", "never"]
    ca_file: str
    from_address: str
    from_name: str
    product_name: str
    logo_url: str
    color: str
    default_locale: str
    timezone: str
    timezones: dict[str, str]
    dkim: tuple[DkimSection, ...]
    connections: _Positive
    command_timeout_seconds: _Seconds
    data_timeout_seconds: _Seconds
