import asyncio
import inspect
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import psycopg
import pytest

from okgames.embedded_postgres import embedded_postgres
from okgames.kafka_brokers import Brokers, given_brokers, kafka_brokers, own_directory
from okgames.migrations import migrate

Migrations: TypeAlias = Sequence[tuple[str, Path]]

_POLL_SECONDS: Final = 0.005
_LEAVING_SECONDS: Final = 0.1
_MEMORY: Final = Path("/dev/shm")
_MEMORY_WANTED: Final = 4 * 2**30


class PostgresUnreachable(Exception):
    """The Postgres that OKGAMES_TEST_DATABASE_URL names cannot be used."""


async def wait_until(
    condition: Callable[[], Awaitable[object] | object],
    timeout: float = 10.0,
    message: str = "the condition is not met",
) -> None:
    """Return as soon as `condition`, which may be async, is true; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        outcome = condition()
        if inspect.isawaitable(outcome):
            outcome = await outcome
        if outcome:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{message} after {timeout:g} s")
        await asyncio.sleep(_POLL_SECONDS)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A Postgres server: the one that OKGAMES_TEST_DATABASE_URL names, or an embedded one of this session."""
    given = os.environ.get("OKGAMES_TEST_DATABASE_URL")
    if given is not None:
        check_reachable(given)
        yield given
        return
    with (
        own_directory(_folder_for_data(), "okgames-databases") as directory,
        embedded_postgres(directory, durable=False, grace=2.0) as url,
    ):
        yield url


@pytest.fixture(scope="session")
def brokers() -> Iterator[Brokers]:
    """Three Kafka brokers of this session, which a test may end and start again."""
    with kafka_brokers() as running:
        yield running


@pytest.fixture(scope="session")
def kafka_servers(request: pytest.FixtureRequest) -> list[str]:
    """Addresses of Kafka: what OKGAMES_TEST_KAFKA names, or the brokers of this session. Others may use it too."""
    given = given_brokers()
    if given is None:
        brokers: Brokers = request.getfixturevalue("brokers")
        return brokers.servers
    return given


@pytest.fixture(scope="session")
def service_migrations() -> Migrations:
    """Schemas and folders of migrations that a package's tests want in their databases; packages override it."""
    return []


@pytest.fixture(scope="session")
def database_templates(postgres_url: str) -> Iterator["DatabaseTemplates"]:
    templates = DatabaseTemplates(postgres_url)
    yield templates
    templates.drop()


@pytest.fixture
def database_url(database_templates: "DatabaseTemplates", service_migrations: Migrations) -> Iterator[str]:
    """A migrated database of the test's own."""
    name = _new_name()
    database_templates.copy(service_migrations, name)
    yield database_templates.url_of(name)
    database_templates.drop_database(name)


class DatabaseTemplates:
    """
    Keep one migrated database for each set of migrations, for tests to copy.

    A fixture of its own for the template would be shared by packages that override `service_migrations`.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._templates: dict[tuple[tuple[str, Path], ...], str] = {}

    def copy(self, migrations: Migrations, name: str) -> None:
        key = tuple(migrations)
        if key not in self._templates:
            template = _new_name()
            self._execute(f'create database "{template}"')
            migrate(self.url_of(template), migrations)
            self._templates[key] = template
        self._execute(f'create database "{name}" template "{self._templates[key]}"')

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Make a database that nothing was applied to."""
        name = _new_name()
        self._execute(f'create database "{name}"')
        yield self.url_of(name)
        self.drop_database(name)

    def url_of(self, name: str) -> str:
        parts = urlsplit(self._url)
        # urlunsplit would drop the slashes of a URL without a host.
        return f"{parts.scheme}://{parts.netloc}/{name}?{parts.query}"

    def drop(self) -> None:
        for template in self._templates.values():
            self.drop_database(template)

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            # The server looks for those that are just leaving every tenth of a second only.
            deadline = time.monotonic() + _LEAVING_SECONDS
            while _is_used(connection, name) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            connection.execute(f'drop database "{name}" with (force)'.encode())

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement.encode())


def _folder_for_data() -> Path:
    # Each test makes some hundred files and removes them again, which takes a disk longer than most tests do.
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_WANTED:
        return _MEMORY
    return Path(tempfile.gettempdir())


def _new_name() -> str:
    return f"okgames_test_{uuid.uuid4().hex}"


def _is_used(connection: "psycopg.Connection[tuple[object, ...]]", name: str) -> bool:
    return connection.execute("select from pg_stat_activity where datname = %s", [name]).rowcount > 0


def check_reachable(url: str) -> None:
    """Raise PostgresUnreachable, which says what to install."""
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        raise PostgresUnreachable(
            "OKGAMES_TEST_DATABASE_URL names a Postgres that cannot be reached: install and start Postgres 14 or newer"
            f" there, with a user that may create databases, or unset the variable to use the embedded one: {error}"
        ) from error
