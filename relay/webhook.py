"""What happened when one message was sent to one endpoint, once?

`WebhookSender.attempt` makes one signed POST (contract, section 4) and returns an Attempt whatever the
partner did. It raises for the relay's own faults only: a closed session, a bug.

Bounded in time (one deadline over connecting, headers and answer) and in bytes (4 KiB of the answer are
read, then the connection is closed). The status line decides: what goes wrong after it changes nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import aiohttp
from aiohttp import ClientSession
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDictProxy, istr
from yarl import URL

from relay.dialer import DIALLED, Dialled
from relay.egress import Policy, check_url, normalise
from relay.errors import SignatureError
from relay.model import Attempt, Outcome
from relay.outcomes import explain, judge, let_go, parse_retry_after
from relay.posting import Answered, Line, Poster
from relay.signing import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, Key, sign
from relay.time_limit import TimeLimit

MAX_ANSWER_BYTES: Final = 4096
MAX_ANSWER_HEADERS: Final = 32
MAX_HEADER_CHARS: Final = 512
SECOND_TRY_WITHIN_S: Final = 1.0
REDACTED: Final = "•••"

_CONTENT_TYPE, _USER_AGENT, _ACCEPT_ENCODING = (
    istr("content-type"),
    istr("user-agent"),
    istr("accept-encoding"),
)
_ORIGIN = istr("webhook-request-origin")
_ID, _TIMESTAMP, _SIGNATURE = istr(ID_HEADER), istr(TIMESTAMP_HEADER), istr(SIGNATURE_HEADER)


class WebhookSender:
    """Sends webhooks over one guarded session (`relay.dialer.open_session`), which stays its owner's.

    `policy` is the one the session was opened with: the URL is judged again before every sending, cheaply,
    because what was registered under an older configuration may not be allowed any more. `timeout_s` is
    the whole attempt. The user agent is `transfer-relay/<version>`. `target` is a URL as it is called, or the
    sentences that speak against it.
    """

    def __init__(self, session: ClientSession, *, policy: Policy, timeout_s: float, user_agent: str) -> None:
        self.session = self._session = session
        self.timeout_s = self._timeout_s = timeout_s
        self._user_agent = user_agent
        self._limit = TimeLimit(timeout_s)
        self._poster = poster = Poster(session, session.timeout.sock_connect)

        @lru_cache(maxsize=4096)
        def target(url: str) -> URL | str:
            problems = check_url(url, policy)
            return " ".join(problem.detail for problem in problems) if problems else normalise(url, policy)

        @lru_cache(maxsize=4096)
        def line(url: str) -> Line | str:
            found = target(url)
            return found if isinstance(found, str) else poster.line(found)

        self.target, self._line = target, line

    async def attempt(
        self,
        *,
        number: int,
        url: str,
        message_id: str,
        body: bytes,
        keys: Sequence[Key],
        headers: Mapping[str, str],
        now_ms: int,
        origin: str | None = None,
        worn: Mapping[str, str] | None = None,
    ) -> Attempt:
        """One POST of `body` to `url`, signed by all of `keys` at `now_ms`, with the endpoint's `headers`.
        `origin` is who the endpoint consented to hear from, where it was asked (`relay.consent`); `worn` are
        the headers that another format than the standard one has.

        A kept-alive connection that turns out dead before any answer is replaced once, at once, with the
        same bytes (`second_try`). What cannot be signed or sent ends as UNSENDABLE or BLOCKED.
        """
        line = self._line(url)
        if isinstance(line, str):
            return _unsent(number, now_ms, Outcome.BLOCKED, line)
        timestamp_s = now_ms // 1000
        try:
            signature = sign(message_id, timestamp_s, body, keys)
        except SignatureError as problem:
            return _unsent(number, now_ms, Outcome.UNSENDABLE, f"The message could not be signed: {problem}.")
        sent = shown = self._headers(message_id, timestamp_s, signature, origin, worn)
        if headers:
            unfit = next((why for each in headers.items() if (why := allowed_header(*each)) is not None), None)
            if unfit is not None:
                return _unsent(number, now_ms, Outcome.UNSENDABLE, unfit)
            shown = {**sent, **dict.fromkeys(headers, REDACTED)}
            sent = {**headers, **sent}

        loop = asyncio.get_running_loop()
        turn = self._limit.begin()
        started = loop.time()
        response: Answered | None = None
        answer = bytearray()
        failure: BaseException | None = None
        second_try = False
        try:
            dialled = Dialled()
            DIALLED.set(dialled)
            try:
                response = await self._poster.post(line, sent, body)
            except _CONNECTION_DIED as error:
                if not _may_try_again(error, dialled, loop.time() - started):
                    raise
                second_try = True
                response = await self._poster.post(line, sent, body)
            await _read_answer(response, answer)
        except asyncio.CancelledError:
            if not turn.is_over():
                raise
            failure = TimeoutError()
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            if self._session.closed:
                raise
            failure = error
        finally:
            self._limit.end(turn)
        duration_ms = round((loop.time() - started) * 1000)
        if response is None:
            assert failure is not None
            return _unanswered(failure, number, now_ms, duration_ms, shown, second_try)
        # Once the status is there it alone decides: a failure after it is dropped.
        let_go(failure)
        answered = response.headers
        outcome, detail = judge(response.status)
        retry_after = answered.get("Retry-After")
        return Attempt(
            number=number,
            at_ms=now_ms,
            duration_ms=duration_ms,
            outcome=outcome,
            status=response.status,
            detail=detail,
            retry_after_s=None if retry_after is None else parse_retry_after(retry_after, now_ms),
            request_headers=shown,
            answer_headers=_keep(answered),
            answer=answer.decode("utf-8", "replace").replace("\x00", "") if answer else "",
            second_try=second_try,
        )

    def _headers(
        self, message_id: str, timestamp_s: int, signature: str, origin: str | None, worn: Mapping[str, str] | None
    ) -> dict[str, str]:
        headers: dict[str, str] = {
            _CONTENT_TYPE: "application/json",
            _USER_AGENT: self._user_agent,
            _ACCEPT_ENCODING: "identity",
            _ID: message_id,
            _TIMESTAMP: str(timestamp_s),
            _SIGNATURE: signature,
        }
        if origin is not None:
            headers[_ORIGIN] = origin
        if worn is not None:
            headers |= worn
        return headers


# --- the endpoint's own headers -----------------------------------------------------------------------

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?", re.ASCII)
_MAX_VALUE_CHARS = 4096
_OURS = frozenset(
    {"host", "connection", "keep-alive", "te", "trailer", "upgrade", "expect", "transfer-encoding",
     "user-agent", "accept-encoding", "cookie", "traceparent", "tracestate"}
)  # fmt: skip
_OUR_PREFIXES = ("content-", "proxy-", "webhook-", "sec-")


def allowed_header(name: str, value: str) -> str | None:
    """What is wrong with a header that a tenant wants on its requests, with the cure; None when nothing is.

    Never repeats the value: it is a secret.
    """
    if not _HEADER_NAME.fullmatch(name):
        return "A header name is letters, digits and hyphens, 128 at most."
    lowered = name.lower()
    if lowered in _OURS or lowered.startswith(_OUR_PREFIXES):
        return (
            f"The header {name} is set by the relay or the connection; choose another name, such as X-Token."
        )
    if len(value) > _MAX_VALUE_CHARS or not _HEADER_VALUE.fullmatch(value):
        return (
            f"The value of the header {name} must be 1 to {_MAX_VALUE_CHARS} visible ASCII characters, "
            "without line breaks or spaces around it."
        )
    return None


# --- what came back -----------------------------------------------------------------------------------


async def _read_answer(response: Answered, answer: bytearray) -> None:
    """Adds at most MAX_ANSWER_BYTES to `answer`, which keeps what came before an error or the deadline.

    Closes the connection unless the answer ended.
    """
    content = response.content
    try:
        # One read may give a single byte of a slow answer, so the budget is kept here.
        while len(answer) < MAX_ANSWER_BYTES and not content.at_eof():
            answer += await content.read(MAX_ANSWER_BYTES - len(answer))
    finally:
        response.done()


def _keep(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    """The first MAX_ANSWER_HEADERS headers, cut to MAX_HEADER_CHARS, bytes that are not UTF-8 replaced."""
    kept: dict[str, str] = {}
    for name, value in headers.items():
        if not (value.isascii() and name.isascii()):
            name, value = (text.encode("utf-8", "replace").decode() for text in (name, value))
        kept[name[:MAX_HEADER_CHARS]] = value[:MAX_HEADER_CHARS]
        if len(kept) == MAX_ANSWER_HEADERS:
            break
    return kept


# --- the second try -----------------------------------------------------------------------------------

_CONNECTION_DIED = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ClientConnectionResetError,
)


def _may_try_again(error: Exception, dialled: Dialled, elapsed_s: float) -> bool:
    """Whether a kept-alive connection was found dead, and at once: not a partner that thought and gave up.

    aiohttp tries again by itself for idempotent methods only (RFC 9112, section 9.3.1); a POST with a
    webhook-id is one that the receiver can recognise.
    """
    return (
        dialled.count == 0
        and elapsed_s < SECOND_TRY_WITHIN_S
        and not isinstance(error, (aiohttp.ClientConnectorError, TimeoutError))
    )


def _unanswered(
    failure: BaseException, number: int, now_ms: int, duration_ms: int, shown: dict[str, str], second_try: bool
) -> Attempt:
    outcome, detail = explain(failure)
    let_go(failure)
    return Attempt(
        number=number,
        at_ms=now_ms,
        duration_ms=duration_ms,
        outcome=outcome,
        detail=detail,
        request_headers=shown if outcome is not Outcome.BLOCKED else {},
        second_try=second_try,
    )


def _unsent(number: int, now_ms: int, outcome: Outcome, detail: str) -> Attempt:
    return Attempt(number=number, at_ms=now_ms, duration_ms=0, outcome=outcome, detail=detail)
