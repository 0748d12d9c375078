from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from okgames.catalogue import Config
from okgames.clock import Clock, MovableClock, SystemClock
from okgames.config import load_config
from okgames.database import Database
from okgames.embedded_postgres import embedded_postgres
from okgames.kafka_log import KafkaLog
from okgames.log import EventLog
from okgames.postgres_log import PostgresLog
from okgames.runtime import run
from okgames.service import Service
from okgames.settings import Settings, load_settings
from okgames.telemetry import configure_logging

Build: TypeAlias = Callable[[Settings, Config, Clock], Service]


@dataclass(frozen=True)
class Surroundings:
    """What a process finds when it starts: its settings, the catalogue, a database, the time and the log."""

    settings: Settings
    config: Config
    clock: Clock
    log: EventLog


@contextmanager
def surroundings(settings: Settings) -> Iterator[Surroundings]:
    """
    Prepare what the settings ask for; an embedded Postgres runs for as long as the context lasts.

    Raise ConfigError for a broken configuration file and PostgresNotStarted.
    """
    config = load_config(settings.config)
    with _database_url(settings) as url:
        settings = settings.model_copy(update={"database_url": url})
        clock = MovableClock(Database(url, "okgames")) if settings.clock == "movable" else SystemClock()
        yield Surroundings(settings, config, clock, _log(settings, Database(url, "event_log")))


def main(*builds: Build, migrated: bool = True) -> None:
    """Run services as one process until SIGTERM or SIGINT, as the environment and the configuration file say."""
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    with surroundings(settings) as found:
        run(
            *(build(found.settings, found.config, found.clock) for build in builds),
            log=found.log,
            settings=found.settings,
            clock=found.clock,
            keep_events=found.config.event_retention,
            migrated=migrated,
        )


def _log(settings: Settings, database: Database) -> EventLog:
    if settings.event_log == "postgres":
        return PostgresLog(database)
    return KafkaLog(settings.event_log, database, member=settings.member)


@contextmanager
def _database_url(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        yield settings.database_url
        return
    with embedded_postgres(settings.data_dir) as url:
        yield url
