import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from okgames.migrations import migrate, pending
from okgames.testing import DatabaseTemplates


@pytest.fixture
def empty_database_url(database_templates: DatabaseTemplates) -> Iterator[str]:
    with database_templates.empty() as url:
        yield url


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "0001_things.sql").write_text("create table things (id int primary key);")
    return tmp_path


def test_what_is_pending_is_what_would_be_applied_and_looking_changes_nothing(
    empty_database_url: str, directory: Path
) -> None:
    before = pending(empty_database_url, [("shop", directory)])
    assert "shop/0001_things" in before
    assert before == pending(empty_database_url, [("shop", directory)])
    assert len(before) == migrate(empty_database_url, [("shop", directory)])
    assert [] == pending(empty_database_url, [("shop", directory)])
    (directory / "0002_more.sql").write_text("create table more (id int primary key);")
    assert ["shop/0002_more"] == pending(empty_database_url, [("shop", directory)])


def test_what_was_applied_is_not_applied_again(empty_database_url: str, directory: Path) -> None:
    assert 0 < migrate(empty_database_url, [("shop", directory)])
    assert 0 == migrate(empty_database_url, [("shop", directory)])


def test_a_step_that_fails_leaves_nothing_and_is_tried_again(empty_database_url: str, directory: Path) -> None:
    step = directory / "0002_more.sql"
    step.write_text("create table more (id int); insert into more values ('no number');")
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        migrate(empty_database_url, [("shop", directory)])
    step.write_text("create table more (id int);")
    assert 1 == migrate(empty_database_url, [("shop", directory)])


def test_a_process_that_is_killed_between_a_step_and_its_note_has_done_neither(
    empty_database_url: str, directory: Path
) -> None:
    migrate(empty_database_url, [("shop", directory)])
    (directory / "0002_more.sql").write_text("create table more (id int);")
    with (
        psycopg.connect(empty_database_url) as reader,
        psycopg.connect(empty_database_url, autocommit=True) as operator,
        ThreadPoolExecutor() as pool,
    ):
        reader.execute('lock table shop."_yoyo_migration" in share mode')
        migrating = pool.submit(migrate, empty_database_url, [("shop", directory)])
        while not operator.execute(_END_WHO_WAITS).fetchall():
            assert not migrating.done()
        with pytest.raises(psycopg.OperationalError):
            migrating.result()
    assert 1 == migrate(empty_database_url, [("shop", directory)])


_END_WHO_WAITS = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and query ilike '%_yoyo_migration%'
"""


def test_processes_that_migrate_at_once_wait_for_each_other(empty_database_url: str, directory: Path) -> None:
    applied: list[int] = []
    threads = [
        threading.Thread(target=lambda: applied.append(migrate(empty_database_url, [("shop", directory)])))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [0, 0, 0] == sorted(applied)[:3]
    assert 0 < max(applied)


def test_each_service_has_tables_of_its_own(empty_database_url: str, directory: Path) -> None:
    migrate(empty_database_url, [("shop", directory), ("bank", directory)])
    with psycopg.connect(empty_database_url) as connection:
        tables = connection.execute(
            "select table_schema from information_schema.tables where table_name in ('things', 'inbox') order by 1"
        ).fetchall()
    assert [("bank",), ("bank",), ("shop",), ("shop",)] == tables
