"""One JSON line per event on standard error; `structlog` with `orjson`, no stdlib formatting."""

import logging
import sys
from typing import Any

import orjson
import structlog

_SECRET_NAMES = (
    "authorization",
    "token",
    "one_time_code",
    "password",
    "private_key",
    "postgres_url",
)


def configure(part: str, level: str) -> None:
    """Set up structured logs of `part`; library logs below warning are dropped.

    Values under names such as `token` or `password` are replaced by `[redacted]`.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(part=part)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s %(message)s")
    # A broker outage makes the client log thousands of lines; our own stall metrics tell it once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def get_logger() -> Any:
    """Return a logger; bind fields with `.bind(...)`, events are short fixed phrases."""
    return structlog.get_logger()


def _redact(_logger: Any, _method: str, event: Any) -> Any:
    for name in event:
        if name in _SECRET_NAMES:
            event[name] = "[redacted]"
    return event


def _dumps(value: Any, **_: Any) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
