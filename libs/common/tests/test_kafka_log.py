"""What Kafka alone can do to a reader or the forwarder; the promises of every log are in test_event_log."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Thread
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from event_log_contract import TIME, Subject, first_with_records, numbers, payment, take, write
from kafka_world import forwarding, fresh_address, make_topics

from okgames.database import Database
from okgames.events import Topic, derive_id
from okgames.forwarder import forward
from okgames.kafka import KafkaAddress
from okgames.kafka_log import KafkaLog
from okgames.log import Batch
from okgames.outbox import append, prune
from okgames.postgres_log import PostgresLog
from okgames.testing import wait_until

Seen = defaultdict[str, list[int]]
"""The numbers of each player's payments, in the order in which they came."""

PLAYERS = [str(uid) for uid in range(40)]
FINISH = 5.0
"""Seconds that a batch under way gets when another member joins."""
SESSION = 10.0


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "public", max_connections=20)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def address(kafka_servers: list[str]) -> KafkaAddress:
    address = fresh_address(kafka_servers)
    await make_topics(address, Topic.PAYMENTS)
    return address


@pytest.fixture
async def subject(database: Database, address: KafkaAddress) -> AsyncIterator[Subject]:
    async with forwarding(database, address, Topic.PAYMENTS):
        yield Subject(KafkaLog(address, database), append, database)


async def kafka_records(address: KafkaAddress, count: int) -> list[ConsumerRecord]:
    """Return what is in Kafka, as any other program sees it."""
    consumer = AIOKafkaConsumer(
        address.topic(Topic.PAYMENTS), bootstrap_servers=address.servers, auto_offset_reset="earliest"
    )
    async with consumer, asyncio.timeout(20):
        return [await consumer.getone() for _ in range(count)]


async def test_events_travel_as_cloud_events_in_binary_mode(subject: Subject, address: KafkaAddress) -> None:
    event = payment("1", 1)
    await write(subject, event)

    (record,) = await kafka_records(address, 1)

    assert b"KEY:1" == record.key
    assert event.model_dump_json().encode() == record.value
    assert {
        "ce_specversion": b"1.0",
        "ce_id": str(event.id).encode(),
        "ce_type": b"PaymentReceived",
        "ce_source": b"okgames.payments.v1",
        "ce_time": TIME.isoformat().replace("+00:00", "Z").encode(),
        "content-type": b"application/json",
    } == dict(record.headers)


async def test_kafka_dates_events_by_their_arrival(subject: Subject, address: KafkaAddress) -> None:
    before = time.time() * 1000
    await write(subject, payment("1", 1))

    (record,) = await kafka_records(address, 1)

    assert record.timestamp >= before


async def test_what_is_no_event_is_passed_over(subject: Subject, address: KafkaAddress) -> None:
    async with AIOKafkaProducer(bootstrap_servers=address.servers) as stranger:
        await stranger.send_and_wait(address.topic(Topic.PAYMENTS), b"hello")
    await write(subject, payment("1", 1))

    async with subject.log.read("group", Topic.PAYMENTS) as batches:
        assert [1] == numbers(await take(subject, batches, 1))


async def test_a_batch_under_way_is_finished_before_its_partitions_go_to_another_member(
    subject: Subject, address: KafkaAddress
) -> None:
    await write(subject, *(payment(uid, 1) for uid in PLAYERS))
    await kafka_records(address, len(PLAYERS))
    async with subject.log.read("group", Topic.PAYMENTS) as first:
        held = await whole_batch(first)
        async with asyncio.TaskGroup() as group, joining(subject, group) as came:
            # Time enough for the other one to ask for its share.
            await asyncio.sleep(FINISH / 2)
            await held.done()
            going_on = group.create_task(collect(first, defaultdict(list)))
            await write(subject, *(payment(uid, 2) for uid in PLAYERS))
            await wait_until(lambda: came, timeout=20)
            going_on.cancel()
    assert [2] * len(came) == [number for seen in came.values() for number in seen]


async def test_a_batch_that_takes_too_long_is_given_up_and_does_not_move_the_group_back(
    subject: Subject, address: KafkaAddress
) -> None:
    await write(subject, *(payment(uid, 1) for uid in PLAYERS))
    await kafka_records(address, len(PLAYERS))
    async with subject.log.read("group", Topic.PAYMENTS) as first:
        held = await whole_batch(first)
        await write(subject, *(payment(uid, 2) for uid in PLAYERS))
        async with asyncio.TaskGroup() as group, joining(subject, group) as came:
            await wait_until(lambda: [1, 2] in came.values(), timeout=20)
        # Until the first member has all partitions again.
        await asyncio.sleep(FINISH + 3)
        await held.done()
    await write(subject, *(payment(uid, 3) for uid in PLAYERS))
    await nothing_comes_again(subject, "group", [uid for uid, seen in came.items() if seen == [1, 2]])


async def test_a_member_that_wakes_up_after_its_session_does_not_move_the_group_back(
    subject: Subject, database_url: str, address: KafkaAddress
) -> None:
    async def read_and_sleep(group: str, awake: float) -> None:
        log = KafkaLog(address, Database(database_url, "public"))
        async with log.read(group, Topic.PAYMENTS) as batches:
            batch = await whole_batch(batches)
            # The whole loop, with its heartbeats, as a stopped process.
            time.sleep(SESSION + 3)  # noqa: ASYNC251 - see above
            await asyncio.sleep(awake)
            await batch.done()

    async def take_over(group: str) -> None:
        async with subject.log.read(group, Topic.PAYMENTS) as batches:
            await take(subject, batches, 2 * len(PLAYERS))

    awake = {"done at once": 0.0, "done when it has joined again": 3.0}
    await write(subject, *(payment(uid, 1) for uid in PLAYERS))
    await kafka_records(address, len(PLAYERS))
    sleepers = [Thread(target=asyncio.run, args=(read_and_sleep(group, awake[group]),)) for group in awake]
    for sleeper in sleepers:
        sleeper.start()
    await asyncio.sleep(SESSION / 2)
    await write(subject, *(payment(uid, 2) for uid in PLAYERS))
    # Asleep, a first member cannot give up its partitions; when its session is over, a second gets all of them.
    await asyncio.gather(*map(take_over, awake))
    for sleeper in sleepers:
        await asyncio.to_thread(sleeper.join)
    await write(subject, *(payment(uid, 3) for uid in PLAYERS))
    for group in awake:
        await nothing_comes_again(subject, group, PLAYERS)


async def nothing_comes_again(subject: Subject, group: str, uids: Sequence[str]) -> None:
    """The group goes on with the third event of these players, of whom it has read two."""
    came: Seen = defaultdict(list)
    async with subject.log.read(group, Topic.PAYMENTS) as batches, asyncio.timeout(20):
        while not all(3 in came[uid] for uid in uids):
            batch = await anext(batches)
            note(batch, came)
            await batch.done()
    assert {uid: [3] for uid in uids} == {uid: came[uid] for uid in uids}


async def test_a_member_with_a_name_finds_its_partitions_untouched_after_a_restart(
    subject: Subject, database: Database, address: KafkaAddress
) -> None:
    async def read(log: KafkaLog, came: Seen) -> None:
        async with log.read("group", Topic.PAYMENTS) as batches:
            await collect(batches, came)

    def have_shared() -> bool:
        return all(reader.consumer.assignment() for log in (first, second) for reader in log._readers)

    first, second = (KafkaLog(address, database, member=f"okgames-{number}") for number in range(2))
    stays: Seen = defaultdict(list)
    restarts: Seen = defaultdict(list)
    async with asyncio.TaskGroup() as group:
        staying = group.create_task(read(first, stays))
        restarting = group.create_task(read(second, restarts))
        await wait_until(lambda: first._readers and second._readers and have_shared(), timeout=20)
        await write(subject, *(payment(uid, 1) for uid in PLAYERS))
        await wait_until(lambda: len(stays) + len(restarts) == len(PLAYERS) and stays and restarts, timeout=20)
        restarting.cancel()
        await asyncio.wait([restarting])
        await write(subject, *(payment(uid, 2) for uid in PLAYERS))
        # Without a name, its partitions would be with the other one by now.
        await asyncio.sleep(SESSION / 4)
        assert not set(stays) & set(restarts)
        restarting = group.create_task(read(second, restarts))
        await wait_until(lambda: all(seen == [1, 2] for seen in [*stays.values(), *restarts.values()]), timeout=20)
        for task in (staying, restarting):
            task.cancel()
    assert len(PLAYERS) == len(stays) + len(restarts)


async def test_a_forwarder_that_dies_between_acknowledgement_and_mark_sends_the_same_events_again(
    database: Database, address: KafkaAddress
) -> None:
    class Killed(Exception): ...

    class DyingLog(PostgresLog):
        @asynccontextmanager
        async def read(self, group: str, topic: str, *, max_records: int = 1000) -> AsyncIterator[AsyncIterator[Batch]]:
            async with super().read(group, topic, max_records=max_records) as batches:
                yield (replace(batch, done=self.die) async for batch in batches)

        async def die(self) -> None:
            raise Killed

    subject = Subject(KafkaLog(address, database), append, database)
    await write(subject, payment("1", 1), payment("1", 2))
    with pytest.raises(Killed):
        await forward(DyingLog(database), address, Topic.PAYMENTS)
    await write(subject, payment("1", 3))
    async with forwarding(database, address, Topic.PAYMENTS):
        found = await kafka_records(address, 5)

    expected = [str(derive_id("1", number)).encode() for number in (1, 2, 1, 2, 3)]
    assert expected == [dict(record.headers)["ce_id"] for record in found]


async def test_of_two_forwarders_one_carries_a_partition_and_the_other_takes_over(
    database: Database, address: KafkaAddress
) -> None:
    subject = Subject(KafkaLog(address, database), append, database)
    async with forwarding(database, address, Topic.PAYMENTS):
        async with forwarding(database, address, Topic.PAYMENTS):
            await write(subject, *(payment(str(uid), 1) for uid in range(40)))
            await kafka_records(address, 40)
        await write(subject, *(payment(str(uid), 2) for uid in range(40)))
        # The first may have been stopped before it could mark what it had sent.
        async with subject.log.read("group", Topic.PAYMENTS) as batches, asyncio.timeout(20):
            came: set[UUID] = set()
            while len(came) < 80:
                batch = await anext(batches)
                came |= {record.id for record in batch.records}
                await batch.done()


async def test_a_group_is_not_complete_while_events_wait_for_the_forwarder(
    database: Database, address: KafkaAddress
) -> None:
    async def read_on() -> None:
        async with subject.log.read("group", Topic.PAYMENTS) as batches:
            async for batch in batches:
                await batch.done()
                if batch.complete_until is not None:
                    complete_until.append(batch.complete_until)

    subject = Subject(KafkaLog(address, database), append, database)
    complete_until: list[float] = []
    await write(subject, payment("1", 1))
    written_at = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read_on())
        await asyncio.sleep(2)
        too_soon = [time for time in complete_until if time > written_at]
        async with forwarding(database, address, Topic.PAYMENTS):
            await wait_until(lambda: any(time > written_at for time in complete_until), timeout=20)
        reading.cancel()
    assert [] == too_soon


async def test_a_group_is_complete_when_kafka_has_deleted_what_it_has_not_read(
    subject: Subject, address: KafkaAddress
) -> None:
    await write(subject, *(payment(str(uid), 1) for uid in range(40)))
    await kafka_records(address, 40)
    await delete_everything(address)

    loop = asyncio.get_running_loop()
    asked_at = loop.time()
    async with subject.log.read("group", Topic.PAYMENTS) as batches, asyncio.timeout(20):
        async for batch in batches:
            await batch.done()
            if batch.complete_until is not None and batch.complete_until > asked_at:
                break


async def test_pruning_behind_the_forwarder_waits_for_no_group_that_reads_from_kafka(
    subject: Subject, database: Database, address: KafkaAddress
) -> None:
    # A group of the time before Kafka, which stands still for good.
    async with PostgresLog(database).read("group", Topic.PAYMENTS) as batches:
        await anext(batches)
    await write(subject, payment("1", 1))
    await kafka_records(address, 1)

    async def is_pruned() -> bool:
        await prune(database, timedelta(), only_group="forwarder")
        async with database.connection() as connection:
            return await connection.fetchval("select count(*) from event_log.events") == 0

    await wait_until(is_pruned)


async def test_lag_counts_what_a_group_has_not_read(subject: Subject, database: Database) -> None:
    await write(subject, *(payment(str(uid), 1) for uid in range(40)))
    async with subject.log.read("group", Topic.PAYMENTS) as batches:
        await take(subject, batches, 40)
        assert {("group", Topic.PAYMENTS): 0} == await subject.log.lags(database)
        await write(subject, payment("1", 2), payment("1", 3))

        async def lag_is_two() -> bool:
            return {("group", Topic.PAYMENTS): 2} == await subject.log.lags(database)

        await wait_until(lag_is_two)


async def delete_everything(address: KafkaAddress) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(address.servers))
    consumer = AIOKafkaConsumer(address.topic(Topic.PAYMENTS), bootstrap_servers=address.servers)
    async with consumer:
        await admin.start()
        numbers = consumer.partitions_for_topic(address.topic(Topic.PAYMENTS))
        ends = await consumer.end_offsets([TopicPartition(address.topic(Topic.PAYMENTS), each) for each in numbers])
        await admin.delete_records({each: RecordsToDelete(before_offset=end) for each, end in ends.items()})
        await admin.close()


@asynccontextmanager
async def joining(subject: Subject, group: asyncio.TaskGroup) -> AsyncIterator[Seen]:
    """Let a second member join, and note the numbers that it reads of each player."""
    came: Seen = defaultdict(list)

    async def join() -> None:
        async with subject.log.read("group", Topic.PAYMENTS) as batches:
            await collect(batches, came)

    task = group.create_task(join())
    yield came
    task.cancel()


async def collect(batches: AsyncIterator[Batch], into: Seen) -> None:
    async for batch in batches:
        note(batch, into)
        await batch.done()


def note(batch: Batch, into: Seen) -> None:
    for record in batch.records:
        into[record.key.removeprefix("KEY:")] += numbers([record], record.key.removeprefix("KEY:"))


async def whole_batch(batches: AsyncIterator[Batch]) -> Batch:
    """Return one batch that has the first event of every player."""
    # Time enough for what each of the brokers has of them to arrive.
    await asyncio.sleep(1)
    batch = await first_with_records(batches)
    assert len(PLAYERS) == len(batch.records)
    return batch
