from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import asyncpg

from jira_desk.domain.issue import (
    Attachment,
    Comment,
    Fund,
    FundState,
    Issue,
    Known,
    Remark,
    Verdict,
)
from jira_desk.domain.seen import SeenIssue
from okgames.database import Tx
from okgames.jira_account import JiraTask


async def find_seen(tx: Tx, seen: Sequence[SeenIssue]) -> dict[str, Issue]:
    """Return those of some issues that we know, by JIRA's id: under that id, or under the key if we know no id."""
    rows = await tx.fetch(
        """
        select seen.jira_id as seen_as, issues.*
        from unnest($1::text[], $2::text[]) as seen (jira_id, key)
        join issues on issues.jira_id = seen.jira_id or issues.jira_id is null and issues.key = seen.key
        """,
        [each.id for each in seen],
        [each.key for each in seen],
    )
    return {row["seen_as"]: _issue(row) for row in rows}


async def find_issue(tx: Tx, key: str) -> Issue | None:
    row = await tx.fetchrow("select * from issues where key = $1", key)
    return None if row is None else _issue(row)


async def find_urls(tx: Tx, ids: Iterable[UUID]) -> dict[UUID, str]:
    rows = await tx.fetch("select id, url from issues where id = any ($1::uuid[])", list(ids))
    return {row["id"]: row["url"] for row in rows}


async def find_promotions_issues(tx: Tx, promotion_ids: Iterable[UUID]) -> dict[UUID, Issue]:
    """Return the issues of promotions' requests, the newest of each."""
    rows = await tx.fetch(
        "select * from issues where promotion_id = any ($1::uuid[]) order by position", list(promotion_ids)
    )
    return {row["promotion_id"]: _issue(row) for row in rows}


async def find_issues(
    tx: Tx, task: JiraTask | None, application_key: str | None, after: int, limit: int
) -> list[tuple[int, Issue]]:
    """Return issues with their positions, in the order in which we heard of them."""
    rows = await tx.fetch(
        """
        select * from issues
        where position > $1 and ($2::text is null or task = $2) and ($3::text is null or application_key = $3)
        order by position
        limit $4
        """,
        after,
        task,
        application_key,
        limit,
    )
    return [(row["position"], _issue(row)) for row in rows]


async def find_unjudged(tx: Tx, statuses: Sequence[str], limit: int) -> list[UUID]:
    """Return issues of promotions without a verdict whose status, in lower case, is one of some."""
    rows = await tx.fetch(
        """
        select id from issues
        where promotion_id is not null and verdict is null and lower(status) = any ($1::text[])
        limit $2
        """,
        list(statuses),
        limit,
    )
    return [row["id"] for row in rows]


async def count_by_status(tx: Tx) -> dict[str, int]:
    rows = await tx.fetch("select status, count(*) as issues from issues group by status order by status")
    return {row["status"]: row["issues"] for row in rows}


async def lock_known(tx: Tx, ids: Iterable[UUID]) -> dict[UUID, Known]:
    """Lock issues, in one order for everybody, and return all that we know of them."""
    wanted = list(ids)
    rows = await tx.fetch("select * from issues where id = any ($1::uuid[]) order by id for update", wanted)
    return await _with_rest(tx, rows)


async def load_known(tx: Tx, issue_id: UUID) -> Known | None:
    rows = await tx.fetch("select * from issues where id = $1", issue_id)
    return (await _with_rest(tx, rows)).get(issue_id)


async def _with_rest(tx: Tx, rows: Sequence[asyncpg.Record]) -> dict[UUID, Known]:
    ids = [row["id"] for row in rows]
    if not ids:
        return {}
    comments = await _by_issue(
        tx, "select * from comments where issue_id = any ($1::uuid[]) order by created_at, id", ids
    )
    attachments = await _by_issue(
        tx, "select * from attachments where issue_id = any ($1::uuid[]) order by created_at, id", ids
    )
    funds = await _by_issue(tx, "select * from funds where issue_id = any ($1::uuid[])", ids)
    remarks = await _by_issue(tx, "select * from remarks where issue_id = any ($1::uuid[]) order by place", ids)
    moves = await _by_issue(
        tx,
        "select issue_id, subject from history where issue_id = any ($1::uuid[]) and kind = 'status_changed'",
        ids,
    )
    return {
        row["id"]: Known(
            issue=_issue(row),
            comments={each["id"]: _comment(each) for each in comments[row["id"]]},
            attachments={each["id"]: _attachment(each) for each in attachments[row["id"]]},
            move_ids=frozenset(each["subject"] for each in moves[row["id"]]),
            funds={each["comment_id"]: _fund(each) for each in funds[row["id"]]},
            remarks=tuple(_remark(each) for each in remarks[row["id"]]),
        )
        for row in rows
    }


async def _by_issue(tx: Tx, statement: str, ids: Sequence[UUID]) -> Mapping[UUID, list[asyncpg.Record]]:
    found: defaultdict[UUID, list[asyncpg.Record]] = defaultdict(list)
    for row in await tx.fetch(statement, ids):
        found[row["issue_id"]].append(row)
    return found


def _issue(row: asyncpg.Record) -> Issue:
    return Issue(
        id=row["id"],
        jira_id=row["jira_id"],
        key=row["key"],
        task=JiraTask(row["task"]),
        application_key=row["application_key"],
        promotion_id=row["promotion_id"],
        request_id=row["request_id"],
        expected_oks=row["expected_oks"],
        title=row["title"],
        url=row["url"],
        status=row["status"],
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        fund_oks=row["fund_oks"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _comment(row: asyncpg.Record) -> Comment:
    return Comment(*(row[name] for name in Comment.__slots__))


def _attachment(row: asyncpg.Record) -> Attachment:
    return Attachment(*(row[name] for name in Attachment.__slots__))


def _fund(row: asyncpg.Record) -> Fund:
    return Fund(
        row["comment_id"],
        row["amount_oks"],
        row["is_certain"],
        FundState(row["state"]),
        row["decided_by"],
        row["decided_at"],
    )


def _remark(row: asyncpg.Record) -> Remark:
    return Remark(*(row[name] for name in Remark.__slots__))
