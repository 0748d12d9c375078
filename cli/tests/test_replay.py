import json
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from command import Command
from kafka_world import fresh_address
from test_operations import purchase

from okgames.testing import wait_until

SINCE = (datetime.now(UTC) - timedelta(days=1)).isoformat()
LEDGER = ("replay", "subscription-ledger", "--since", SINCE)
IS_RUNNING = "okgames: subscription-ledger is running: stop okgames up, or each okgames run of it\n"


def rows(command: Command, *arguments: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in command.prints(*arguments, "--json").splitlines()]


def timeline(command: Command) -> list[tuple[object, object]]:
    return [(item["what"], item["id"]) for item in rows(command, "timeline", "500")]


@pytest.fixture
async def sold(command: Command) -> Command:
    """A system that was stopped when one player had bought twice and two webhooks were to be sent."""
    async with command.running("up", "--simulator"):
        for _ in range(2):
            await purchase(command)
        await wait_until(lambda: len(rows(command, "deliveries", "list")) == 2, timeout=20)
    return command


async def test_what_was_handled_is_passed_over(sold: Command) -> None:
    assert [
        {"topic": "okgames.payments.v1", "events": 2, "handled": 2, "to_handle": 0},
        {"topic": "okgames.deliveries.v1", "events": 0, "handled": 0, "to_handle": 0},
    ] == rows(sold, *LEDGER)
    async with sold.running("up"):
        await read_to_the_end(sold)
        assert 4 == len(timeline(sold))
        assert 2 == len(rows(sold, "deliveries", "list"))


async def test_what_a_restored_service_lacks_is_handled_and_nothing_follows_from_it_twice(sold: Command) -> None:
    async with sold.running("up"):
        before = timeline(sold)
        sent = [delivery["id"] for delivery in rows(sold, "deliveries", "list")]
    await lose(sold, "subscription_ledger")

    text = sold.prints(*LEDGER, "--topic", "okgames.payments.v1")

    assert ["okgames.payments.v1", "2", "0", "2"] == text.splitlines()[1].split()
    assert text.endswith("\nsubscription-ledger reads them when it is started\n")
    async with sold.running("up"):
        await wait_until(lambda: timeline(sold) == before, timeout=20)
        await read_to_the_end(sold)
        assert sent == [delivery["id"] for delivery in rows(sold, "deliveries", "list")]


async def test_a_trial_run_changes_nothing_and_may_be_done_at_any_time(sold: Command) -> None:
    await lose(sold, "subscription_ledger")

    async with sold.running("up"):
        text = sold.prints(*LEDGER, "--dry-run")
        assert ["okgames.payments.v1", "2", "0", "2"] == text.splitlines()[1].split()
        assert text.endswith("\nnothing was changed\n")
        await read_to_the_end(sold)
        assert [] == timeline(sold)


async def test_a_service_that_is_running_is_not_rewound(sold: Command) -> None:
    before = await cursors(sold)

    async with sold.running("run", "subscription-ledger"):
        await wait_until(lambda: partitions_held(sold), timeout=20)
        result = sold.run(*LEDGER)
    assert (1, "", IS_RUNNING) == (result.returncode, result.stdout, result.stderr)
    assert before == await cursors(sold)


async def test_on_kafka_it_is_the_same(command: Command, kafka_servers: list[str]) -> None:
    kafka = {"OKGAMES_EVENT_LOG": str(fresh_address(kafka_servers))}
    command.prints("topics", "apply", **kafka)
    async with command.running("up", "--simulator", **kafka):
        await purchase(command)
        await wait_until(lambda: len(rows(command, "deliveries", "list")) == 1, timeout=60)
        before = timeline(command)
        # A group shows that it has read once its position is kept.
        await wait_until(lambda: is_refused(command, kafka), timeout=20)
    async with command.database() as connection:
        await connection.execute("drop schema subscription_ledger cascade")
    command.prints("migrate", **kafka)

    assert ["okgames.payments.v1", "1", "0", "1"] == command.prints(*LEDGER, **kafka).splitlines()[1].split()

    async with command.running("up", **kafka):
        await wait_until(lambda: timeline(command) == before, timeout=60)
        assert 1 == len(rows(command, "deliveries", "list"))


def is_refused(command: Command, kafka: dict[str, str]) -> bool:
    result = command.run(*LEDGER, "--topic", "okgames.payments.v1", **kafka)
    return (1, "", IS_RUNNING) == (result.returncode, result.stdout, result.stderr)


def test_a_database_that_was_never_migrated_is_a_failure(command: Command) -> None:
    result = command.run(*LEDGER)

    assert (1, "okgames: the database is not up to date: okgames migrate\n") == (result.returncode, result.stderr)


def test_a_database_out_of_reach_is_a_failure(command: Command) -> None:
    result = command.run(*LEDGER, OKGAMES_DATABASE_URL="postgresql://okgames@127.0.0.1:1/okgames")

    assert (1, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))


async def lose(command: Command, schema: str) -> None:
    """Put a service back to where it was before it was used."""
    async with command.database() as connection:
        await connection.execute(f"drop schema {schema} cascade")
    command.prints("migrate")


async def partitions_held(command: Command) -> int:
    async with command.database() as connection:
        held: int = await connection.fetchval(
            """
            select count(*) from pg_locks join pg_database on pg_database.oid = database
            where locktype = 'advisory' and datname = current_database()
            """
        )
    return held


async def cursors(command: Command) -> list[tuple[object, ...]]:
    async with command.database() as connection:
        found = await connection.fetch("select * from event_log.cursors where reader_group = 'subscription-ledger'")
    return sorted(map(tuple, found))


async def read_to_the_end(command: Command) -> None:
    """Wait until every reader has read what is in the log."""
    async with command.database() as connection:
        await wait_until(lambda: is_read(connection), timeout=20)


async def is_read(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return not await connection.fetchval(
        """
        select exists (
            select from event_log.cursors as c join event_log.events as e using (topic, partition)
            where e.position > c.position
        )
        """
    )
