"""What is good, doubtful or wrong with an endpoint, in a plain sentence each?

From what a survey saw and how a signed ping fared; every sentence that is not good says what to do. Pure. Of
an endpoint that could not be reached a partner (`quiet`) is told what the outcome says and nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from relay.advice import advise
from relay.model import Attempt, Outcome
from relay.times import format_ms

_DAY_MS = 86_400_000
_SOON_MS = 14 * _DAY_MS
_SLOW_MS = 2_000


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # it works, and will not always
    PROBLEM = "problem"  # it does not work


class Check(StrEnum):
    """What was looked at."""

    URL = "url"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    CERTIFICATE = "certificate"
    CONSENT = "consent"
    PING = "ping"
    REDIRECT = "redirect"
    LATENCY = "latency"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence for a person."""

    check: Check
    level: Level
    detail: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What was there before anything was sent; see relay.survey. Times are Unix ms."""

    host: str
    is_plain: bool
    addresses: int
    connect_ms: int | None
    tls_version: str | None = None
    names: Sequence[str] = ()
    issuer: str = ""
    begins_ms: int | None = None
    ends_ms: int | None = None
    chain_ends_ms: int | None = None


_STAGE = {
    Outcome.BLOCKED: Check.URL,
    Outcome.DNS_FAILED: Check.DNS,
    Outcome.TLS_FAILED: Check.TLS,
}


def of_failure(failure: Attempt, seen: Seen | None, now_ms: int, *, quiet: bool) -> list[Finding]:
    """What keeps anything from being sent."""
    check = _STAGE.get(failure.outcome, Check.CONNECT)
    words = advise(failure, quiet=quiet) or ""
    if failure.outcome is not Outcome.TLS_FAILED or seen is None:
        return [Finding(check, Level.PROBLEM, words)]
    return [*of_connection(seen), Finding(Check.CERTIFICATE, Level.PROBLEM, _bad(seen, now_ms) or words)]


def of_connection(seen: Seen) -> list[Finding]:
    """What the name and the connection are like."""
    found: list[Finding] = []
    if seen.addresses:
        many = "one address" if seen.addresses == 1 else f"{seen.addresses} addresses"
        found.append(Finding(Check.DNS, Level.OK, f"The host name has {many}, which the relay may call."))
    elif not seen.is_plain:
        found.append(
            Finding(Check.DNS, Level.WARNING, "The URL has an address for a host: give a name, which can move.")
        )
    if seen.connect_ms is not None:
        found.append(Finding(Check.CONNECT, Level.OK, f"A connection was made in {seen.connect_ms} ms."))
    if seen.is_plain:
        words = "Anybody on the way can read and change plain http: register an https URL."
        found.append(Finding(Check.TLS, Level.WARNING, words))
    return found


def of_certificate(seen: Seen, now_ms: int) -> list[Finding]:
    """What a certificate that was verified is like, and for how long."""
    if seen.tls_version is None or seen.begins_ms is None or seen.ends_ms is None:
        return []
    found = [Finding(Check.TLS, Level.OK, f"The connection is secured with {seen.tls_version.replace('v', ' ')}.")]
    days = _days(seen.ends_ms - now_ms)
    # Some live for six days and are renewed every other: what is late depends on how long they live.
    late = min(_SOON_MS, (seen.ends_ms - seen.begins_ms) // 4)
    if seen.ends_ms - now_ms > late:
        found.append(Finding(Check.CERTIFICATE, Level.OK, f"The certificate, by {seen.issuer}, is valid for {days} more."))
    else:
        words = f"The certificate expires in {days}, on {format_ms(seen.ends_ms)[:10]}: see that its renewal works."
        found.append(Finding(Check.CERTIFICATE, Level.WARNING, words))
    if seen.chain_ends_ms is not None and seen.chain_ends_ms - now_ms < _SOON_MS:
        words = (
            f"A certificate behind it expires in {_days(seen.chain_ends_ms - now_ms)}: install its authority's "
            "current intermediate certificates."
        )
        found.append(Finding(Check.CERTIFICATE, Level.WARNING, words))
    return found


def of_ping(ping: Attempt, *, timeout_s: float, quiet: bool) -> Iterator[Finding]:
    """How a signed ping fared."""
    if ping.outcome is Outcome.REDIRECTED:
        yield Finding(Check.REDIRECT, Level.PROBLEM, advise(ping) or "")
        return
    if ping.outcome is not Outcome.ACCEPTED:
        yield Finding(Check.PING, Level.PROBLEM, advise(ping, quiet=quiet) or "")
        return
    yield Finding(Check.PING, Level.OK, f"A signed ping was taken, with {ping.status}.")
    if ping.duration_ms <= _SLOW_MS:
        yield Finding(Check.LATENCY, Level.OK, f"It answered in {ping.duration_ms} ms.")
        return
    words = (
        f"It took {ping.duration_ms / 1000:.1f} s to answer, of the {timeout_s:g} s that the relay waits: answer 2xx as "
        "soon as the message is stored, and work afterwards."
    )
    yield Finding(Check.LATENCY, Level.WARNING, words)


def of_forgery(forged: Attempt) -> Finding:
    """How a ping with a false signature fared, which should be refused."""
    if forged.outcome is Outcome.ACCEPTED:
        words = (
            "It took a ping with a false signature too: anybody can send it events. Verify `webhook-signature` before "
            "anything else, and answer 401 when it is not genuine."
        )
        return Finding(Check.SIGNATURE, Level.WARNING, words)
    said = f"with {forged.status}" if forged.status is not None else "without an answer"
    return Finding(Check.SIGNATURE, Level.OK, f"A ping with a false signature was refused, {said}.")


def _bad(seen: Seen, now_ms: int) -> str | None:
    """What is wrong with a certificate that was not accepted, as far as it shows."""
    if seen.ends_ms is None or seen.begins_ms is None:
        return None
    if seen.ends_ms < now_ms:
        ago = _days(now_ms - seen.ends_ms)
        return f"The certificate expired on {format_ms(seen.ends_ms)[:10]}, {ago} ago: renew it."
    if seen.begins_ms > now_ms:
        return f"The certificate is valid from {format_ms(seen.begins_ms)[:10]} only: check the clock of who made it."
    if not any(_is_for(name.lower(), seen.host) for name in seen.names):
        names = ", ".join(seen.names[:3]) or "no name at all"
        return f"The certificate is for {names} and not for {seen.host}: get one for this name."
    return None


def _is_for(name: str, host: str) -> bool:
    return name == host or (name.startswith("*.") and name[1:] == host[host.find(".") :])


def _days(ms: int) -> str:
    days = ms // _DAY_MS
    return "less than a day" if days < 1 else "one day" if days == 1 else f"{days} days"
