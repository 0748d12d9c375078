"""Logs that look right and are not; the conformance suite must tell them from the real one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from okgames.database import Database, Tx
from okgames.events import Event
from okgames.log import Batch, Record
from okgames.outbox import partition_of

_INSERT = """
    insert into event_log.events (topic, partition, id, type, key, occurred_at, data)
    select $1, e.* from unnest($2::int[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[], $7::text[]) as e
"""


async def append_without_lock(tx: Tx, *events: Event) -> None:
    await tx.execute(
        _INSERT,
        events[0].topic,
        [partition_of(event.key) for event in events],
        [event.id for event in events],
        [event.type for event in events],
        [event.key for event in events],
        [event.occurred_at for event in events],
        [event.model_dump_json() for event in events],
    )


class IdCursorLog:
    """Reads `position > cursor` of a table whose writers take no lock: it loses events that commit late."""

    append = staticmethod(append_without_lock)

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def read(self, group: str, topic: str, *, max_records: int = 1000) -> AsyncIterator[AsyncIterator[Batch]]:
        yield self._batches(topic, max_records)

    async def _batches(self, topic: str, max_records: int) -> AsyncIterator[Batch]:
        cursor = 0
        while True:
            async with self._database.connection() as connection:
                rows = await connection.fetch(
                    """
                    select * from event_log.events where topic = $1 and position > $2 order by position limit $3
                    """,
                    topic,
                    cursor,
                    max_records,
                )
            if rows:
                cursor = rows[-1]["position"]
                yield Batch([Record(row["id"], row["type"], row["key"], row["data"]) for row in rows], _nothing)
            await asyncio.sleep(0)


class TransactionIdLog:
    """Reads in the order of transaction ids: it loses nothing but breaks the order of keys."""

    append = staticmethod(append_without_lock)

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def read(self, group: str, topic: str, *, max_records: int = 1000) -> AsyncIterator[AsyncIterator[Batch]]:
        yield self._batches(topic, max_records)

    async def _batches(self, topic: str, max_records: int) -> AsyncIterator[Batch]:
        cursor = (0, 0)
        while True:
            async with self._database.connection() as connection:
                rows = await connection.fetch(
                    """
                    select *, xmin::text::bigint as tx_id from event_log.events
                    where topic = $1
                        and (xmin::text::bigint, position) > ($2::bigint, $3::bigint)
                        and xmin::text::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                    order by tx_id, position
                    limit $4
                    """,
                    topic,
                    *cursor,
                    max_records,
                )
            if rows:
                cursor = (rows[-1]["tx_id"], rows[-1]["position"])
                yield Batch([Record(row["id"], row["type"], row["key"], row["data"]) for row in rows], _nothing)
            await asyncio.sleep(0)


async def _nothing() -> None: ...
