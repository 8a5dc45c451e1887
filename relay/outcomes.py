"""What does an answer say, or that there was none?

The outcome of an attempt from an HTTP status or from the error that came instead, each with one sentence for
the partner that owns the endpoint. Errors are told apart by type, wherever in the chain aiohttp left them;
the sentences name no address, port or duration: they must not make the relay a port scanner.
"""

from __future__ import annotations

import errno
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from relay.dialer import BlockedAddress
from relay.model import Outcome
from relay.times import to_ms

MAX_RETRY_AFTER_S: Final = 366 * 86_400

_EXACT: Mapping[int, Outcome] = {410: Outcome.GONE, 429: Outcome.THROTTLED, 503: Outcome.UNAVAILABLE}
_BY_CLASS: Mapping[int, Outcome] = {
    2: Outcome.ACCEPTED,
    3: Outcome.REDIRECTED,
    4: Outcome.REJECTED,
    5: Outcome.SERVER_ERROR,
}
_MEANING: Mapping[Outcome, str] = {
    Outcome.ACCEPTED: "it accepted the message",
    Outcome.REDIRECTED: "a redirect, which is never followed; register the final URL",
    Outcome.REJECTED: "it did not accept the message",
    Outcome.GONE: "it wants no more messages",
    Outcome.THROTTLED: "it asks for fewer requests",
    Outcome.UNAVAILABLE: "it is not available just now",
    Outcome.SERVER_ERROR: "it failed to handle the message",
    Outcome.PROTOCOL_ERROR: "which is no final HTTP status",
}


@lru_cache(maxsize=1024)
def judge(status: int) -> tuple[Outcome, str]:
    """The outcome of a final HTTP status, in words. 1xx and what is above 599 are no final status."""
    outcome = _EXACT.get(status) or _BY_CLASS.get(status // 100, Outcome.PROTOCOL_ERROR)
    return outcome, f"The endpoint answered {status}: {_MEANING[outcome]}."


_SECONDS = re.compile(r"[0-9]{1,32}", re.ASCII)


def parse_retry_after(value: str, now_ms: int) -> int | None:
    """Seconds from `now_ms`, at least 0 and at most MAX_RETRY_AFTER_S, of a Retry-After header (RFC 9110).

    Both forms: delta-seconds and HTTP-date (rounded up). None for what is neither, and for a past date.
    """
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return min(int(value), MAX_RETRY_AFTER_S)
    if len(value) > 64:
        return None
    try:
        moment = parsedate_to_datetime(value)
        wait_ms = to_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - now_ms
    except (ValueError, OverflowError):
        return None
    return min(-(-wait_ms // 1000), MAX_RETRY_AFTER_S) if wait_ms >= 0 else None


# First match decides, so classes stand before their bases.
_FAILURES: tuple[tuple[type[BaseException], Outcome, str], ...] = (
    (
        BlockedAddress,
        Outcome.BLOCKED,
        "The host leads to an address that the relay may not call; nothing was sent.",
    ),
    (
        aiohttp.ClientProxyConnectionError,
        Outcome.TRANSPORT_DOWN,
        "The relay's own proxy does not answer; its operator is told, and this costs no attempt.",
    ),
    (ssl.SSLError, Outcome.TLS_FAILED, "No secure connection could be made to the endpoint."),
    (aiohttp.ClientConnectorDNSError, Outcome.DNS_FAILED, "The host name could not be found."),
    (TimeoutError, Outcome.TIMED_OUT, "The endpoint did not answer in time."),
    (ConnectionRefusedError, Outcome.CONNECTION_REFUSED, "The endpoint does not accept connections."),
    (ConnectionError, Outcome.CONNECTION_LOST, "The connection was closed before an answer came."),
    (aiohttp.ClientConnectorError, Outcome.CONNECTION_REFUSED, "The endpoint could not be reached."),
    (aiohttp.ClientResponseError, Outcome.PROTOCOL_ERROR, "What came back is not an HTTP answer."),
    (HttpProcessingError, Outcome.PROTOCOL_ERROR, "What came back is not an HTTP answer."),
    (aiohttp.InvalidURL, Outcome.UNSENDABLE, "The URL cannot be called; register it anew."),
    (aiohttp.ClientError, Outcome.CONNECTION_LOST, "The connection was closed before an answer came."),
    (OSError, Outcome.CONNECTION_LOST, "The connection failed before an answer came."),
)
# By X509_V_ERR_* number of OpenSSL; its texts change between versions.
_CERTIFICATE: Mapping[int, str] = {
    9: "The endpoint's certificate is not valid yet; check the date of the machine that made it.",
    10: "The endpoint's certificate has expired; renew it.",
    18: "The endpoint's certificate is self-signed; use one from a public authority.",
    19: "The endpoint's certificate comes from an authority that is not public; use a public one.",
    20: "The endpoint's certificate has no known issuer; send the intermediate certificates with it.",
    21: "The endpoint's certificate has no known issuer; send the intermediate certificates with it.",
    62: "The endpoint's certificate is for another host name; get one for this one.",
    64: "The endpoint's certificate is not for this address; get one for it, or use its host name.",
}
# This machine has run out of something: no partner may be charged for it.
_OUR_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
_UNVERIFIED = "The endpoint's certificate could not be verified."


def explain(failure: BaseException) -> tuple[Outcome, str]:
    """The outcome of an error that came before any status, in words. Raises what is not a partner's doing."""
    chain = list(_chain(failure))
    if any(isinstance(error, OSError) and error.errno in _OUR_SHORTAGE for error in chain):
        raise failure
    for error in chain:
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return _by_proxy(error)
    for wanted, outcome, detail in _FAILURES:
        for error in chain:
            if isinstance(error, wanted):
                return outcome, _certificate(chain) or detail
    raise failure


def _by_proxy(refusal: aiohttp.ClientHttpProxyError) -> tuple[Outcome, str]:
    """What a forward proxy that would not connect means. Smokescreen denies with 407 too, and says so in a
    header; without it, 407 is the relay's own credentials."""
    denied = any(name.lower().startswith("x-smokescreen") for name in refusal.headers or ())
    if refusal.status == 403 or (refusal.status == 407 and denied):
        return Outcome.BLOCKED, "The host leads to an address that the relay may not call; nothing was sent."
    if refusal.status == 407:
        return Outcome.TRANSPORT_DOWN, "The relay's own proxy refuses its credentials; this costs no attempt."
    return Outcome.CONNECTION_REFUSED, "The endpoint could not be reached through the relay's proxy."


def _certificate(chain: Sequence[BaseException]) -> str | None:
    """What is wrong with the certificate, if that is what failed.

    aiohttp's own class of this kind has no number; the error that it wraps does.
    """
    if not any(isinstance(error, ssl.SSLCertVerificationError) for error in chain):
        return None
    codes: set[int] = {getattr(error, "verify_code", 0) for error in chain}
    return next((words for code, words in _CERTIFICATE.items() if code in codes), _UNVERIFIED)


def let_go(failure: BaseException | None) -> None:
    """Have nothing kept by an error that has been explained. Its traceback holds the frames that it went through, and
    those hold it: all that they had in hand would wait for the collector of cycles, which comes seldom."""
    for error in [] if failure is None else list(_chain(failure)):
        error.__traceback__ = None


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """An error and all that it came from: aiohttp and aiohappyeyeballs wrap, and merge, what they caught."""
    waiting, seen = [failure], set[int]()
    while waiting:
        error = waiting.pop(0)
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        inner = (
            error.__cause__,
            error.__context__,
            getattr(error, "os_error", None),
            getattr(error, "certificate_error", None),
        )
        waiting.extend(cause for cause in inner if isinstance(cause, BaseException))
