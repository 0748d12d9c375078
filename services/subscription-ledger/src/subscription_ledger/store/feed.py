from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from okgames.database import Tx
from okgames.events import Topic


class CursorTooOld(Exception):
    """Events after this cursor have been deleted."""


@dataclass(frozen=True, slots=True)
class FeedItem:
    """Hold an event of the log; `data` is its JSON, None where it is another application's."""

    partition: int
    position: int
    id: UUID
    type: str
    occurred_at: datetime
    recorded_at: datetime
    data: str | None


async def find_start(tx: Tx, partitions: int) -> list[int]:
    """Return the cursor before the oldest event kept, as a position per partition."""
    pruned = {
        row["partition"]: row["position"]
        for row in await tx.fetch(
            "select partition, position from event_log.pruned where topic = $1", Topic.ENTITLEMENTS
        )
    }
    return [pruned.get(partition, 0) for partition in range(partitions)]


async def find_news(tx: Tx, application_key: str, cursor: Sequence[int], limit: int) -> list[FeedItem]:
    """
    Return what the ledger has appended after a cursor, each player's events in order.

    Raise CursorTooOld where some of it was deleted; that is looked up in the same statement, because deleting goes
    on at the same time.
    """
    rows = await tx.fetch(
        """
        with held as (
            select ordinality - 1 as partition, cursor from unnest($2::bigint[]) with ordinality as each (cursor)
        )
        select lost.is_lost, news.*
        from (
            select exists (
                select from event_log.pruned join held using (partition) where topic = $1 and position > cursor
            ) as is_lost
        ) as lost
        left join (
            select
                each.partition, each.position, each.id, each.type, each.occurred_at, each.recorded_at,
                case when starts_with(each.key, $3) then each.data end as data
            from held cross join lateral (
                select *
                from event_log.events
                where topic = $1 and partition = held.partition and position > held.cursor
                order by position
                limit $4
            ) as each
            order by each.position
            limit $4
        ) as news on true
        order by news.position
        """,
        Topic.ENTITLEMENTS,
        cursor,
        f"{application_key}:",
        limit,
    )
    if rows[0]["is_lost"]:
        raise CursorTooOld
    return [FeedItem(*row[1:]) for row in rows if row["id"] is not None]
