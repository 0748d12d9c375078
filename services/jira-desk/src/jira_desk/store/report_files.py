from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from jira_desk.domain.report_file import ReportFile, ReportState, report_id
from okgames.database import Tx

_FILES = """
    select
        report_files.id, report_files.issue_id, issues.key as issue_key, issues.title as issue_title,
        report_files.attachment_id, attachments.file_name, attachments.media_type, attachments.size,
        attachments.created_at as attached_at, attachments.removed_at, report_files.application_key,
        report_files.month, report_files.state, report_files.sha256,
        (
            select first.id from report_files first
            where first.sha256 = report_files.sha256 and first.position < report_files.position
            order by first.position
            limit 1
        ) as same_as,
        report_files.tries, report_files.next_at, report_files.problem, report_files.kept_at, report_files.position
    from report_files
    join issues on issues.id = report_files.issue_id
    join attachments on attachments.issue_id = report_files.issue_id and attachments.id = report_files.attachment_id
"""


async def add_reports(tx: Tx, attachments: Sequence[tuple[UUID, str]], now: datetime) -> None:
    """Note attachments, by issue and JIRA's id, that are to be fetched; those noted before stay as they are."""
    if attachments:
        await tx.execute(
            """
            insert into report_files (id, issue_id, attachment_id, state, next_at)
            select *, 'due', $4 from unnest($1::uuid[], $2::uuid[], $3::text[])
            on conflict do nothing
            """,
            [report_id(*each) for each in attachments],
            [issue_id for issue_id, _ in attachments],
            [attachment_id for _, attachment_id in attachments],
            now,
        )


async def is_any_report_due(tx: Tx, now: datetime) -> bool:
    return bool(
        await tx.fetchval(
            """
            select exists (
                select from report_files
                join attachments on attachments.issue_id = report_files.issue_id and attachments.id = attachment_id
                where next_at <= $1 and removed_at is null
            )
            """,
            now,
        )
    )


async def find_due_report(tx: Tx, now: datetime) -> ReportFile | None:
    """Lock and return what is to be fetched next; what JIRA shows no more is not."""
    row = await tx.fetchrow(
        f"""
        {_FILES}
        where report_files.next_at <= $1 and attachments.removed_at is null
        order by report_files.next_at, report_files.position
        limit 1
        for update of report_files skip locked
        """,
        now,
    )
    return None if row is None else _file(row)


async def lock_report(tx: Tx, file_id: UUID) -> ReportFile | None:
    row = await tx.fetchrow(f"{_FILES} where report_files.id = $1 for update of report_files", file_id)
    return None if row is None else _file(row)


async def find_report(tx: Tx, file_id: UUID) -> ReportFile | None:
    row = await tx.fetchrow(f"{_FILES} where report_files.id = $1", file_id)
    return None if row is None else _file(row)


async def find_reports(
    tx: Tx, application_key: str | None, month: str | None, state: ReportState | None, after: int, limit: int
) -> list[tuple[int, ReportFile]]:
    """Return files with their positions, in the order in which we heard of them."""
    rows = await tx.fetch(
        f"""
        {_FILES}
        where report_files.position > $1 and ($2::text is null or report_files.application_key = $2)
            and ($3::text is null or report_files.month = $3) and ($4::text is null or report_files.state = $4)
        order by report_files.position
        limit $5
        """,
        after,
        application_key,
        month,
        state,
        limit,
    )
    return [(row["position"], _file(row)) for row in rows]


async def save_report(tx: Tx, file: ReportFile) -> None:
    """Keep how far a file is, and what is known of it."""
    await tx.execute(
        """
        update report_files
        set application_key = $2, month = $3, state = $4, sha256 = $5, tries = $6, next_at = $7, problem = $8,
            kept_at = $9
        where id = $1
        """,
        file.id,
        file.application_key,
        file.month,
        file.state,
        file.sha256,
        file.tries,
        file.next_at,
        file.problem,
        file.kept_at,
    )


async def put_off_reports(tx: Tx, until: datetime) -> None:
    """Let nothing be fetched before a time."""
    await tx.execute("update report_files set next_at = $1 where next_at < $1", until)


async def add_content(tx: Tx, sha256: str, content: bytes) -> None:
    """Keep bytes, once."""
    await tx.execute("insert into report_contents values ($1, $2) on conflict do nothing", sha256, content)


async def find_content(tx: Tx, sha256: str) -> bytes:
    content: bytes = await tx.fetchval("select content from report_contents where sha256 = $1", sha256)
    return content


def _file(row: asyncpg.Record) -> ReportFile:
    fields = {name: row[name] for name in ReportFile.__slots__}
    return ReportFile(**{**fields, "state": ReportState(row["state"])})
