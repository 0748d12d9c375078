from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
import yoyo
from psycopg import sql

_COMMON: Final = Path(str(files("okgames") / "migrations"))
# Any number, as long as every okgames process takes the same one.
_LOCK: Final = 0x6F6B67616D6573


def migrate(url: str, schemas: Sequence[tuple[str, Path]]) -> int:
    """
    Bring the database at `url` up to date and return how many steps were applied.

    `schemas` are the services' schema names with their folders of plain SQL files. Processes that migrate at the
    same time wait for each other; each file is applied and noted in a transaction of its own, so that a killed process
    leaves whole steps only.
    """
    with _exclusive(url):
        return sum(_apply(url, schema, *directories) for schema, directories in _all(schemas))


def pending(url: str, schemas: Sequence[tuple[str, Path]]) -> list[str]:
    """Return the steps that `migrate` would apply, each as SCHEMA/STEP, and change nothing."""
    with psycopg.connect(url) as connection:
        connection.read_only = True
        return [
            f"{schema}/{migration.id}"
            for schema, directories in _all(schemas)
            for applied in [_applied(connection, schema)]
            for migration in yoyo.read_migrations(*map(str, directories))
            if migration.hash not in applied
        ]


def _all(schemas: Sequence[tuple[str, Path]]) -> list[tuple[str, tuple[Path, ...]]]:
    services = [(schema, (_COMMON / "service", directory)) for schema, directory in schemas]
    return [("okgames_migrations", (_COMMON / "common",)), *services]


def _applied(connection: "psycopg.Connection[tuple[str]]", schema: str) -> set[str]:
    # Not through yoyo, which makes its tables where there are none.
    is_there = connection.execute(
        "select 1 from pg_tables where schemaname = %s and tablename = '_yoyo_migration'", [schema]
    ).fetchone()
    if is_there is None:
        return set()
    query = sql.SQL("select migration_hash from {}").format(sql.Identifier(schema, "_yoyo_migration"))
    return {row[0] for row in connection.execute(query)}


@contextmanager
def _exclusive(url: str) -> Iterator[None]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", [_LOCK])
        yield


def _apply(url: str, schema: str, *directories: Path) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'create schema if not exists "{schema}"')
    with yoyo.get_backend(_yoyo_url(url, schema)) as backend:
        # yoyo's lock is a row that outlives a killed process; the advisory lock above stands in for it.
        backend.break_lock()
        pending = backend.to_apply(yoyo.read_migrations(*map(str, directories)))
        backend.ensure_internal_schema_updated()
        for migration in pending:
            # yoyo's own way notes a migration in another transaction than it applies it in.
            with backend.transaction():
                migration.process_steps(backend, "apply")
                backend.mark_one(migration, log=False)
        return len(pending)


def _yoyo_url(url: str, schema: str) -> str:
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query), ("schema", schema)])
    return urlunsplit(("postgresql+psycopg", parts.netloc, parts.path, query, ""))
