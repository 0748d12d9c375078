from pathlib import Path

import psycopg
import pytest

from okgames.testing import DatabaseTemplates, PostgresUnreachable, check_reachable, wait_until


@pytest.mark.parametrize("run", ["first", "second"])
def test_each_test_gets_a_migrated_database_of_its_own(database_url: str, run: str):
    with psycopg.connect(database_url) as connection:
        connection.execute("create table only_mine ()")
        (events,) = connection.execute("select count(*) from event_log.events").fetchone()
    assert 0 == events


def test_packages_with_other_migrations_get_other_templates(
    database_templates: DatabaseTemplates, tmp_path: Path, request: pytest.FixtureRequest
):
    (tmp_path / "0001_apples.sql").write_text("create table apples (eaten int)")
    name = "okgames_test_of_templates"
    database_templates.copy([("orchard", tmp_path)], name)
    request.addfinalizer(lambda: database_templates.drop_database(name))

    with psycopg.connect(database_templates.url_of(name)) as connection:
        assert [] == connection.execute("select * from orchard.apples").fetchall()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://okgames@/okgames?host=/tmp/x", "postgresql://okgames@/mine?host=/tmp/x"),
        ("postgresql:///okgames?host=/tmp/x", "postgresql:///mine?host=/tmp/x"),
        ("postgresql://me:secret@db:5433", "postgresql://me:secret@db:5433/mine?"),
    ],
)
def test_another_database_of_the_same_server_differs_in_its_name_only(url: str, expected: str):
    assert expected == DatabaseTemplates(url).url_of("mine")


def test_a_postgres_that_cannot_be_reached_is_an_error_that_says_what_to_install():
    with pytest.raises(PostgresUnreachable, match="install and start Postgres 14 or newer"):
        check_reachable("postgresql://okgames@/okgames?host=/nowhere")


async def test_waiting_ends_when_the_condition_holds():
    answers = [False, [], 0, "yes"]

    async def condition() -> object:
        return answers.pop(0)

    await wait_until(condition)
    assert [] == answers
    await wait_until(lambda: True)


async def test_waiting_in_vain_fails_with_what_was_waited_for():
    with pytest.raises(AssertionError, match="no apples after"):
        await wait_until(lambda: False, timeout=0.05, message="no apples")
