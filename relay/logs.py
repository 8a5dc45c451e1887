"""How does a log line look?

One JSON object a line on standard error, or one line of text for a person at a terminal. What is in it
is decided by `relay.record`.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog
from structlog.typing import FilteringBoundLogger, Processor

from relay.config import Log


def open_log(settings: Log) -> FilteringBoundLogger:
    """The log of this process, as the operator wants it."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    factory: Any
    if settings.format == "json":
        chain: list[Processor] = [
            *shared,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ]
        factory = structlog.BytesLoggerFactory(sys.stderr.buffer)
    else:
        chain = [*shared, _console()]
        factory = structlog.PrintLoggerFactory(sys.stderr)
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    # Libraries speak through the standard library: only what an operator should see.
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr)
    log: FilteringBoundLogger = structlog.get_logger()
    return log


def _console() -> structlog.dev.ConsoleRenderer:
    # The plain traceback: the rich one prints local variables, and those may be secrets.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _dumps(value: Any, **_: Any) -> bytes:
    return orjson.dumps(value, default=str)
