"""What every log must do; each scenario is one promise of `okgames.log.EventLog`."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from asyncpg.transaction import Transaction

from okgames.database import Database, Tx
from okgames.events import Event, PaymentReceived, derive_id
from okgames.log import Batch, EventLog, GroupIsRead, Record
from okgames.testing import wait_until

TIME = datetime(2026, 3, 2, 7, 15, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Subject:
    """The log that is tried, with the way to append to it."""

    log: EventLog
    append: Callable[..., Awaitable[None]]
    database: Database
    patience: float = 20.0
    """Seconds after which a missing event counts as lost."""


def payment(uid: str, number: int) -> PaymentReceived:
    return PaymentReceived(
        id=derive_id(uid, number),
        occurred_at=TIME,
        application_key="KEY",
        uid=uid,
        product="gold_100",
        transaction_id=str(number),
        amount_oks=50,
    )


async def write(subject: Subject, *events: Event) -> None:
    async with subject.database.transaction() as tx:
        await subject.append(tx, *events)


async def take(subject: Subject, batches: AsyncIterator[Batch], count: int) -> list[Record]:
    """Read and finish batches until `count` records have come."""
    records: list[Record] = []
    try:
        async with asyncio.timeout(subject.patience):
            while len(records) < count:
                batch = await anext(batches)
                records += batch.records
                await batch.done()
    except TimeoutError as error:
        raise AssertionError(f"{len(records)} of {count} events came") from error
    return records


def numbers(records: Sequence[Record], uid: str = "1") -> list[int]:
    """Return the numbers of one player's payments in the order in which they came."""
    return [
        int(PaymentReceived.model_validate_json(record.data).transaction_id)
        for record in records
        if record.key == f"KEY:{uid}"
    ]


async def committed_events_come_and_rolled_back_ones_do_not(subject: Subject) -> None:
    class Change(Exception): ...

    await write(subject, payment("1", 1))
    try:
        async with subject.database.transaction() as tx:
            await subject.append(tx, payment("1", 2))
            raise Change
    except Change:
        await write(subject, payment("1", 3))
    async with subject.log.read("group", PaymentReceived.topic) as batches:
        assert [1, 3] == numbers(await take(subject, batches, 2))


async def an_event_that_commits_late_is_not_lost(subject: Subject) -> None:
    async with subject.log.read("group", PaymentReceived.topic) as batches, _early_and_late(subject) as tx:
        reading = asyncio.create_task(take(subject, batches, 2))
        async with asyncio.TaskGroup() as group:
            second = group.create_task(write(subject, payment("1", 2)))
            await _finished_or_waiting_for_a_lock(subject, second)
            # Give a reader that would overtake the first event the time to do so.
            await asyncio.wait([reading], timeout=0.3)
            await tx.commit()
        assert [1, 2] == sorted(numbers(await reading))


async def events_of_a_key_come_in_the_order_of_their_commits(subject: Subject) -> None:
    async with subject.database.connection() as early:
        transaction = early.transaction()
        await transaction.start()
        await early.execute("select pg_current_xact_id()")
        await write(subject, payment("1", 1))
        await subject.append(early, payment("1", 2))
        await transaction.commit()
    async with subject.log.read("group", PaymentReceived.topic) as batches:
        assert [1, 2] == numbers(await take(subject, batches, 2))


async def many_writers_lose_nothing_and_keep_the_order_of_each_key(
    subject: Subject, *, writers: int = 8, rounds: int = 60, players: int = 5
) -> None:
    async with subject.database.connection() as connection:
        await connection.execute("create table if not exists public.turns (uid text primary key, number int)")
        await connection.execute("truncate public.turns")
        await connection.executemany(
            "insert into public.turns values ($1, 0)", [(str(player),) for player in range(players)]
        )

    async def writer(which: int) -> None:
        for turn in range(rounds):
            uid = str((which + turn) % players)
            async with subject.database.transaction() as tx:
                # The row lock orders the writers of one player, whatever order their transactions began in.
                await tx.execute("select pg_current_xact_id()")
                number = await tx.fetchval(
                    "update public.turns set number = number + 1 where uid = $1 returning number", uid
                )
                await subject.append(tx, payment(uid, number))
                # A commit takes time: others commit meanwhile.
                await tx.execute("select pg_sleep($1)", 0.002 * (which % 3))

    async with subject.log.read("group", PaymentReceived.topic) as batches:
        reading = asyncio.create_task(take(subject, batches, writers * rounds))
        async with asyncio.TaskGroup() as group:
            for which in range(writers):
                group.create_task(writer(which))
        records = await reading
    for player in range(players):
        came = numbers(records, str(player))
        assert list(range(1, len(came) + 1)) == came
    assert writers * rounds == len(records)


async def a_batch_that_is_not_done_comes_again_before_later_events(subject: Subject) -> None:
    await write(subject, payment("1", 1), payment("1", 2))
    async with subject.log.read("group", PaymentReceived.topic) as batches:
        assert [1, 2] == numbers((await first_with_records(batches)).records)
    await write(subject, payment("1", 3))
    async with subject.log.read("group", PaymentReceived.topic) as batches:
        assert [1, 2, 3] == numbers(await take(subject, batches, 3))


async def more_than_a_batch_holds_comes_in_order_and_again_if_it_was_not_done(subject: Subject) -> None:
    await write(subject, *(payment(uid, number) for number in range(5) for uid in ("1", "2")))
    async with subject.log.read("group", PaymentReceived.topic, max_records=2) as batches:
        done = await take(subject, batches, 2)
        await first_with_records(batches)
    async with subject.log.read("group", PaymentReceived.topic, max_records=2) as batches:
        records = done + await take(subject, batches, 10 - len(done))
    for uid in ("1", "2"):
        assert list(range(5)) == numbers(records, uid)


async def a_batch_that_is_done_does_not_come_again(subject: Subject) -> None:
    await write(subject, payment("1", 1))
    async with subject.log.read("group", PaymentReceived.topic) as batches:
        await take(subject, batches, 1)
    await write(subject, payment("1", 2))
    async with subject.log.read("group", PaymentReceived.topic) as batches:
        assert [2] == numbers(await take(subject, batches, 1))


async def a_new_group_starts_at_the_oldest_event_kept(subject: Subject) -> None:
    await write(subject, payment("1", 1))
    async with subject.log.read("first group", PaymentReceived.topic) as batches:
        await take(subject, batches, 1)
    async with subject.log.read("second group", PaymentReceived.topic) as batches:
        assert [1] == numbers(await take(subject, batches, 1))


async def two_members_share_a_group_and_a_third_takes_over_from_a_dead_one(subject: Subject) -> None:
    players = [str(player) for player in range(40)]
    await write(subject, *(payment(uid, 1) for uid in players))
    async with subject.log.read("group", PaymentReceived.topic) as first:
        seen = await take(subject, first, len(players))
        async with subject.log.read("group", PaymentReceived.topic) as second:
            await write(subject, *(payment(uid, 2) for uid in players))
            reading = [asyncio.create_task(_collect(member, seen)) for member in (first, second)]
            await wait_until(lambda: len(seen) >= 2 * len(players))
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)
    await write(subject, *(payment(uid, 3) for uid in players))
    async with subject.log.read("group", PaymentReceived.topic) as third:
        seen += await take(subject, third, len(players))
    for uid in players:
        assert [1, 2, 3] == list(dict.fromkeys(numbers(seen, uid)))


async def a_cancelled_reader_returns_soon_and_loses_nothing(subject: Subject) -> None:
    async def read_for_ever() -> None:
        async with subject.log.read("group", PaymentReceived.topic) as batches:
            async for batch in batches:
                started.set()
                await batch.done()

    started = asyncio.Event()
    await write(subject, payment("1", 1))
    reading = asyncio.create_task(read_for_ever())
    await asyncio.wait_for(started.wait(), 20)
    reading.cancel()
    _, still_there = await asyncio.wait([reading], timeout=10)
    assert not still_there
    await write(subject, payment("1", 2))
    async with subject.log.read("group", PaymentReceived.topic) as batches:
        last = numbers(await take(subject, batches, 1))
        assert last[-1:] == [2] or [2] == numbers(await take(subject, batches, 1))


async def a_group_learns_that_it_is_complete_while_others_write_without_a_pause(subject: Subject) -> None:
    async def write_on() -> None:
        for number in itertools.count(2):
            await write(subject, payment("1", number))

    loop = asyncio.get_running_loop()
    await write(subject, payment("1", 1))
    written_at = loop.time()
    came: list[Record] = []
    async with subject.log.read("group", PaymentReceived.topic) as batches, asyncio.timeout(subject.patience):
        writing = asyncio.create_task(write_on())
        try:
            async for batch in batches:
                came += batch.records
                await batch.done()
                if batch.complete_until is not None and batch.complete_until > written_at:
                    break
        finally:
            writing.cancel()
            await asyncio.wait([writing])
    assert 1 in numbers(came)


async def a_group_is_not_complete_while_another_member_is_behind(subject: Subject) -> None:
    players = [str(player) for player in range(40)]

    async def read_on() -> None:
        async for batch in quick:
            await batch.done()
            if batch.complete_until is not None:
                complete_until.append(batch.complete_until)

    complete_until: list[float] = []
    loop = asyncio.get_running_loop()
    async with subject.log.read("group", PaymentReceived.topic) as slow, asyncio.timeout(2 * subject.patience):
        await write(subject, *(payment(uid, 1) for uid in players))
        held = await first_with_records(slow)
        written_at = loop.time()
        async with subject.log.read("group", PaymentReceived.topic) as quick:
            reading = asyncio.create_task(read_on())
            # Time enough for a member that looks at nobody else to call the group complete.
            await asyncio.wait([reading], timeout=2)
            too_soon = [time for time in complete_until if time > written_at]
            await held.done()
            finishing = asyncio.create_task(_collect(slow, []))
            await wait_until(lambda: any(time > written_at for time in complete_until), subject.patience)
            for task in (reading, finishing):
                task.cancel()
            await asyncio.wait([reading, finishing])
    assert [] == too_soon


async def a_rewound_group_reads_again_what_came_since_and_leaves_nothing_out(subject: Subject) -> None:
    players = [str(player) for player in range(20)]
    began = await _database_time(subject)
    await write(subject, *(payment(uid, 1) for uid in players))
    async with subject.log.read("group", PaymentReceived.topic) as batches:
        await take(subject, batches, len(players))
    await write(subject, *(payment(uid, 2) for uid in players))
    await subject.log.rewind("group", PaymentReceived.topic, began)
    async with subject.log.read("group", PaymentReceived.topic) as batches:
        records = await take(subject, batches, 2 * len(players))
        for uid in players:
            assert [1, 2] == numbers(records, uid)
    await write(subject, payment("1", 3))
    await subject.log.rewind("group", PaymentReceived.topic, await _database_time(subject) + timedelta(hours=1))
    async with subject.log.read("group", PaymentReceived.topic) as batches:
        assert [3] == numbers(await take(subject, batches, 1))


async def a_group_is_not_rewound_while_it_is_read(subject: Subject) -> None:
    began = await _database_time(subject)
    await write(subject, payment("1", 1))
    async with subject.log.read("group", PaymentReceived.topic) as batches:
        await take(subject, batches, 1)
        refused = False
        try:
            await subject.log.rewind("group", PaymentReceived.topic, began)
        except GroupIsRead:
            refused = True
        await subject.log.rewind("another group", PaymentReceived.topic, began)
        await write(subject, payment("1", 2))
        assert [2] == numbers(await take(subject, batches, 1))
    assert refused


PROMISES = (
    committed_events_come_and_rolled_back_ones_do_not,
    an_event_that_commits_late_is_not_lost,
    events_of_a_key_come_in_the_order_of_their_commits,
    many_writers_lose_nothing_and_keep_the_order_of_each_key,
    a_batch_that_is_not_done_comes_again_before_later_events,
    more_than_a_batch_holds_comes_in_order_and_again_if_it_was_not_done,
    a_batch_that_is_done_does_not_come_again,
    a_new_group_starts_at_the_oldest_event_kept,
    two_members_share_a_group_and_a_third_takes_over_from_a_dead_one,
    a_cancelled_reader_returns_soon_and_loses_nothing,
    a_group_learns_that_it_is_complete_while_others_write_without_a_pause,
    a_group_is_not_complete_while_another_member_is_behind,
    a_rewound_group_reads_again_what_came_since_and_leaves_nothing_out,
    a_group_is_not_rewound_while_it_is_read,
)


async def _database_time(subject: Subject) -> datetime:
    async with subject.database.connection() as connection:
        time: datetime = await connection.fetchval("select clock_timestamp()")
    return time


@dataclass
class _Early:
    tx: Tx
    transaction: Transaction

    async def commit(self) -> None:
        await self.transaction.commit()


@asynccontextmanager
async def _early_and_late(subject: Subject) -> AsyncIterator[_Early]:
    """Open a transaction that has appended payment 1 and not committed."""
    async with subject.database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await subject.append(connection, payment("1", 1))
        yield _Early(connection, transaction)


async def _finished_or_waiting_for_a_lock(subject: Subject, task: asyncio.Task[None]) -> None:
    async def settled() -> bool:
        async with subject.database.connection() as connection:
            waiting = await connection.fetchval(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            )
        return task.done() or bool(waiting)

    await wait_until(settled)


async def first_with_records(batches: AsyncIterator[Batch]) -> Batch:
    async for batch in batches:
        if batch.records:
            return batch
        await batch.done()
    raise AssertionError("the log ended")


async def _collect(batches: AsyncIterator[Batch], into: list[Record]) -> None:
    async for batch in batches:
        into += batch.records
        await batch.done()
