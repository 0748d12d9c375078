from collections.abc import Sequence
from datetime import datetime

from okgames.database import Tx


async def save_tokens(tx: Tx, application_keys: Sequence[str], now: datetime) -> None:
    """Make known whose access tokens there are; one that is new is touched at once."""
    await tx.execute(
        """
        insert into access_tokens (application_key, touch_at)
        select *, $2 from unnest($1::text[])
        on conflict do nothing
        """,
        application_keys,
        now,
    )


async def claim_tokens(
    tx: Tx, application_keys: Sequence[str], now: datetime, next_at: datetime, limit: int
) -> list[str]:
    """Return whose tokens are due, which are then not due again before `next_at`."""
    rows = await tx.fetch(
        """
        update access_tokens
        set touch_at = $3
        where application_key in (
            select application_key from access_tokens
            where touch_at <= $2 and application_key = any($1)
            order by touch_at
            limit $4
            for update skip locked
        )
        returning application_key
        """,
        application_keys,
        now,
        next_at,
        limit,
    )
    return [row["application_key"] for row in rows]


async def save_refusals(tx: Tx, application_keys: Sequence[str], reasons: Sequence[str | None], now: datetime) -> None:
    """Write for each token why it could not be touched, None where it was."""
    await tx.execute(
        """
        update access_tokens as t
        set reason = c.reason, refused_at = case when c.reason is not null then $3::timestamptz end
        from unnest($1::text[], $2::text[]) as c (application_key, reason)
        where t.application_key = c.application_key
        """,
        application_keys,
        reasons,
        now,
    )
