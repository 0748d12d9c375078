from collections.abc import Collection, Sequence
from dataclasses import astuple, fields
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from notifier.domain.post import Allowance, Post, PostKind, PostState, allowance_start
from notifier.domain.publishing import UNKNOWN
from okgames.database import Tx

_FIELDS: Final = tuple(each.name for each in fields(Post))


async def save_posts(tx: Tx, posts: Sequence[Post]) -> list[UUID]:
    """Keep new posts, and return the ids of those that were not there before."""
    rows = await tx.fetch(
        """
        insert into posts (
            id, kind, application_key, promotion_id, text, state, not_before, due_by, expires_at, created_at,
            approved_at, approved_by, attempts, attempted_at, retry_at, ok_id, url, published_at, published_by, reason
        )
        select *
        from unnest(
            $1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[],
            $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::int[],
            $14::timestamptz[], $15::timestamptz[], $16::text[], $17::text[], $18::timestamptz[], $19::text[],
            $20::text[]
        )
        on conflict do nothing
        returning id
        """,
        *_columns(posts),
    )
    return [row["id"] for row in rows]


async def update_posts(tx: Tx, posts: Sequence[Post], lease: timedelta = timedelta()) -> None:
    """Write what has become of posts that the caller holds locked; what is attempted is leased from now on."""
    await tx.execute(
        """
        update posts as p
        set text = c.text, state = c.state, approved_at = c.approved_at, approved_by = c.approved_by,
            attempts = c.attempts, attempted_at = c.attempted_at, retry_at = c.retry_at, ok_id = c.ok_id, url = c.url,
            published_at = c.published_at, published_by = c.published_by, reason = c.reason,
            leased_until = case when c.state = 'attempted' then now() + $21::interval end
        from unnest(
            $1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[],
            $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::int[],
            $14::timestamptz[], $15::timestamptz[], $16::text[], $17::text[], $18::timestamptz[], $19::text[],
            $20::text[]
        ) as c (
            id, kind, application_key, promotion_id, text, state, not_before, due_by, expires_at, created_at,
            approved_at, approved_by, attempts, attempted_at, retry_at, ok_id, url, published_at, published_by, reason
        )
        where p.id = c.id
        """,
        *_columns(posts),
        lease,
    )


async def claim_due_posts(tx: Tx, now: datetime, limit: int) -> list[Post]:
    """Lock approved posts whose time has come, those first that wait longest."""
    rows = await tx.fetch(
        """
        select * from posts
        where state = 'approved' and coalesce(retry_at, not_before) <= $1 and cancelled_at is null
        order by coalesce(retry_at, not_before)
        limit $2
        for update skip locked
        """,
        now,
        limit,
    )
    return [_post(row) for row in rows]


async def claim_unknown_posts(tx: Tx, limit: int, lease: timedelta) -> list[Post]:
    """Lease attempted posts of which nobody has written what came of them, although the time for it is over."""
    rows = await tx.fetch(
        """
        update posts
        set leased_until = now() + $2::interval
        where id in (
            select id from posts
            where state = 'attempted' and leased_until < now()
            order by leased_until
            limit $1
            for update skip locked
        )
        returning *
        """,
        limit,
        lease,
    )
    return [_post(row) for row in rows]


async def lock_attempted(tx: Tx, posts: Collection[Post]) -> set[UUID]:
    """Lock posts, and return the ids of those whose latest attempt is still the one that these know of."""
    rows = await tx.fetch(
        """
        select p.id
        from posts as p join unnest($1::uuid[], $2::int[]) as c (id, attempts) using (id, attempts)
        where p.state = 'attempted'
        order by p.id
        for update of p
        """,
        [post.id for post in posts],
        [post.attempts for post in posts],
    )
    return {row["id"] for row in rows}


async def cancel_posts(tx: Tx, promotion_ids: Sequence[UUID], now: datetime) -> None:
    """Give up the posts of promotions that will not take place, and have OK take back what players see."""
    marked = await tx.fetch(
        "update posts set cancelled_at = $2 where promotion_id = any($1) and cancelled_at is null returning id",
        promotion_ids,
        now,
    )
    await give_up_cancelled(tx, [row["id"] for row in marked], now)


async def give_up_cancelled(tx: Tx, post_ids: Sequence[UUID], now: datetime) -> set[UUID]:
    """
    Give up those of some posts whose promotion was cancelled, and return the ids of those that never went out.

    What OK is being asked to publish is left until its outcome is written, and what has an unknown one is left to a
    person. Only a notification that OK gave an id can be taken back.
    """
    rows = await tx.fetch(
        """
        update posts
        set state = case when state = 'published' then 'stopping' else 'cancelled' end, reason = null, retry_at = null
        where id = any($1)
            and cancelled_at is not null
            and (
                state in ('proposed', 'approved')
                or (state = 'draft' and reason <> $4)
                or (state = 'published' and kind = $3 and ok_id is not null and expires_at > $2)
            )
        returning id, state
        """,
        post_ids,
        now,
        PostKind.NOTIFICATION,
        UNKNOWN,
    )
    return {row["id"] for row in rows if row["state"] == PostState.CANCELLED}


async def claim_stopping_posts(tx: Tx, now: datetime, limit: int, lease: timedelta) -> list[Post]:
    """Lease posts that OK is to be asked to take back."""
    rows = await tx.fetch(
        """
        update posts
        set leased_until = now() + $3::interval
        where id in (
            select id from posts
            where state = 'stopping'
                and coalesce(retry_at, published_at) <= $1
                and coalesce(leased_until, '-infinity') < now()
            order by coalesce(retry_at, published_at)
            limit $2
            for update skip locked
        )
        returning *
        """,
        now,
        limit,
        lease,
    )
    return [_post(row) for row in rows]


async def load_allowances(tx: Tx, application_keys: Collection[str], now: datetime) -> dict[str, Allowance]:
    """Return how many notifications applications have sent, or may have sent."""
    rows = await tx.fetch(
        """
        select application_key,
            count(*) filter (where kind = $4 and expires_at > $3 and state <> 'stopped') as live,
            count(*) filter (where attempted_at >= $2) as today
        from posts
        where application_key = any($1)
            and kind in ('rehearsal', 'notification')
            and attempted_at > $2 - interval '14 days'
        group by application_key
        """,
        list(application_keys),
        allowance_start(now),
        now,
        PostKind.NOTIFICATION,
    )
    return {row["application_key"]: Allowance(row["live"], row["today"]) for row in rows}


async def find_posts(
    tx: Tx,
    application_key: str | None,
    promotion_id: UUID | None,
    state: PostState | None,
    after: int,
    limit: int,
) -> list[tuple[int, Post]]:
    """Return posts with their places among all, the oldest first; None chooses all."""
    rows = await tx.fetch(
        """
        select * from posts
        where position > $4
            and ($1::text is null or application_key = $1)
            and ($2::uuid is null or promotion_id = $2)
            and ($3::text is null or state = $3)
        order by position
        limit $5
        """,
        application_key,
        promotion_id,
        state,
        after,
        limit,
    )
    return [(row["position"], _post(row)) for row in rows]


async def load_post(tx: Tx, post_id: UUID) -> Post | None:
    row = await tx.fetchrow("select * from posts where id = $1", post_id)
    return None if row is None else _post(row)


async def lock_post(tx: Tx, post_id: UUID) -> Post | None:
    """Return a post that nobody else changes until the end of the transaction."""
    row = await tx.fetchrow("select * from posts where id = $1 for update", post_id)
    return None if row is None else _post(row)


def _columns(posts: Sequence[Post]) -> list[tuple[object, ...]]:
    return list(zip(*(astuple(post) for post in posts), strict=True))


def _post(row: asyncpg.Record) -> Post:
    values = {name: row[name] for name in _FIELDS}
    return Post(**values | {"kind": PostKind(row["kind"]), "state": PostState(row["state"])})
