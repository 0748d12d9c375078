from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import asyncpg
import event_log_contract as contract
import pytest
from event_log_contract import Subject, payment, take, write
from event_logs import IdCursorLog, TransactionIdLog
from kafka_world import forwarding, fresh_address, make_topics

from okgames.database import Database
from okgames.events import PaymentReceived, Topic
from okgames.kafka_log import KafkaLog
from okgames.outbox import append, prune
from okgames.postgres_log import PostgresLog

Promise = Callable[[Subject], Awaitable[None]]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "public", max_connections=20)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def subject(database: Database) -> Subject:
    return Subject(PostgresLog(database), append, database)


@pytest.fixture
async def kafka_subject(database: Database, kafka_servers: list[str]) -> AsyncIterator[Subject]:
    address = fresh_address(kafka_servers)
    await make_topics(address, Topic.PAYMENTS)
    async with forwarding(database, address, Topic.PAYMENTS):
        yield Subject(KafkaLog(address, database), append, database)


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
async def test_postgres_log_keeps_its_promise(subject: Subject, promise: Promise) -> None:
    await promise(subject)


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
async def test_kafka_log_keeps_its_promise(kafka_subject: Subject, promise: Promise) -> None:
    await promise(kafka_subject)


@pytest.mark.parametrize(
    "promise",
    [
        contract.an_event_that_commits_late_is_not_lost,
        contract.many_writers_lose_nothing_and_keep_the_order_of_each_key,
    ],
    ids=lambda promise: promise.__name__,
)
async def test_contract_catches_a_log_that_reads_behind_an_id(database: Database, promise: Promise) -> None:
    with pytest.raises(AssertionError):
        await promise(Subject(IdCursorLog(database), IdCursorLog.append, database, patience=2))


@pytest.mark.parametrize(
    "promise",
    [
        contract.events_of_a_key_come_in_the_order_of_their_commits,
        contract.many_writers_lose_nothing_and_keep_the_order_of_each_key,
    ],
    ids=lambda promise: promise.__name__,
)
async def test_contract_catches_a_log_that_reads_by_transaction_id(database: Database, promise: Promise) -> None:
    with pytest.raises(AssertionError):
        await promise(Subject(TransactionIdLog(database), TransactionIdLog.append, database, patience=2))


async def test_append_may_be_called_once_in_a_transaction(subject: Subject) -> None:
    async with subject.database.connection() as tx:
        transaction = tx.transaction()
        await transaction.start()
        await append(tx, payment("1", 1))
        with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="once in a transaction"):
            await append(tx, payment("1", 2))
        await transaction.rollback()


async def test_pruning_keeps_what_a_group_has_not_read(subject: Subject) -> None:
    await write(subject, *(payment("1", number) for number in range(3)))
    async with subject.log.read("quick", PaymentReceived.topic) as batches:
        await take(subject, batches, 3)
    async with subject.log.read("slow", PaymentReceived.topic, max_records=1) as batches:
        await take(subject, batches, 1)
    assert not await prune(subject.database, timedelta())
    assert 2 == await _kept(subject.database)


async def test_pruning_keeps_what_a_group_has_not_begun_to_read(subject: Subject) -> None:
    await write(subject, *(payment(str(uid), 1) for uid in range(20)))
    async with subject.log.read("quick", PaymentReceived.topic) as batches:
        await take(subject, batches, 20)
    async with subject.log.read("slow", PaymentReceived.topic, max_records=1) as batches:
        await anext(batches)
    assert not await prune(subject.database, timedelta())
    assert 20 == await _kept(subject.database)


async def test_pruning_keeps_what_is_young(subject: Subject) -> None:
    await write(subject, payment("1", 1))
    async with subject.log.read("group", PaymentReceived.topic) as batches:
        await take(subject, batches, 1)
    await prune(subject.database, timedelta(hours=1))
    assert 1 == await _kept(subject.database)


async def test_pruning_keeps_a_topic_that_no_group_has_read(subject: Subject) -> None:
    await write(subject, payment("1", 1))
    await prune(subject.database, timedelta())
    assert 1 == await _kept(subject.database)


async def _kept(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("select count(*) from event_log.events where topic = $1", Topic.PAYMENTS))
