"""How does a log line look?

One JSON object a line on standard error, or one line of text for a person at a terminal. What is in it
is decided by `relay.record`.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, BinaryIO

import orjson
import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import FilteringBoundLogger, Processor

from relay.config import Log

_MOST_WAITING = 32
"""Lines that wait for the end of the loop's turn to be written."""


def open_log(settings: Log) -> FilteringBoundLogger:
    """The log of this process, as the operator wants it."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    factory: Callable[..., Any]
    wrapper: type[Any] = structlog.make_filtering_bound_logger(level)
    if settings.format == "json":
        wrapper = type("JsonLog", (_Straight, wrapper), {})
        chain: list[Processor] = [_json_line]
        lines = _Lines(sys.stderr.buffer)

        def factory(*_: Any) -> _Lines:
            return lines
    else:
        chain = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _console(),
        ]
        factory = structlog.PrintLoggerFactory(sys.stderr)
    structlog.configure(
        processors=chain,
        wrapper_class=wrapper,
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    # Libraries speak through the standard library: only what an operator should see.
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr)
    logging.getLogger("aiohttp.server").addFilter(_not_a_strangers_words)
    log: FilteringBoundLogger = structlog.get_logger()
    return log


class _Straight:
    """A line goes from who says it to who writes it with nothing in between, in half the time. It goes before a bound
    logger of structlog's."""

    _context: Mapping[str, Any]
    _logger: Any

    def _proxy_to_logger(self, level: str, event: str | None = None, **fields: Any) -> None:
        if self._context:
            fields = {**self._context, **fields}
        fields["event"] = event
        getattr(self._logger, level)(_json_line(None, level, fields))


class _Lines:
    """Lines of one turn of the event loop are written together, with one call of the system; outside of a
    loop, and what is a warning or worse, at once."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._waiting: list[bytes] = []
        atexit.register(self._write)

    def info(self, line: bytes) -> None:
        """One line that may wait for its turn to end."""
        if not self._waiting:
            try:
                asyncio.get_running_loop().call_soon(self._write)
            except RuntimeError:
                return self.warning(line)
        self._waiting.append(line)
        if len(self._waiting) >= _MOST_WAITING:
            self._write()
        return None

    def warning(self, line: bytes) -> None:
        """One line, now."""
        self._waiting.append(line)
        self._write()

    debug = msg = info
    error = critical = exception = warning

    def _write(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._out.write(b"".join(waiting))
            self._out.flush()


class _Seconds:
    """The current second as text; most lines of a busy process share theirs with the one before."""

    at = -1
    text = ""


def _json_line(_: Any, level: str, fields: MutableMapping[str, Any]) -> bytes:
    """Level and time (RFC 3339, UTC, microseconds) are added; an exception is given as its traceback."""
    if "exc_info" in fields:
        fields = structlog.processors.format_exc_info(_, level, fields)
    ns = time.time_ns()
    second, rest = divmod(ns, 1_000_000_000)
    if second != _Seconds.at:
        _Seconds.at, _Seconds.text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    fields["level"] = "error" if level == "exception" else level
    fields["timestamp"] = f"{_Seconds.text}.{rest // 1000:06d}Z"
    return orjson.dumps(fields, default=str, option=orjson.OPT_APPEND_NEWLINE)


def _not_a_strangers_words(record: logging.LogRecord) -> bool:
    """Whether a record of the server is about a fault of ours. Of a request that is not HTTP the server
    logs a traceback with the very bytes: anybody could fill the log, and a mangled header may be a token."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


def _console() -> structlog.dev.ConsoleRenderer:
    # The plain traceback: the rich one prints local variables, and those may be secrets.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
