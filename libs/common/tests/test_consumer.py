import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
from event_log_contract import payment

from okgames.clock import SystemClock
from okgames.consumer import Consumer
from okgames.database import Database, Tx
from okgames.events import Event, PaymentReceived, PlayerEvent, Topic, TrialStarted, derive_id
from okgames.outbox import append, lags
from okgames.postgres_log import PostgresLog
from okgames.service import Handler, Poisoned
from okgames.telemetry import EVENTS_PARKED, EVENTS_PASSED_OVER
from okgames.testing import wait_until

Handle: TypeAlias = Callable[[Tx, Sequence[PaymentReceived]], Awaitable[None]]
FindConcerned: TypeAlias = Callable[[Tx, Collection[str]], Awaitable[Collection[str]]]


@pytest.fixture
def service_migrations() -> list[tuple[str, None]]:
    return [("ledger", None)]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "ledger")
    await database.open()
    async with database.connection() as connection:
        await connection.execute("create table seen (uid text, number text)")
    yield database
    await database.close()


@asynccontextmanager
async def consuming(database: Database, handle: Handle, concerned: FindConcerned | None = None) -> AsyncIterator[None]:
    handler = Handler(handle, [PaymentReceived], concerned)
    consumer = Consumer(PostgresLog(database), database, SystemClock(), "ledger", Topic.PAYMENTS, handler)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(consumer.run(lambda: None))
        yield
        running.cancel()


async def keep(tx: Tx, events: Sequence[Event]) -> None:
    await tx.executemany("insert into seen values ($1, $2)", [(event.uid, event.transaction_id) for event in events])


async def write(database: Database, *events: PlayerEvent) -> None:
    async with database.transaction() as tx:
        await append(tx, *events)


def rows_of(database: Database, table: str) -> Callable[[], Awaitable[list[tuple[object, ...]]]]:
    async def rows() -> list[tuple[object, ...]]:
        async with database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(f"select * from {table}")]

    return rows


async def seen_numbers(database: Database) -> list[str]:
    return [str(row[1]) for row in await rows_of(database, "seen")()]


async def test_an_event_that_was_appended_twice_is_handled_once(database: Database) -> None:
    await write(database, payment("1", 1), payment("1", 1))
    await write(database, payment("1", 1), payment("1", 2))
    async with consuming(database, keep):
        await wait_until(lambda: _is(seen_numbers(database), ["1", "2"]))


async def test_a_poisoned_event_is_parked_and_its_neighbours_go_on(database: Database) -> None:
    async def handler(tx: Tx, events: Sequence[Event]) -> None:
        await keep(tx, events)
        if any(event.transaction_id == "2" for event in events):
            raise ValueError("never")

    await write(database, *(payment("1", number) for number in (1, 2, 3)))
    async with consuming(database, handler):
        await wait_until(lambda: _is(seen_numbers(database), ["1", "3"]))
    async with database.connection() as connection:
        letters = await connection.fetch("select id, key, error from dead_letters")
    assert [(derive_id("1", 2), "KEY:1", "ValueError: never")] == [tuple(letter) for letter in letters]


async def test_a_large_batch_is_four_transactions_at_a_time_each_keeping_the_order_of_its_keys(
    database: Database,
) -> None:
    all_under_way = asyncio.Barrier(4)

    # Kept here, because a table has no order.
    seen: list[tuple[str, str]] = []

    async def handler(tx: Tx, events: Sequence[PaymentReceived]) -> None:
        await all_under_way.wait()
        seen.extend((event.uid, event.transaction_id) for event in events)
        await keep(tx, events)

    await write(database, *(payment(str(uid), number) for number in range(10) for uid in range(60)))
    async with consuming(database, handler):
        await wait_until(lambda: _length_is(rows_of(database, "seen"), 600))
    for uid in range(60):
        assert [str(number) for number in range(10)] == [number for seen_uid, number in seen if seen_uid == str(uid)]


async def test_a_handler_that_fails_now_and_then_is_tried_again(database: Database) -> None:
    failures = iter([True, True, False])

    async def handler(tx: Tx, events: Sequence[Event]) -> None:
        await keep(tx, events)
        if next(failures):
            raise ValueError("this time")

    await write(database, payment("1", 1))
    async with consuming(database, handler):
        await wait_until(lambda: _is(seen_numbers(database), ["1"]))
    assert [] == await rows_of(database, "dead_letters")()


async def test_what_the_domain_calls_poisoned_is_parked_without_another_try(database: Database) -> None:
    tries = 0

    async def handler(_tx: Tx, events: Sequence[Event]) -> None:
        nonlocal tries
        tries += len(events)
        raise Poisoned("no such product")

    await write(database, payment("1", 1))
    async with consuming(database, handler):
        await wait_until(lambda: _length_is(rows_of(database, "dead_letters"), 1))
    # Once with its batch, once alone.
    assert 2 == tries


async def test_types_that_this_version_does_not_know_are_counted_and_passed_over(database: Database) -> None:
    class FutureEvent(PlayerEvent):
        topic = Topic.PAYMENTS

    future = FutureEvent(id=derive_id("f"), occurred_at=payment("1", 1).occurred_at, application_key="KEY", uid="1")
    before = EVENTS_PASSED_OVER.labels("FutureEvent")._value.get()
    await write(database, future, payment("1", 1))
    async with consuming(database, keep):
        await wait_until(lambda: _is(seen_numbers(database), ["1"]))
    assert [] == await rows_of(database, "dead_letters")()
    assert 1 == EVENTS_PASSED_OVER.labels("FutureEvent")._value.get() - before


async def test_types_that_the_handler_has_no_use_for_are_passed_over_unread(database: Database) -> None:
    at = payment("1", 1).occurred_at
    trial = TrialStarted(
        id=derive_id("t"), occurred_at=at, application_key="KEY", uid="1", product="apples", ends_at=at
    )
    await write(database, trial, payment("1", 1))
    async with consuming(database, keep):
        await wait_until(lambda: _is(seen_numbers(database), ["1"]))
        await wait_until(lambda: _nothing_is_unread(database))
    assert [derive_id("1", 1)] == [row[0] for row in await rows_of(database, "inbox")()]
    assert [] == await rows_of(database, "dead_letters")()


async def test_an_event_that_cannot_be_decoded_is_parked(database: Database) -> None:
    await write(database, payment("1", 1), payment("1", 2))
    async with database.connection() as connection:
        await connection.execute("update event_log.events set data = '{}' where id = $1", derive_id("1", 1))
    async with consuming(database, keep):
        await wait_until(lambda: _is(seen_numbers(database), ["2"]))
    assert 1 == len(await rows_of(database, "dead_letters")())


async def test_a_parked_event_that_comes_again_is_not_parked_again(database: Database) -> None:
    parked = EVENTS_PARKED.labels("ledger", Topic.PAYMENTS)
    before = parked._value.get()
    await write(database, payment("1", 1), payment("1", 2))
    async with database.connection() as connection:
        await connection.execute("update event_log.events set data = '{}' where id = $1", derive_id("1", 1))
    async with consuming(database, keep):
        await wait_until(lambda: _nothing_is_unread(database))
    await write(database, payment("1", 3))
    async with database.connection() as connection:
        await connection.execute("update event_log.cursors set position = 0")
    async with consuming(database, keep):
        await wait_until(lambda: _nothing_is_unread(database))
    assert ["2", "3"] == await seen_numbers(database)
    assert 1 == len(await rows_of(database, "dead_letters")())
    assert 1 == parked._value.get() - before


async def test_events_of_applications_that_are_not_concerned_are_passed_over_and_handled_once_when_they_come_again(
    database: Database,
) -> None:
    concerned = {"OTHER"}

    async def find_concerned(_tx: Tx, applications: Collection[str]) -> Collection[str]:
        return concerned & set(applications)

    other = payment("9", 1).model_copy(update={"application_key": "OTHER", "transaction_id": "other"})
    await write(database, payment("1", 1), other, payment("1", 2))
    async with consuming(database, keep, find_concerned):
        await wait_until(lambda: _nothing_is_unread(database))
    assert ["other"] == await seen_numbers(database)
    assert [(other.id,)] == [row[:1] for row in await rows_of(database, "inbox")()]

    concerned.add("KEY")
    async with database.connection() as connection:
        await connection.execute("update event_log.cursors set position = 0")
    async with consuming(database, keep, find_concerned):
        await wait_until(lambda: _nothing_is_unread(database))
    assert ["1", "2", "other"] == sorted(await seen_numbers(database))


async def test_two_members_that_read_the_same_batch_have_one_effect(database: Database) -> None:
    await write(database, *(payment(str(uid), 1) for uid in range(50)))
    async with consuming(database, keep), consuming(database, keep):
        await wait_until(lambda: _length_is(rows_of(database, "inbox"), 50))
    assert 50 == len(await seen_numbers(database))


async def _is(found: Awaitable[list[str]], expected: list[str]) -> bool:
    return sorted(await found) == expected


async def _nothing_is_unread(database: Database) -> bool:
    return await lags(database) == {("ledger", Topic.PAYMENTS): 0}


async def _length_is(rows: Callable[[], Awaitable[list[tuple[object, ...]]]], length: int) -> bool:
    return len(await rows()) == length
