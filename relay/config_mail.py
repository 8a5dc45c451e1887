"""How do mails look, who vouches for them, and which servers take them?

The `[mail]` part of the settings, and the tables inside it (see relay.config).
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_Seconds = Annotated[float, Field(gt=0)]
_Positive = Annotated[int, Field(gt=0)]
_TOPIC = re.compile(r"arn:aws(-cn|-us-gov)?:sns:[a-z]{2}(-[a-z]+)+-[0-9]{1,2}:[0-9]{12}:[A-Za-z0-9_-]{1,256}", re.ASCII)
_FOLDER = re.compile(r"https?://[^\s/?#@]+/([^\s?#]*/)?")


_LONGEST = 15
"""Of the part before the `@` of a bounce mailbox: a plus sign and 48 characters come behind it, and 64 are all."""


def _mailbox_or_none(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if text and not (local and at and domain and len(local) <= _LONGEST and "+" not in local and " " not in text and local.isascii()):
        raise ValueError(
            f"give a mailbox such as bounces@relay.example, with at most {_LONGEST} ASCII characters and no plus sign before the @"
        )
    return text


def _topic(text: str) -> str:
    if not _TOPIC.fullmatch(text):
        raise ValueError("give a standard topic of SNS by its ARN, such as arn:aws:sns:eu-west-1:123456789012:bounces")
    return text


def _folder_or_none(text: str) -> str:
    if text and not _FOLDER.fullmatch(text):
        raise ValueError("give https://host/ with a slash at its end")
    return text


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WarmUp(_Table):
    """`warm_up` of a transport: `per_hour` messages on the day `since` (UTC), twice as many on each day after,
    as many as there are after `days`."""

    since: date
    per_hour: Annotated[float, Field(gt=0)]
    days: Annotated[int, Field(gt=0, le=60)]


class Transport(_Table):
    """One table of `[[mail.transports]]`. What is empty is as in `[mail]`."""

    url: Annotated[str, Field(min_length=1, repr=False)]
    name: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9.-]{0,63})?$")] = ""
    start_tls: Literal["", "required", "if_offered", "never"] = ""
    ca_file: str = ""
    connections: Annotated[int, Field(ge=0)] = 0
    warm_up: WarmUp | None = None


class DomainLimit(_Table):
    """One table of `[[mail.domain_limits]]`. The domain "*" is each one that has no limit of its own."""

    domain: Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)$")]
    per_minute: Annotated[float, Field(gt=0)]


class DkimSection(_Table):
    """One of `[mail] dkim`"""

    selector: str
    domain: str = ""
    key_file: str = ""
    key: Annotated[str, Field(repr=False)] = ""


class Mail(_Table):
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
    daily_hour: Annotated[int, Field(ge=0, le=23)]
    preference_link_days: _Positive
    dkim: tuple[DkimSection, ...]
    calendar: bool
    connections: _Positive
    transports: tuple[Transport, ...]
    domain_limits: tuple[DomainLimit, ...]
    suspicions: Annotated[int, Field(ge=0)]
    probe_seconds: _Seconds
    probe_max_seconds: _Seconds
    connect_timeout_seconds: _Seconds
    command_timeout_seconds: _Seconds
    data_timeout_seconds: _Seconds

    @property
    def is_on(self) -> bool:
        """Whether a mail server is named."""
        return bool(self.url or self.transports)


class BouncesSection(_Table):
    """`[bounces]`"""

    soft_to_suppress: Annotated[int, Field(ge=0)]
    soft_within_seconds: _Seconds
    complaints_to_suppress: Annotated[int, Field(ge=0)]
    return_address: Annotated[str, AfterValidator(_mailbox_or_none)]
    return_seconds: _Seconds
    postmark_password: Annotated[str, Field(repr=False, pattern=r"^(.{16,})?$")]
    sendgrid_key: str
    ses_topics: tuple[Annotated[str, AfterValidator(_topic)], ...]
    ses_sha1: bool
    ses_url: Annotated[str, AfterValidator(_folder_or_none)]
