import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from okgames.database import Database, Tx
from okgames.events import Event

PARTITIONS: Final = 8
"""Partitions of a topic's table; what Kafka has is its own affair."""


def partition_of(key: str) -> int:
    """Return the partition of a key: the same in every process, which `hash()` is not."""
    return zlib.crc32(key.encode()) % PARTITIONS


async def append(tx: Tx, *events: Event) -> None:
    """
    Append events of one topic to the log, within the caller's transaction.

    Call it once per transaction and last: it takes a lock per partition, held until the commit, which makes the
    order of positions the order of commits. A second call in one transaction raises, because two transactions
    that each take locks twice can wait for each other.
    """
    if not events:
        return
    await tx.execute(
        "select event_log.append($1, $2::event_log.new_event[])", _one_topic(events), [_record(each) for each in events]
    )


def _record(event: Event) -> tuple[int, UUID, str, str, datetime, str]:
    key = event.key
    return partition_of(key), event.id, event.type, key, event.occurred_at, event.model_dump_json()


def _one_topic(events: Sequence[Event]) -> str:
    topics = {event.topic for event in events}
    if len(topics) > 1:
        raise ValueError(f"one append writes one topic, not {sorted(topics)}")
    return topics.pop()


async def positions(connection: Tx, group: str, topic: str) -> dict[int, tuple[int, int]]:
    """Return, for each partition of a topic's table, where a group is and where it ends."""
    rows = await connection.fetch(
        """
        select all_partitions.partition, coalesce(c.position, 0) as position, coalesce(head.position, 0) as head
        from generate_series(0, $3::int - 1) as all_partitions (partition)
        left join event_log.cursors as c
            on c.topic = $2 and c.partition = all_partitions.partition and c.reader_group = $1
        left join lateral (
            select max(position) as position
            from event_log.events
            where topic = $2 and partition = all_partitions.partition
        ) as head on true
        """,
        group,
        topic,
        PARTITIONS,
    )
    return {row["partition"]: (row["position"], row["head"]) for row in rows}


async def lags(
    database: Database, *, only_group: str | None = None, at_most: int = 100_000
) -> dict[tuple[str, str], int]:
    """Count what each (group, topic), or one group, has not read yet, up to `at_most` in each partition."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            """
            select c.reader_group, c.topic, sum(unread.count) as count
            from event_log.cursors as c
            cross join lateral (
                select count(*) from (
                    select from event_log.events as e
                    where e.topic = c.topic and e.partition = c.partition and e.position > c.position
                    limit $1
                ) as unread_events
            ) as unread
            where $2::text is null or c.reader_group = $2
            group by c.reader_group, c.topic
            """,
            at_most,
            only_group,
        )
    return {(row["reader_group"], row["topic"]): int(row["count"]) for row in rows}


async def rewind(tx: Tx, group: str, topic: str, since: datetime) -> bool:
    """
    Set a group back to before the first event that was appended to a topic's table since a time (real time).

    Return False, with nothing done, where a member holds a partition. Until the commit none can take one.
    """
    is_free = await tx.fetchval(
        """
        select bool_and(pg_try_advisory_xact_lock(hashtext($1 || ' reads ' || $2), partition))
        from generate_series(0, $3::int - 1) as partition
        """,
        group,
        topic,
        PARTITIONS,
    )
    if is_free:
        await tx.execute(
            """
            update event_log.cursors as c
            set position = news.first - 1
            from (
                select partition, min(position) as first
                from event_log.events
                where topic = $2 and recorded_at >= $3
                group by partition
            ) as news
            where c.reader_group = $1 and c.topic = $2 and c.partition = news.partition and c.position >= news.first
            """,
            group,
            topic,
            since,
        )
    return bool(is_free)


async def prune(database: Database, keep: timedelta, *, only_group: str | None = None, at_most: int = 10_000) -> bool:
    """
    Delete events older than `keep` (real time) that every group of their topic has read; True if there may be more.

    A topic that no group has read yet keeps everything. With `only_group`, the others do not count.
    """
    async with database.connection() as connection:
        deleted = await connection.fetchval(
            """
            with read_by_all as (
                select topic, partition, min(position) as position
                from event_log.cursors
                where $3::text is null or reader_group = $3
                group by topic, partition
            ),
            gone as (
                delete from event_log.events
                where (topic, partition, position) in (
                    select e.topic, e.partition, e.position
                    from read_by_all as r
                    cross join lateral (
                        select topic, partition, position, recorded_at
                        from event_log.events
                        where topic = r.topic and partition = r.partition and position <= r.position
                        order by position
                        limit $2
                    ) as e
                    where e.recorded_at < now() - $1::interval
                    limit $2
                )
                returning topic, partition, position
            ),
            remembered as (
                insert into event_log.pruned
                select topic, partition, max(position) from gone group by topic, partition order by topic, partition
                on conflict (topic, partition) do update set position = greatest(pruned.position, excluded.position)
            )
            select count(*) from gone
            """,
            keep,
            at_most,
            only_group,
        )
    return int(deleted) == at_most
