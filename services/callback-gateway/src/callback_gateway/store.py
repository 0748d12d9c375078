from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from callback_gateway.domain.callback import Reason
from callback_gateway.domain.journal import Conflict, Received, Stored
from okgames.database import Tx


@dataclass(frozen=True, slots=True)
class Refusal:
    """Hold a sample of what was refused; `query` is shortened and has no signature."""

    reason: Reason
    caller: str | None
    query: str


async def insert_callbacks(tx: Tx, callbacks: Collection[Received], received_at: datetime) -> set[UUID]:
    """Write callbacks of different ids and return the ids that were not there before."""
    if not callbacks:
        return set()
    rows = [(callback, callback.event) for callback in callbacks if callback.event is not None]
    # In the order of ids, so that two gateways that write the same callbacks wait one way round only.
    written = await tx.fetch(
        """
        insert into callbacks (
            id, application_key, uid, product, event_type, content, query, caller, transaction_time, received_at
        )
        select c.id, c.application_key, c.uid, c.product, c.event_type, c.content, c.query, c.caller, c.time, $10
        from unnest(
            $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::timestamptz[]
        ) as c (id, application_key, uid, product, event_type, content, query, caller, time)
        order by c.id
        on conflict (id) do nothing
        returning id
        """,
        [event.id for _, event in rows],
        [event.application_key for _, event in rows],
        [event.uid for _, event in rows],
        [event.product for _, event in rows],
        [type(event).__name__ for _, event in rows],
        [callback.identity.content for callback, _ in rows],
        [callback.query for callback, _ in rows],
        [callback.caller for callback, _ in rows],
        [event.occurred_at for _, event in rows],
        received_at,
    )
    return {row["id"] for row in written}


async def load_callbacks(tx: Tx, ids: Collection[UUID]) -> dict[UUID, Stored]:
    if not ids:
        return {}
    rows = await tx.fetch("select id, content, ack_uncertain from callbacks where id = any($1::uuid[])", list(ids))
    return {row["id"]: Stored(row["content"], row["ack_uncertain"]) for row in rows}


async def save_ack_uncertain(tx: Tx, ids: Collection[UUID], *, uncertain: bool) -> None:
    """Note of callbacks whether OK may not have heard our answer; ids that are not there are passed over."""
    if ids:
        await tx.execute("update callbacks set ack_uncertain = $2 where id = any($1::uuid[])", sorted(ids), uncertain)


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
