import fcntl
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import structlog
from pydantic import SecretStr

from cli.failures import Failed
from okgames.embedded_postgres import embedded_postgres
from okgames.migrations import migrate
from okgames.process import Surroundings, surroundings
from okgames.settings import HttpAddress, Settings

APPLICATION_KEY: Final = "CBDEMOKEYABABABABA"
ADMIN_TOKEN: Final = "token-of-the-demo"  # noqa: S105 - nothing but the demo's own data is behind it
WEBHOOK_SECRET: Final = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="  # noqa: S105 - as above

_CONFIG: Final = """\
# What `okgames demo` runs with; written anew each time.

[[apps]]
name = "Backgammon"
application_id = "1234567890"
application_key = "{application_key}"
secret_key = "0123456789ABCDEF01234567"
group_id = "70000000000001"
access_token = "group-token-of-the-demo"

[apps.promotions]
language = "en"

[[apps.endpoints]]
url = "http://{game}/okgames"
secret = "{webhook_secret}"

[[apps.products]]
code = "gold_100"
name = "A bag of gold"
price = 50
reward = {{ item = "gold", quantity = 100 }}

[[apps.products]]
code = "gold_500"
name = "A chest of gold"
prices = [{{ oks = 200 }}, {{ from = 2026-03-16T00:00:00+03:00, oks = 180 }}]
reward = {{ item = "gold", quantity = 500 }}

[[apps.products]]
code = "apples"
name = "Three apples each day"
description = "Get three bonus apples each day"
price = 50
subscription = {{ period = "7d", trial = "3d", after_cancel = "stop", tolerance = "2h" }}
reward = {{ item = "apple", quantity = 3, every = "1d" }}

[jira]
url = "http://{ok}"
user = "studio"
password = "password-of-the-demo"
# Hours pass at once, and at each of them there is something to read.
every = "59m"

[[jira.projects]]
task = "PROMO"
key = "PROMO"
mode = "rest"
"""


@dataclass(frozen=True)
class Stage:
    """Hold what the demo plays on: an installation of its own, and where its game's server listens."""

    found: Surroundings
    game: HttpAddress


@contextmanager
def stage(directory: Path) -> Iterator[Stage]:
    """
    Set up an installation below `directory` with an empty database, whatever the environment says.

    Its log goes to `directory`/demo.log. Raise Failed if another demo is playing there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(_alone(directory))
        stack.enter_context(_logging_to(directory / "demo.log"))
        url = _empty_database(stack.enter_context(embedded_postgres(directory)))
        migrate(url, [])
        http, management, ok, game = _free_addresses(4)
        config = directory / "okgames.toml"
        config.write_text(
            _CONFIG.format(application_key=APPLICATION_KEY, game=game, webhook_secret=WEBHOOK_SECRET, ok=ok)
        )
        settings = Settings(
            config=config,
            database_url=url,
            data_dir=directory,
            event_log="postgres",
            http=http,
            management_http=management,
            admin_token=SecretStr(ADMIN_TOKEN),
            ok_api=f"http://{ok}",
            simulator_http=ok,
            clock="movable",
            log_level="info",
            log_format="json",
        )
        yield Stage(stack.enter_context(surroundings(settings)), game)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failed(f"another demo is playing in {directory}") from error
        yield


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Keep the log out of what the demo shows."""
    with path.open("w") as log:
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.format_exc_info,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.PrintLoggerFactory(log),
        )
        handler = logging.StreamHandler(log)
        logging.getLogger().addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(handler)
            structlog.reset_defaults()


def _empty_database(server_url: str) -> str:
    """Make the demo's database anew; the server itself may well be that of an earlier demo."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("drop database if exists demo with (force)")
        connection.execute("create database demo")
    # With an empty host, urlunsplit would drop the slashes.
    return urlunsplit(urlsplit(server_url)._replace(path="/demo"))


def _free_addresses(count: int) -> list[HttpAddress]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [HttpAddress("127.0.0.1", each.getsockname()[1]) for each in sockets]
