from collections.abc import Collection, Sequence
from datetime import datetime

from okgames.database import Tx
from subscription_ledger.domain.coverage import Coverage
from subscription_ledger.domain.rewards import Grant, Slot
from subscription_ledger.store.columns import columns

_GRANT_COLUMNS = (
    "fact_id",
    "application_key",
    "uid",
    "product",
    "item",
    "quantity",
    "transaction_id",
    "starts_at",
    "ends_at",
    "every",
    "granted",
    "next_at",
)
_SLOT_COLUMNS = (
    "fact_id",
    "number",
    "reward_id",
    "application_key",
    "uid",
    "product",
    "item",
    "quantity",
    "transaction_id",
    "occurred_at",
    "granted_at",
)


async def save_grants(tx: Tx, grants: Sequence[Grant]) -> None:
    """Keep new grants."""
    if not grants:
        return
    await tx.copy_records_to_table(
        "grants", columns=_GRANT_COLUMNS, records=[(*grant, grant.next_at) for grant in grants]
    )


async def move_grants(tx: Tx, covered: Collection[Coverage]) -> None:
    """
    Let grants that exist cover another time.

    What they have given stays counted: `granted` is read from the row itself, after a job that holds it has ended.
    """
    if not covered:
        return
    await tx.execute(
        """
        update grants
        set starts_at = new.starts_at, ends_at = new.ends_at,
            next_at = case
                when new.starts_at + grants.granted * grants.every < new.ends_at
                then new.starts_at + grants.granted * grants.every
            end
        from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) as new (fact_id, starts_at, ends_at)
        where grants.fact_id = new.fact_id
        """,
        *columns(covered),
    )


async def claim_due_grants(tx: Tx, now: datetime, limit: int) -> list[Grant]:
    """Lock grants whose next reward is due; those that another copy has locked are left out."""
    rows = await tx.fetch(
        """
        select
            fact_id, application_key, uid, product, item, quantity, transaction_id, starts_at, ends_at, every, granted
        from grants
        where next_at <= $1
        order by next_at
        limit $2
        for update skip locked
        """,
        now,
        limit,
    )
    return [Grant(*row) for row in rows]


async def save_granted(tx: Tx, grants: Sequence[Grant]) -> None:
    """Keep how many rewards these grants have given."""
    if not grants:
        return
    await tx.execute(
        """
        update grants
        set granted = new.granted, next_at = new.next_at
        from unnest($1::uuid[], $2::int[], $3::timestamptz[]) as new (fact_id, granted, next_at)
        where grants.fact_id = new.fact_id
        """,
        *columns((grant.fact_id, grant.granted, grant.next_at) for grant in grants),
    )


async def save_slots(tx: Tx, slots: Sequence[Slot], granted_at: datetime) -> None:
    """Keep rewards of grants; one that was given already raises."""
    if not slots:
        return
    await tx.copy_records_to_table(
        "slots",
        columns=_SLOT_COLUMNS,
        records=[
            (
                slot.fact_id,
                slot.number,
                slot.reward.reward_id,
                slot.reward.application_key,
                slot.reward.uid,
                slot.reward.product,
                slot.reward.item,
                slot.reward.quantity,
                slot.reward.transaction_id,
                slot.reward.occurred_at,
                granted_at,
            )
            for slot in slots
        ],
    )
