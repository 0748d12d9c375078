from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from jira_desk.domain.issue import Attachment, Comment, Fund, Issue, Known, Remark
from jira_desk.domain.unfolding import Unfolding
from okgames.database import Tx

P = TypeVar("P")


async def save_changes(tx: Tx, before: dict[UUID, Known], unfoldings: Sequence[Unfolding], now: datetime) -> None:
    """Keep what became of issues that are locked or new: of what belongs to them, that which differs from before."""
    if not unfoldings:
        return
    await _save_issues(tx, [unfolding.issue for unfolding in unfoldings])
    await _save_history(tx, unfoldings, now)
    await _save_comments(tx, _different(before, unfoldings, lambda known: known.comments.values()))
    await _save_attachments(tx, _different(before, unfoldings, lambda known: known.attachments.values()))
    await _save_funds(tx, _different(before, unfoldings, lambda known: known.funds.values()))
    await _save_remarks(tx, _different(before, unfoldings, lambda known: known.remarks))


def _different(
    before: dict[UUID, Known], unfoldings: Sequence[Unfolding], parts: Callable[[Known], Iterable[P]]
) -> list[tuple[UUID, P]]:
    different = []
    for unfolding in unfoldings:
        issue_id = unfolding.issue.id
        known = before.get(issue_id)
        there = frozenset(parts(known)) if known else frozenset()
        different += [(issue_id, part) for part in parts(unfolding.known) if part not in there]
    return different


async def _save_issues(tx: Tx, issues: Sequence[Issue]) -> None:
    await tx.execute(
        """
        insert into issues (
            id, jira_id, key, task, application_key, promotion_id, request_id, expected_oks, title, url, status,
            verdict, fund_oks, created_at, updated_at
        )
        select * from unnest(
            $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::uuid[], $8::bigint[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::timestamptz[], $15::timestamptz[]
        )
        on conflict (id) do update
        set jira_id = excluded.jira_id, key = excluded.key, task = excluded.task, title = excluded.title,
            url = excluded.url, status = excluded.status, verdict = excluded.verdict, fund_oks = excluded.fund_oks,
            created_at = excluded.created_at, updated_at = excluded.updated_at
        """,
        *zip(*([getattr(issue, name) for name in Issue.__slots__] for issue in issues), strict=True),
    )


async def _save_history(tx: Tx, unfoldings: Sequence[Unfolding], now: datetime) -> None:
    rows = [
        (
            unfolding.issue.id,
            entry.id,
            entry.kind,
            entry.subject,
            entry.author,
            entry.old,
            entry.new,
            entry.happened_at,
            now,
        )
        for unfolding in unfoldings
        for entry in unfolding.entries
    ]
    if rows:
        await tx.execute(
            """
            insert into history (issue_id, id, kind, subject, author, old, new, happened_at, recorded_at)
            select issue_id, id, kind, subject, author, old, new, happened_at, recorded_at
            from unnest(
                $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[],
                $9::timestamptz[]
            ) with ordinality as told (
                issue_id, id, kind, subject, author, old, new, happened_at, recorded_at, place
            )
            order by place
            """,
            *zip(*rows, strict=True),
        )


async def _save_comments(tx: Tx, comments: Sequence[tuple[UUID, Comment]]) -> None:
    if comments:
        await tx.execute(
            """
            insert into comments (issue_id, id, author, is_ours, text, created_at, updated_at, deleted_at)
            select * from unnest(
                $1::uuid[], $2::text[], $3::text[], $4::bool[], $5::text[], $6::timestamptz[], $7::timestamptz[],
                $8::timestamptz[]
            )
            on conflict (issue_id, id) do update
            set text = excluded.text, updated_at = excluded.updated_at, deleted_at = excluded.deleted_at
            """,
            *_columns(comments, Comment.__slots__),
        )


async def _save_attachments(tx: Tx, attachments: Sequence[tuple[UUID, Attachment]]) -> None:
    if attachments:
        await tx.execute(
            """
            insert into attachments (issue_id, id, file_name, media_type, size, author, created_at, removed_at)
            select * from unnest(
                $1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::timestamptz[],
                $8::timestamptz[]
            )
            on conflict (issue_id, id) do update set removed_at = excluded.removed_at
            """,
            *_columns(attachments, Attachment.__slots__),
        )


async def _save_funds(tx: Tx, funds: Sequence[tuple[UUID, Fund]]) -> None:
    if funds:
        await tx.execute(
            """
            insert into funds (issue_id, comment_id, amount_oks, is_certain, state, decided_by, decided_at)
            select * from unnest(
                $1::uuid[], $2::text[], $3::bigint[], $4::bool[], $5::text[], $6::text[], $7::timestamptz[]
            )
            on conflict (issue_id, comment_id) do update
            set amount_oks = excluded.amount_oks, is_certain = excluded.is_certain, state = excluded.state,
                decided_by = excluded.decided_by, decided_at = excluded.decided_at
            """,
            *_columns(funds, Fund.__slots__),
        )


async def _save_remarks(tx: Tx, remarks: Sequence[tuple[UUID, Remark]]) -> None:
    if remarks:
        await tx.execute(
            """
            insert into remarks (issue_id, comment_id, text, place, is_withdrawn, done_at, done_by)
            select * from unnest(
                $1::uuid[], $2::text[], $3::text[], $4::int[], $5::bool[], $6::timestamptz[], $7::text[]
            )
            on conflict (issue_id, comment_id, text) do update
            set is_withdrawn = excluded.is_withdrawn, done_at = excluded.done_at, done_by = excluded.done_by
            """,
            *_columns(remarks, Remark.__slots__),
        )


def _columns(parts: Sequence[tuple[UUID, object]], names: Sequence[str]) -> Iterable[Sequence[object]]:
    return zip(*([issue_id, *(getattr(part, name) for name in names)] for issue_id, part in parts), strict=True)
