from collections.abc import Collection, Sequence
from uuid import UUID

import asyncpg

from okgames.database import Tx
from subscription_ledger.domain.entry import Entry, EntryKind
from subscription_ledger.store.columns import PlayerKey, columns


async def save_entries(tx: Tx, entries: Sequence[Entry]) -> set[UUID]:
    """Keep entries and return the ids of those that were not known."""
    rows = await tx.fetch(
        """
        insert into entries (
            event_id, application_key, uid, product, kind, occurred_at, learned_at, ends_at, amount_oks, transaction_id
        )
        select * from unnest(
            $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
            $8::timestamptz[], $9::bigint[], $10::text[]
        )
        on conflict do nothing
        returning event_id
        """,
        *columns(
            (
                entry.id,
                entry.application_key,
                entry.uid,
                entry.product,
                entry.kind,
                entry.occurred_at,
                entry.learned_at,
                entry.ends_at,
                entry.amount_oks,
                entry.transaction_id,
            )
            for entry in entries
        ),
    )
    return {row["event_id"] for row in rows}


async def load_entries(tx: Tx, keys: Collection[tuple[str, str, str]]) -> list[Entry]:
    """Return all that is known of these (application_key, uid, product), in the order in which it happened."""
    if not keys:
        return []
    rows = await tx.fetch(
        """
        select entries.*
        from unnest($1::text[], $2::text[], $3::text[]) as wanted (application_key, uid, product)
        join entries using (application_key, uid, product)
        order by occurred_at, event_id
        """,
        *columns(keys),
    )
    return [_entry(row) for row in rows]


async def find_entries(tx: Tx, key: PlayerKey) -> list[Entry]:
    """Return all that is known of a player, in the order in which it happened."""
    rows = await tx.fetch(
        "select * from entries where application_key = $1 and uid = $2 order by occurred_at, event_id", *key
    )
    return [_entry(row) for row in rows]


def _entry(row: asyncpg.Record) -> Entry:
    return Entry(
        row["event_id"],
        row["application_key"],
        row["uid"],
        row["product"],
        EntryKind(row["kind"]),
        row["occurred_at"],
        row["learned_at"],
        row["ends_at"],
        row["amount_oks"],
        row["transaction_id"],
    )
