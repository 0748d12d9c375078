import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg

_ENTERED: Final = "select event_id from subscription_ledger.entries where learned_at >= $1"
_SUBSCRIBERS: Final = (
    "select application_key, uid from subscription_ledger.entries where learned_at >= $1 and ends_at is not null"
)
# What the ledger writes, by what tells the rows that were written since a time.
_TABLES: Final = {
    "subscription_ledger.inbox": "handled_at >= $1",
    "subscription_ledger.entries": "learned_at >= $1",
    "subscription_ledger.players": f"(application_key, uid) in ({_SUBSCRIBERS})",
    "subscription_ledger.subscriptions": f"(application_key, uid) in ({_SUBSCRIBERS})",
    "subscription_ledger.changes": "learned_at >= $1",
    "subscription_ledger.grants": f"fact_id in ({_ENTERED})",
    "subscription_ledger.slots": "granted_at >= $1",
    "event_log.events": "topic = 'okgames.entitlements.v1' and recorded_at >= $1",
}


@dataclass(frozen=True)
class _Table:
    copy: str
    columns: Sequence[str]
    select: str


@dataclass
class WrittenRows:
    """The rows that the ledger wrote since a mark, to be copied into tables of the same shape."""

    connection: asyncpg.Connection
    tables: Sequence[_Table]
    since: datetime | None = None
    rows: dict[str, Sequence[asyncpg.Record]] = field(default_factory=dict)

    @classmethod
    async def prepare(cls, connection: asyncpg.Connection) -> "WrittenRows":
        """Make the tables to copy into, with the same indexes."""
        await connection.execute("create schema copies")
        tables = []
        for name, since in _TABLES.items():
            schema, _, copy = name.partition(".")
            await connection.execute(f"create table copies.{copy} (like {name} including all)")
            columns = await connection.fetch(
                """
                select column_name from information_schema.columns
                where table_schema = $1 and table_name = $2 and is_identity = 'NO'
                order by ordinal_position
                """,
                schema,
                copy,
            )
            names = [row["column_name"] for row in columns]
            tables.append(_Table(copy, names, f"select {', '.join(names)} from {name} where {since}"))
        return cls(connection, tables)

    async def mark(self) -> None:
        self.since = await self.connection.fetchval("select clock_timestamp()")
        self.rows = {}

    async def load(self) -> int:
        """Load what was written since the mark, empty the tables to copy into, and return the number of rows."""
        if not self.rows:
            for table in self.tables:
                self.rows[table.copy] = await self.connection.fetch(table.select, self.since)
        names = ", ".join(f"copies.{table.copy}" for table in self.tables)
        await self.connection.execute(f"truncate {names}")
        return sum(map(len, self.rows.values()))

    async def copy(self, parts: int) -> float:
        """Copy the rows in so many transactions and return the seconds it took."""
        began = time.perf_counter()
        for part in range(parts):
            async with self.connection.transaction():
                for table in self.tables:
                    rows = self.rows[table.copy]
                    chunk = rows[len(rows) * part // parts : len(rows) * (part + 1) // parts]
                    await self.connection.copy_records_to_table(
                        table.copy, schema_name="copies", columns=table.columns, records=chunk
                    )
        return time.perf_counter() - began
