import logging
import sys
from typing import Final, Literal

import structlog
from prometheus_client import Counter, Gauge

EVENTS_HANDLED: Final = Counter("okgames_events_handled", "Events read from the log and handled.", ["group", "topic"])
EVENTS_PARKED: Final = Counter("okgames_events_parked", "Events put into dead_letters.", ["group", "topic"])
EVENTS_PASSED_OVER: Final = Counter(
    "okgames_events_passed_over", "Events of a type that this version does not know.", ["type"]
)
EVENTS_FORWARDED: Final = Counter(
    "okgames_events_forwarded", "Events that Kafka has acknowledged to the forwarder.", ["topic"]
)
STEPS_FAILED: Final = Counter("okgames_steps_failed", "Runs of a reader, job or task that failed.", ["step"])
LAG: Final = Gauge("okgames_log_lag_events", "Events that a group has not read yet.", ["group", "topic"])


def configure_logging(level: str, form: Literal["json", "console"]) -> None:
    """Log to standard error, as one JSON object a line or as text for a person."""
    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    # With each request that is no HTTP aiohttp logs a traceback, so that anybody could fill the disk.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if form == "json" else _as_it_is,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # It tells of each try, thousands of times while a broker is away. What matters of it we tell ourselves.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _as_it_is(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return event
