"""Is this process well, can it do its work, and how much was done?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from aiohttp import web

from relay.accounts import State
from relay.api.problems import Problem
from relay.api.route import Call, answer
from relay.api.shapes import HealthShape, ReadyShape
from relay.engine.postmaster import MAIL
from relay.errors import StoreError
from relay.mail.send import Mailer
from relay.model import Channel
from relay.services import SERVICES
from relay.store.counters import BUCKETS_S

_OK = HealthShape(status="ok")
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"

_ACCOUNTS = "relay_accounts"
_PENDING = "relay_deliveries_pending"
_ABOUT: dict[str, tuple[str, str]] = {
    "relay_events_total": ("counter", "Events by how they were answered."),
    "relay_deliveries_settled_total": ("counter", "Deliveries that ended, by channel and how."),
    "relay_attempts_total": ("counter", "Requests and SMTP transactions, by channel and outcome."),
    "relay_bounces_total": ("counter", "Bounces and complaints, by who reported them."),
    "relay_returned_total": ("counter", "Messages that came to the bounce mailbox, by what came of them."),
    "relay_suppressions_total": ("counter", "Addresses that nothing is mailed to any more, by reason."),
    "relay_breaker_switches_total": ("counter", "Breakers of endpoints that opened, began to ramp up, or closed."),
    _PENDING: ("gauge", "Deliveries that are owed, by channel."),
    _ACCOUNTS: ("gauge", "Recipients of accepted events, by how they stand; unaccounted is 0 or a fault."),
    "relay_accounts_repaired_total": ("counter", "Chains that stood still and were gone through again."),
    "relay_retention_total": ("counter", "Records that left because their time was over, by kind."),
    "relay_retention_behind_seconds": ("gauge", "How far retention is behind what has had its time."),
    "relay_retention_kept": ("gauge", "Transfers that retention is to look at again."),
    "relay_source_callbacks_total": ("counter", "Callbacks of a transfer system, by how they were answered."),
    "relay_source_worked_total": ("counter", "Callbacks that were worked on, by what came of them."),
    "relay_source_requests_total": ("counter", "Questions to a transfer system, by how they were answered."),
    "relay_source_troubles_total": ("counter", "How often something was found wrong with a source, by kind."),
    "relay_source_troubled": ("gauge", "What is wrong with a source now, by kind: 1 while it lasts."),
    "relay_mail_server_down": ("gauge", "Mail servers at fault now: 1 while it lasts."),
    "relay_mail_server_failures_total": ("counter", "How often a mail server was found at fault."),
    "relay_accept_seconds": ("histogram", "From a request's arrival to its answer."),
    "relay_first_attempt_seconds": ("histogram", "From an event's acceptance to its first attempt."),
    "relay_attempt_seconds": ("histogram", "How long one attempt took."),
}


async def live(request: web.Request) -> web.Response:
    """The process answers."""
    return answer(_OK)


async def ready(request: web.Request) -> web.Response:
    """The process and its database answer; 503 when the database does not. How the mail servers are changes
    nothing about that: events are accepted, and mails wait."""
    services = request.app[SERVICES]
    try:
        await services.store.registry.ping()
        down = {trouble.kind for trouble in await services.store.sources.troubles(MAIL)}
    except StoreError:
        raise Problem(503, "The database does not answer.", headers={"Retry-After": "1"}) from None
    return answer(ReadyShape(status="ok", mail=_mail(services.mailer, down)))


def _mail(mailer: Mailer | None, down: set[str]) -> Literal["off", "ok", "degraded", "down"]:
    if mailer is None:
        return "off"
    names = {transport.name for transport in mailer.transports}
    if not names & down:
        return "ok"
    return "down" if names <= down else "degraded"


async def metrics(call: Call) -> web.Response:
    """Prometheus text, of the whole installation."""
    text = prometheus(await call.services.store.counters.read())
    return web.Response(body=text.encode(), headers={"Content-Type": _TEXT})


def prometheus(counters: Mapping[str, int]) -> str:
    """The Prometheus text format (0.0.4) of the store's flat counters (see relay.store.counters)."""
    plain: dict[str, list[str]] = {name: [] for name, (kind, _) in _ABOUT.items() if kind != "histogram"}
    histograms: dict[str, dict[str, dict[str, int]]] = {
        name: {} for name, (kind, _) in _ABOUT.items() if kind == "histogram"
    }
    for full, value in sorted(counters.items()):
        name, part = full, ""
        for mark in (":le:", ":count", ":us"):
            if mark in full:
                name, part = full[: full.rindex(mark)], full[full.rindex(mark) :]
                break
        metric, labels = _labels(name)
        if part:
            histograms.setdefault(metric, {}).setdefault(labels, {})[part] = value
        else:
            plain.setdefault(metric, []).append(f"{metric}{_braced(labels)} {value}")
    # What nobody counted yet is none, which a rule can only see if it is said.
    for channel in (Channel.WEBHOOK, Channel.EMAIL):
        if f"{_PENDING}|channel={channel}" not in counters:
            plain[_PENDING].append(f'{_PENDING}{{channel="{channel}"}} 0')
    for state in State:
        if f"{_ACCOUNTS}|state={state}" not in counters:
            plain[_ACCOUNTS].append(f'{_ACCOUNTS}{{state="{state}"}} 0')
    lines: list[str] = []
    for metric, samples in plain.items():
        lines += _header(metric, "counter") + samples
    for metric, series in histograms.items():
        lines += _header(metric, "histogram")
        for labels, parts in series.items():
            lines += _histogram(metric, labels, parts)
    return "\n".join(lines) + "\n"


def _histogram(metric: str, labels: str, parts: Mapping[str, int]) -> list[str]:
    lines, sum_ = [], 0
    for place, bound in enumerate([*map(repr, BUCKETS_S), "+Inf"]):
        sum_ += parts.get(f":le:{place}", 0)
        upper = f'le="{bound}"'
        lines.append(f"{metric}_bucket{_braced(labels, upper)} {sum_}")
    # The buckets are written together with the count, but read a moment apart: the sum of them is the
    # count that agrees with the last bucket.
    lines.append(f"{metric}_sum{_braced(labels)} {parts.get(':us', 0) / 1_000_000!r}")
    lines.append(f"{metric}_count{_braced(labels)} {sum_}")
    return lines


def _labels(name: str) -> tuple[str, str]:
    metric, *pairs = name.split("|")
    quoted = []
    for pair in pairs:
        label, _, value = pair.partition("=")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        quoted.append(f'{label}="{escaped}"')
    return metric, ",".join(quoted)


def _braced(*labels: str) -> str:
    given = ",".join(label for label in labels if label)
    return f"{{{given}}}" if given else ""


def _header(metric: str, kind: str) -> list[str]:
    known, about = _ABOUT.get(metric, (kind, "Counted by the relay."))
    return [f"# HELP {metric} {about}", f"# TYPE {metric} {known}"]
