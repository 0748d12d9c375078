from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from notifier.domain.report import AttemptReport, DeliveryReport, Found, Selection
from okgames.database import Tx


async def find_deliveries(tx: Tx, chosen: Selection, after: int, limit: int) -> list[Found]:
    """Return chosen deliveries whose positions come after this one, the oldest first."""
    rows = await tx.fetch(
        """
        select position, id
        from deliveries
        where ($1::text is null or application_key = $1)
            and ($2::text is null or uid = $2)
            and ($3::uuid is null or endpoint_id = $3)
            and ($4::text is null or state = $4)
            and ($5::timestamptz is null or created_at >= $5)
            and ($6::timestamptz is null or created_at < $6)
            and position > $7
        order by position
        limit $8
        """,
        chosen.application_key,
        chosen.uid,
        chosen.endpoint_id,
        chosen.state,
        chosen.since,
        chosen.before,
        after,
        limit,
    )
    return [Found(*row) for row in rows]


async def load_deliveries(tx: Tx, ids: Sequence[UUID]) -> list[DeliveryReport]:
    """Return deliveries with every attempt, the oldest first."""
    rows = await tx.fetch(
        """
        select d.id, d.endpoint_id, d.event_id, d.application_key, d.uid, w.type, d.state, d.created_at,
            case when d.state = 'pending' and e.paused_at is null then lanes.due_at end as next_attempt_at,
            d.finished_at, w.body,
            array(
                select row(at, status, latency_ms, answer, error) from attempts where delivery_id = d.id order by at
            ) as attempts
        from deliveries as d
        join webhooks as w on w.event_id = d.event_id
        join endpoints as e on e.id = d.endpoint_id
        left join lanes on lanes.endpoint_id = d.endpoint_id and lanes.uid = d.uid
        where d.id = any ($1::uuid[])
        order by d.position
        """,
        ids,
    )
    return [_delivery_report(row) for row in rows]


def _delivery_report(row: asyncpg.Record) -> DeliveryReport:
    attempts = tuple(AttemptReport(*each) for each in row["attempts"])
    return DeliveryReport(**{**row, "attempts": attempts})


async def resend_deliveries(tx: Tx, ids: Sequence[UUID], now: datetime) -> None:
    """Make deliveries pending again, due now, with their schedule from its start."""
    await tx.execute(
        """
        insert into lanes (endpoint_id, uid, due_at)
        select distinct endpoint_id, uid collate "C", $2::timestamptz
        from deliveries
        where id = any ($1::uuid[])
        order by endpoint_id, uid collate "C"
        on conflict (endpoint_id, uid) do update set due_at = least(lanes.due_at, excluded.due_at)
        """,
        ids,
        now,
    )
    await tx.execute(
        "update deliveries set state = 'pending', step = 0, finished_at = null where id = any ($1::uuid[])", ids
    )
