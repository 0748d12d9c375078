from collections.abc import Sequence
from datetime import datetime

from jira_desk.domain.paging import Cursor
from okgames.database import Tx


async def enter_projects(tx: Tx, projects: Sequence[str], now: datetime) -> None:
    """Begin to follow projects that are not followed yet."""
    await tx.execute(
        "insert into cursors (project, next_at) select unnest($1::text[]), $2 on conflict do nothing",
        list(projects),
        now,
    )


async def find_due_cursors(tx: Tx, projects: Sequence[str], now: datetime) -> list[Cursor]:
    rows = await tx.fetch(
        f"select {', '.join(Cursor.__slots__)} from cursors where project = any ($1::text[]) and next_at <= $2"  # noqa: S608 - names of ours
        " order by next_at",
        list(projects),
        now,
    )
    return [Cursor(*row) for row in rows]


async def find_cursors(tx: Tx) -> list[tuple[Cursor, datetime | None]]:
    """Return how far each project was read, with when that was."""
    rows = await tx.fetch(f"select {', '.join(Cursor.__slots__)}, read_at from cursors order by project")  # noqa: S608 - names of ours
    return [(Cursor(*list(row)[:-1]), row["read_at"]) for row in rows]


async def move_cursor(tx: Tx, cursor: Cursor, read_at: datetime | None) -> bool:
    """Keep how far a project was read; False, and nothing is kept, where another copy was faster."""
    status = await tx.execute(
        """
        update cursors
        set since = $2, start_at = $3, last_key = $4, next_at = $5, failures = $6, problem = $7, version = $8,
            read_at = coalesce($9, read_at)
        where project = $1 and version = $8 - 1
        """,
        cursor.project,
        cursor.since,
        cursor.start_at,
        cursor.last_key,
        cursor.next_at,
        cursor.failures,
        cursor.problem,
        cursor.version,
        read_at,
    )
    return bool(status == "UPDATE 1")


async def hurry(tx: Tx, now: datetime) -> None:
    """Let every project be read at once that is not being put off after failures."""
    await tx.execute("update cursors set next_at = $1 where failures = 0 and next_at > $1", now)
