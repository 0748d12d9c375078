from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from jira_desk.domain.issue import Entry, Happening
from jira_desk.domain.told import Account
from okgames.database import Tx
from okgames.events import derive_id


@dataclass(frozen=True, slots=True)
class Question:
    """Hold a comment of ours to which OK has not answered yet; `asked_at` is of the first since OK's last word."""

    key: str
    task: str
    title: str
    status: str
    asked_at: datetime
    text: str
    comments: int


@dataclass(frozen=True, slots=True)
class Access:
    """Say who of ours may use which kinds of tasks, and how far the asking has come."""

    id: UUID
    name: str
    email: str
    tasks: list[str]
    asked_at: datetime
    asked_by: str
    granted_at: datetime | None
    ended_at: datetime | None


async def find_history(tx: Tx, issue_id: UUID) -> list[Entry]:
    """Return what happened to an issue, in the order in which we told of it."""
    rows = await tx.fetch("select * from history where issue_id = $1 order by position", issue_id)
    return [
        Entry(
            row["id"],
            Happening(row["kind"]),
            row["subject"],
            row["author"],
            row["old"],
            row["new"],
            row["happened_at"],
        )
        for row in rows
    ]


async def find_questions(tx: Tx) -> list[Question]:
    """Return our comments that wait for an answer, one row for each issue, the oldest first."""
    rows = await tx.fetch(
        """
        select
            issues.key, issues.task, issues.title, issues.status, min(ours.created_at) as asked_at,
            (array_agg(ours.text order by ours.created_at))[1] as text, count(*) as comments
        from issues
        join comments ours on ours.issue_id = issues.id and ours.is_ours and ours.deleted_at is null
        where not exists (
            select from comments theirs
            where theirs.issue_id = issues.id and not theirs.is_ours and theirs.deleted_at is null
                and theirs.created_at > ours.created_at
        )
        group by issues.id
        order by asked_at
        """
    )
    return [Question(*row) for row in rows]


async def find_access(tx: Tx) -> list[Access]:
    rows = await tx.fetch(
        """
        select id, name, email, tasks, asked_at, asked_by, granted_at, ended_at from access order by asked_at, id
        """
    )
    return [Access(*row) for row in rows]


async def ask_access(tx: Tx, account: Account, by: str, now: datetime) -> None:
    """Note that OK is asked for a further account."""
    await tx.execute(
        "insert into access (id, name, email, tasks, asked_at, asked_by) values ($1, $2, $3, $4, $5, $6)",
        derive_id("jira_access", account.email, now.isoformat()),
        account.name,
        account.email,
        account.tasks,
        now,
        by,
    )


async def grant_access(tx: Tx, access_id: UUID, now: datetime, *, is_ended: bool) -> bool:
    """Note that access was given or has ended; False where nobody asked for it."""
    status = await tx.execute(
        """
        update access
        set granted_at = case when $3 then granted_at else coalesce(granted_at, $2) end,
            ended_at = case when $3 then $2 end
        where id = $1
        """,
        access_id,
        now,
        is_ended,
    )
    return bool(status == "UPDATE 1")
