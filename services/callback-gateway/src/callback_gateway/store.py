from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from callback_gateway.domain.callback import Reason
from callback_gateway.domain.journal import Conflict, Received, Stored
from callback_gateway.domain.payment import Payment, PaymentPlace, amount_of, transaction_id_of
from callback_gateway.domain.verdict import Accepted
from okgames.database import Tx
from okgames.events import Topic
from okgames.outbox import partition_of


@dataclass(frozen=True, slots=True)
class Refusal:
    """Hold a sample of what was refused; `query` is shortened and has no signature."""

    reason: Reason
    caller: str
    query: str


async def write_callbacks(connection: Tx, callbacks: Mapping[str, Received], received_at: datetime) -> set[str]:
    """
    Write callbacks and append their events, in a transaction of its own, and return the ids that are new.

    One statement with one argument for all rows: with a round trip for each step and an array for each column, a batch
    costs this process twice the time. The callbacks are written in the order of ids, so that two gateways with the
    same ones wait one way round only; the events keep the order in which they were received.
    """
    rows = [_row(callback, callback.accepted) for callback in callbacks.values() if callback.accepted]
    if not rows:
        return set()
    # Most often all are new, and then nothing comes back.
    written = await connection.fetchval(
        """
        with written as (
            insert into callbacks (
                id, application_key, uid, product, event_type, content, query, caller, transaction_time, received_at
            )
            select id, application_key, uid, product, event_type, content, query, caller, transaction_time, $2
            from unnest($1::received[])
            order by id
            on conflict (id) do nothing
            returning id
        )
        select
            case when count(*) < cardinality($1::received[]) then coalesce(array_agg(id), '{}') end,
            event_log.append($3, array_agg(
                row(partition, id, event_type, key, transaction_time, data)::event_log.new_event order by place
            ))::text
        from written
        join unnest($1::received[]) with ordinality as received (
            id, application_key, uid, product, event_type, content, query, caller, transaction_time,
            partition, key, data, place
        ) using (id)
        """,
        rows,
        received_at,
        Topic.PAYMENTS,
    )
    return set(callbacks) if written is None else set(map(str, written))


def _row(callback: Received, accepted: Accepted) -> tuple[object, ...]:
    body = accepted.body
    application_key, uid = body["application_key"], body["uid"]
    key = f"{application_key}:{uid}"
    return (
        body["id"],
        application_key,
        uid,
        body["product"],
        accepted.event_type.__name__,
        accepted.identity.content,
        callback.query,
        callback.caller,
        body["occurred_at"],
        partition_of(key),
        key,
        orjson.dumps(body).decode(),
    )


async def load_callbacks(tx: Tx, ids: Collection[str]) -> dict[str, Stored]:
    if not ids:
        return {}
    rows = await tx.fetch("select id, content, ack_uncertain from callbacks where id = any($1::uuid[])", list(ids))
    return {str(row["id"]): Stored(row["content"], row["ack_uncertain"]) for row in rows}


async def find_payments(
    tx: Tx, application_key: str, since: datetime, before: datetime, after: PaymentPlace | None, limit: int
) -> list[Payment]:
    """Return payments of a span of OK's time, the oldest first, from the one that stands `after` a place on."""
    rows = await tx.fetch(
        """
        select id, transaction_time, received_at, event_type, query, uid, product, content, ack_uncertain
        from callbacks
        where event_type in ('PaymentReceived', 'SubscriptionPaid')
            and application_key = $1
            and transaction_time >= $2
            and transaction_time < $3
            and ($4::timestamptz is null or (transaction_time, id) > ($4, $5::uuid))
        order by transaction_time, id
        limit $6
        """,
        application_key,
        since if after is None else max(since, after.occurred_at),
        before,
        *(after or (None, None)),
        limit,
    )
    return [
        Payment(
            PaymentPlace(row["transaction_time"], row["id"]),
            row["received_at"],
            row["event_type"],
            transaction_id_of(row["query"]),
            row["uid"],
            row["product"],
            amount_of(row["content"]),
            row["ack_uncertain"],
        )
        for row in rows
    ]


async def save_ack_uncertain(tx: Tx, ids: Collection[str], *, uncertain: bool) -> int:
    """Mark whether OK may not have heard our answer, and return of how many; ids that are not there are passed over."""
    if not ids:
        return 0
    rows = await tx.fetch(
        "update callbacks set ack_uncertain = $2 where id = any($1::uuid[]) returning id", sorted(ids), uncertain
    )
    return len(rows)


async def save_conflicts(tx: Tx, conflicts: Sequence[Conflict], refused_at: datetime) -> None:
    if not conflicts:
        return
    await tx.execute(
        """
        insert into conflicts (slot, refused_at, callback_id, stored_content, refused_content, caller, query)
        select nextval('conflict_slots'), $1, c.callback_id, c.stored_content, c.refused_content, c.caller, c.query
        from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])
            as c (callback_id, stored_content, refused_content, caller, query)
        on conflict (slot) do update set
            refused_at = excluded.refused_at,
            callback_id = excluded.callback_id,
            stored_content = excluded.stored_content,
            refused_content = excluded.refused_content,
            caller = excluded.caller,
            query = excluded.query
        """,
        refused_at,
        [conflict.received.identity.id for conflict in conflicts],
        [conflict.stored_content for conflict in conflicts],
        [conflict.received.identity.content for conflict in conflicts],
        [conflict.received.caller for conflict in conflicts],
        [conflict.received.query for conflict in conflicts],
    )


async def save_refusals(tx: Tx, refusals: Sequence[Refusal], refused_at: datetime) -> None:
    await tx.execute(
        """
        insert into refusals (slot, refused_at, code, reason, caller, query)
        select nextval('refusal_slots'), $1, r.code, r.reason, r.caller, r.query
        from unnest($2::int[], $3::text[], $4::text[], $5::text[]) as r (code, reason, caller, query)
        on conflict (slot) do update set
            refused_at = excluded.refused_at,
            code = excluded.code,
            reason = excluded.reason,
            caller = excluded.caller,
            query = excluded.query
        """,
        refused_at,
        [refusal.reason.code for refusal in refusals],
        [refusal.reason for refusal in refusals],
        [refusal.caller for refusal in refusals],
        [refusal.query for refusal in refusals],
    )
