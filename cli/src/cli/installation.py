import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from cli.failures import Failed, WrongInput
from okgames.config import ConfigError
from okgames.database import is_unavailable
from okgames.kafka import KafkaAddress
from okgames.log import LogUnavailable
from okgames.migrations import migrate
from okgames.postgres_layout import PostgresNotStarted
from okgames.process import Surroundings, surroundings
from okgames.settings import Settings, SettingsError, load_settings
from okgames.telemetry import configure_logging
from okgames.topics import TopicsError


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what an operator can put right into one line; a fault of ours keeps its traceback."""
    try:
        yield
    except Exception as error:
        cause = _innermost(error)
        match cause:
            case SettingsError() | ConfigError():
                raise WrongInput(str(cause)) from error
            case PostgresNotStarted() | psycopg.OperationalError():
                raise Failed(f"the database: {_first_line(cause)}") from error
            case TopicsError() | LogUnavailable():
                raise Failed(str(cause)) from error
            case _ if is_unavailable(cause):
                raise Failed(_first_line(cause)) from error
            case _:
                raise


@contextmanager
def installation() -> Iterator[Surroundings]:
    """Prepare what the environment and the configuration file say; log as they say."""
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    with surroundings(settings) as found:
        yield found


def kafka_address(settings: Settings) -> KafkaAddress:
    """Return where Kafka is; raise WrongInput where events stay in Postgres."""
    if settings.event_log == "postgres":
        raise WrongInput("OKGAMES_EVENT_LOG: must be kafka://host:port[,host:port] for this command")
    return settings.event_log


def silence_kafka_client() -> None:
    """Keep aiokafka from saying on standard error what the command says itself."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@contextmanager
def migrated_installation() -> Iterator[Surroundings]:
    """As `installation`, with the tables that all services share, for commands that may be the first to run."""
    with installation() as found:
        migrate(found.settings.resolved_database_url, [])
        yield found


def _innermost(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
