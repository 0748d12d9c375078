from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import asyncpg

from okgames.database import Tx
from okgames.events import RewardGranted
from subscription_ledger.domain.entry import Entry, EntryKind
from subscription_ledger.store.columns import PlayerKey, columns

_COLUMNS = (
    "event_id",
    "application_key",
    "uid",
    "product",
    "kind",
    "occurred_at",
    "learned_at",
    "ends_at",
    "amount_oks",
    "transaction_id",
    "reward_id",
    "item",
    "quantity",
)


async def find_known(tx: Tx, ids: Collection[UUID]) -> set[UUID]:
    """Return those of the ids that have been entered."""
    rows = await tx.fetch("select event_id from entries where event_id = any($1)", ids)
    return {row["event_id"] for row in rows}


async def save_entries(tx: Tx, entries: Sequence[Entry], rewards: Mapping[UUID, RewardGranted]) -> None:
    """Keep new entries, each with the one reward that it gives, if any; one that is known already raises."""
    if not entries:
        return
    nothing = (None, None, None)
    given = {entry_id: (reward.reward_id, reward.item, reward.quantity) for entry_id, reward in rewards.items()}
    await tx.copy_records_to_table(
        "entries", columns=_COLUMNS, records=[(*entry, *given.get(entry.id, nothing)) for entry in entries]
    )


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
