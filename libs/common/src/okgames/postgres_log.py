import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import asyncpg

from okgames.database import Database, is_unavailable
from okgames.log import Batch, GroupIsRead, LogUnavailable, Record
from okgames.outbox import PARTITIONS, lags, positions, prune, rewind

_SHORTEST_REST: Final = 0.05
_LONGEST_REST: Final = 0.1
"""
Seconds between two batches that are not full: many small transactions cost more than few large ones. A reader rests
as long as its last batch took, so that batches grow where there is much to do.
"""
_POLL: Final = 0.5
"""Seconds after which a reader looks again, should a notification have been lost."""


class PostgresLog:
    """
    Read the outbox table itself, in the order of its positions, which is that of the commits.

    A reader rests for at least `shortest_rest` seconds between batches that are not full.
    """

    def __init__(self, database: Database, *, shortest_rest: float = _SHORTEST_REST) -> None:
        self._database = database
        self._shortest_rest = shortest_rest
        self._doorbell = _Doorbell(database)

    @asynccontextmanager
    async def read(self, group: str, topic: str, *, max_records: int = 1000) -> AsyncIterator[AsyncIterator[Batch]]:
        try:
            # A cursor that a crash of Postgres takes back costs nothing: the inbox knows what comes again.
            connection = await self._database.connect(synchronous_commit="off")
        except Exception as error:
            if is_unavailable(error):
                raise LogUnavailable(str(error)) from error
            raise
        try:
            with self._doorbell.heard(topic) as news:
                reader = _Reader(connection, self._doorbell, news, group, topic, max_records, self._shortest_rest)
                yield reader.batches()
        finally:
            # Cutting the connection gives up the partitions at once, also when a statement is under way.
            connection.terminate()

    async def lags(self, database: Database) -> dict[tuple[str, str], int]:
        return await lags(database)

    async def rewind(self, group: str, topic: str, since: datetime) -> None:
        try:
            connection = await self._database.connect()
            try:
                async with connection.transaction():
                    if not await rewind(connection, group, topic, since):
                        raise GroupIsRead
            finally:
                connection.terminate()
        except Exception as error:
            if is_unavailable(error):
                raise LogUnavailable(str(error)) from error
            raise

    async def prune(self, database: Database, keep: timedelta) -> bool:
        return await prune(database, keep)


class _Doorbell:
    """Tell a process's readers when events of their topics were committed; one connection listens for them all."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listening: asyncpg.Connection[asyncpg.Record] | None = None
        self._connecting = asyncio.Lock()
        self._readers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def heard(self, topic: str) -> Iterator[asyncio.Event]:
        """Give an event that is set with the topic's news; whoever waits for it sees to it that we `listen`."""
        news = asyncio.Event()
        self._readers[topic].add(news)
        try:
            yield news
        finally:
            self._readers[topic].remove(news)
            self._end_if_nobody_hears()

    async def listen(self) -> None:
        """Begin to listen, or begin again where the connection was lost."""
        async with self._connecting:
            if self._listening is None or self._listening.is_closed():
                self._listening = await self._database.connect()
                # The last reader may have gone away meanwhile.
                self._end_if_nobody_hears()
                await self._listening.add_listener("event_log", self._ring)

    def _end_if_nobody_hears(self) -> None:
        if self._listening is not None and not any(self._readers.values()):
            self._listening.terminate()

    def _ring(self, _connection: object, _pid: int, _channel: str, topic: object) -> None:
        for news in self._readers[str(topic)]:
            news.set()


@dataclass(frozen=True)
class _Heads:
    """Remember where a topic's partitions ended at a time of the event loop's clock."""

    time: float
    positions: dict[int, int]


@dataclass(frozen=True)
class _Fetched:
    """Hold what was found behind the cursors at a time of the event loop's clock."""

    asked_at: float
    rows: "list[asyncpg.Record]"

    @property
    def ends(self) -> dict[int, int]:
        return {row["partition"]: row["position"] for row in self.rows}


@dataclass
class _Reader:
    connection: "asyncpg.Connection[asyncpg.Record]"
    doorbell: _Doorbell
    news: asyncio.Event
    group: str
    topic: str
    max_records: int
    shortest_rest: float
    cursors: dict[int, int] = field(default_factory=dict)
    heads: _Heads | None = None
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the connection is in use: cursors are moved while the next batch is fetched."""

    async def batches(self) -> AsyncIterator[Batch]:
        loop = asyncio.get_running_loop()
        fetched: asyncio.Task[_Fetched] | None = None
        try:
            while True:
                found = await (fetched or self._fetch({}))
                rows, ends = found.rows, found.ends
                records = [Record(*row[2:]) for row in rows]
                is_full = len(rows) == self.max_records
                complete_until = None if is_full else await self._complete_until(found.asked_at)
                # Where there is more, it is brought while this batch is handled.
                fetched = self._start_fetching(ends) if is_full else None
                began = loop.time()
                yield Batch(records, partial(self._move_to, ends), complete_until)
                self._must_have_reached(ends)
                if not rows:
                    await self._wait_for_news()
                elif not is_full:
                    await asyncio.sleep(min(max(self.shortest_rest, loop.time() - began), _LONGEST_REST))
        except Exception as error:
            if is_unavailable(error):
                raise LogUnavailable(str(error)) from error
            raise

    async def _complete_until(self, asked_at: float) -> float | None:
        """Return until when the group is complete, given that this member's partitions are at `asked_at`."""
        if len(self.cursors) == PARTITIONS:
            return asked_at
        table = await positions(self.connection, self.group, self.topic)
        complete_until = None
        if self.heads is not None and all(table[each][0] >= head for each, head in self.heads.positions.items()):
            complete_until, self.heads = self.heads.time, None
        if self.heads is None:
            self.heads = _Heads(asked_at, {each: head for each, (_, head) in table.items()})
        return complete_until

    async def _take_partitions(self) -> None:
        """Take the partitions that no other member holds; the lock ends with the connection."""
        free = [partition for partition in range(PARTITIONS) if partition not in self.cursors]
        if not free:
            return
        taken = await self.connection.fetch(
            """
            select partition
            from unnest($3::int[]) as partition
            where pg_try_advisory_lock(hashtext($1 || ' reads ' || $2), partition)
            """,
            self.group,
            self.topic,
            free,
        )
        # Only now, because the last holder may have moved its cursors until it let go. A row for each partition, also
        # before anything was read of it, keeps pruning from what this group has still to read.
        rows = await self.connection.fetch(
            """
            insert into event_log.cursors (reader_group, topic, partition, position)
            select $1, $2, partition, 0 from unnest($3::int[]) as partition
            on conflict (topic, partition, reader_group) do update set position = cursors.position
            returning partition, position
            """,
            self.group,
            self.topic,
            [row["partition"] for row in taken],
        )
        self.cursors |= {row["partition"]: row["position"] for row in rows}

    def _start_fetching(self, under_way: dict[int, int]) -> "asyncio.Task[_Fetched]":
        fetching = asyncio.create_task(self._fetch(under_way))
        # A reader that is closed meanwhile does not ask what came of it; the connection's end is the task's.
        fetching.add_done_callback(lambda done: done.cancelled() or done.exception())
        return fetching

    async def _fetch(self, under_way: dict[int, int]) -> _Fetched:
        """Look behind the cursors, or behind where a batch under way will move them."""
        async with self.one_at_a_time:
            await self.doorbell.listen()
            self.news.clear()
            await self._take_partitions()
            asked_at = asyncio.get_running_loop().time()
            return _Fetched(asked_at, await self._rows_behind(self.cursors | under_way))

    async def _rows_behind(self, cursors: dict[int, int]) -> "list[asyncpg.Record]":
        return await self.connection.fetch(
            """
            select news.partition, news.position, news.id, news.type, news.key, news.data
            from unnest($2::int[], $3::bigint[]) as held (partition, cursor)
            cross join lateral (
                select * from event_log.events
                where topic = $1 and partition = held.partition and position > held.cursor
                order by position
                limit $4
            ) as news
            order by news.position
            limit $4
            """,
            self.topic,
            list(cursors.keys()),
            list(cursors.values()),
            self.max_records,
        )

    async def _move_to(self, ends: dict[int, int]) -> None:
        if not ends:
            return
        try:
            async with self.one_at_a_time:
                await self.connection.execute(
                    """
                insert into event_log.cursors (reader_group, topic, partition, position)
                select $1, $2, * from unnest($3::int[], $4::bigint[])
                on conflict (topic, partition, reader_group) do update set position = excluded.position
                """,
                    self.group,
                    self.topic,
                    list(ends.keys()),
                    list(ends.values()),
                )
        except Exception as error:
            if is_unavailable(error):
                raise LogUnavailable(str(error)) from error
            raise
        self.cursors |= ends

    def _must_have_reached(self, ends: dict[int, int]) -> None:
        if any(self.cursors[partition] < position for partition, position in ends.items()):
            raise RuntimeError("a batch must be done before the next is asked for")

    async def _wait_for_news(self) -> None:
        try:
            async with asyncio.timeout(_POLL):
                await self.news.wait()
        except TimeoutError:
            return
