from collections.abc import Collection, Sequence
from datetime import datetime

from okgames.database import Tx
from subscription_ledger.domain.coverage import Coverage
from subscription_ledger.domain.rewards import Grant, Reward
from subscription_ledger.store.columns import columns


async def save_grants(tx: Tx, grants: Sequence[Grant]) -> None:
    """Keep new grants."""
    if not grants:
        return
    await tx.execute(
        """
        insert into grants (
            fact_id, application_key, uid, product, item, quantity, transaction_id, starts_at, ends_at, every,
            granted, next_at
        )
        select * from unnest(
            $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::timestamptz[],
            $9::timestamptz[], $10::interval[], $11::int[], $12::timestamptz[]
        )
        """,
        *columns(
            (
                grant.fact_id,
                grant.application_key,
                grant.uid,
                grant.product,
                grant.item,
                grant.quantity,
                grant.transaction_id,
                grant.starts_at,
                grant.ends_at,
                grant.every,
                grant.granted,
                grant.next_at,
            )
            for grant in grants
        ),
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
        *columns((each.fact_id, each.starts_at, each.ends_at) for each in covered),
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


async def save_rewards(tx: Tx, rewards: Sequence[Reward], granted_at: datetime) -> list[Reward]:
    """Keep rewards and return those that were not known."""
    if not rewards:
        return []
    rows = await tx.fetch(
        """
        insert into rewards (
            reward_id, application_key, uid, product, item, quantity, reason, transaction_id, fact_id, occurred_at,
            granted_at
        )
        select *, $11::timestamptz from unnest(
            $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[],
            $9::uuid[], $10::timestamptz[]
        )
        on conflict do nothing
        returning reward_id
        """,
        *columns(
            (
                granted.reward_id,
                granted.application_key,
                granted.uid,
                granted.product,
                granted.item,
                granted.quantity,
                granted.reason,
                granted.transaction_id,
                reward.fact_id,
                granted.occurred_at,
            )
            for reward in rewards
            for granted in [reward.granted]
        ),
        granted_at,
    )
    new = {row["reward_id"] for row in rows}
    return [reward for reward in rewards if reward.granted.reward_id in new]
