from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from jira_desk.domain.errand import Errand, ErrandKind, ErrandState
from okgames.database import Tx
from okgames.jira_account import JiraRequestKind, JiraTask


async def add_errands(tx: Tx, errands: Sequence[Errand]) -> None:
    """Keep what is to be done; what is there already stays as it is."""
    if not errands:
        return
    await tx.execute(
        """
        insert into errands (
            id, kind, task, application_key, promotion_id, created_at, created_by, state, issue_id, after_id,
            request_kind, title, text, file_name, media_type, sha256, evidence_id, due_by, fields, must_look, tries,
            tried_at, next_at, problem, result, done_at
        )
        select * from unnest(
            $1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::timestamptz[], $7::text[], $8::text[],
            $9::uuid[], $10::uuid[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],
            $17::uuid[], $18::timestamptz[], $19::jsonb[], $20::bool[], $21::int[], $22::timestamptz[],
            $23::timestamptz[], $24::text[], $25::text[], $26::timestamptz[]
        )
        on conflict do nothing
        """,
        *zip(*map(_row, errands), strict=True),
    )


async def save_errands(tx: Tx, errands: Sequence[Errand]) -> None:
    """Keep how far errands are."""
    if not errands:
        return
    await tx.execute(
        """
        update errands
        set state = changed.state, issue_id = changed.issue_id, must_look = changed.must_look, tries = changed.tries,
            tried_at = changed.tried_at, next_at = changed.next_at, problem = changed.problem, result = changed.result,
            done_at = changed.done_at
        from unnest(
            $1::uuid[], $2::text[], $3::uuid[], $4::bool[], $5::int[], $6::timestamptz[], $7::timestamptz[], $8::text[],
            $9::text[], $10::timestamptz[]
        ) as changed (id, state, issue_id, must_look, tries, tried_at, next_at, problem, result, done_at)
        where errands.id = changed.id
        """,
        *zip(
            *(
                (
                    each.id,
                    each.state,
                    each.issue_id,
                    each.must_look,
                    each.tries,
                    each.tried_at,
                    each.next_at,
                    each.problem,
                    each.result,
                    each.done_at,
                )
                for each in errands
            ),
            strict=True,
        ),
    )


async def find_due_errand(tx: Tx, now: datetime) -> Errand | None:
    """Lock and return what is to be done next."""
    row = await tx.fetchrow(
        """
        select * from errands
        where state = 'due' and next_at <= $1
        order by next_at, position
        limit 1
        for update skip locked
        """,
        now,
    )
    return None if row is None else _errand(row)


async def is_any_due(tx: Tx, now: datetime) -> bool:
    return bool(await tx.fetchval("select exists (select from errands where state = 'due' and next_at <= $1)", now))


async def put_off_errands(tx: Tx, until: datetime) -> None:
    """Let nothing be done before a time."""
    await tx.execute("update errands set next_at = $1 where state = 'due' and next_at < $1", until)


async def lock_errands(tx: Tx, ids: Iterable[UUID]) -> dict[UUID, Errand]:
    rows = await tx.fetch("select * from errands where id = any ($1::uuid[]) order by id for update", list(ids))
    return {row["id"]: _errand(row) for row in rows}


async def lock_followers(tx: Tx, ids: Iterable[UUID]) -> list[Errand]:
    """Lock and return what waits for the issues of some requests."""
    rows = await tx.fetch(
        "select * from errands where after_id = any ($1::uuid[]) and state = 'waiting' order by id for update",
        list(ids),
    )
    return [_errand(row) for row in rows]


async def lock_of_promotions(tx: Tx, promotion_ids: Iterable[UUID]) -> list[Errand]:
    """Lock and return the errands of promotions, done ones too."""
    rows = await tx.fetch(
        "select * from errands where promotion_id = any ($1::uuid[]) order by id for update", list(promotion_ids)
    )
    return [_errand(row) for row in rows]


async def find_evidence_names(tx: Tx, issue_ids: Iterable[UUID]) -> dict[UUID, dict[str, UUID]]:
    """Return the ids of the pictures that we attach, by issue and file name."""
    rows = await tx.fetch(
        """
        select issue_id, file_name, evidence_id from errands
        where issue_id = any ($1::uuid[]) and evidence_id is not null
        """,
        list(issue_ids),
    )
    found: dict[UUID, dict[str, UUID]] = {}
    for row in rows:
        found.setdefault(row["issue_id"], {})[row["file_name"]] = row["evidence_id"]
    return found


async def find_results(tx: Tx, issue_id: UUID, kind: ErrandKind) -> list[str]:
    """Return what errands of a kind have led to in an issue."""
    rows = await tx.fetch(
        "select result from errands where issue_id = $1 and kind = $2 and result is not null", issue_id, kind
    )
    return [row["result"] for row in rows]


async def find_errands(
    tx: Tx, kind: ErrandKind | None, state: ErrandState | None, after: int, limit: int
) -> list[tuple[int, Errand]]:
    rows = await tx.fetch(
        """
        select * from errands
        where position > $1 and ($2::text is null or kind = $2) and ($3::text is null or state = $3)
        order by position
        limit $4
        """,
        after,
        kind,
        state,
        limit,
    )
    return [(row["position"], _errand(row)) for row in rows]


async def find_errands_of_issue(tx: Tx, issue_id: UUID) -> list[Errand]:
    rows = await tx.fetch("select * from errands where issue_id = $1 order by position", issue_id)
    return [_errand(row) for row in rows]


async def find_errand(tx: Tx, errand_id: UUID) -> Errand | None:
    row = await tx.fetchrow("select * from errands where id = $1", errand_id)
    return None if row is None else _errand(row)


async def add_file(tx: Tx, file_id: UUID, file_name: str, media_type: str, sha256: str, content: bytes) -> None:
    await tx.execute(
        """
        insert into files (id, file_name, media_type, sha256, content) values ($1, $2, $3, $4, $5)
        on conflict do nothing
        """,
        file_id,
        file_name,
        media_type,
        sha256,
        content,
    )


async def find_file(tx: Tx, file_id: UUID) -> bytes | None:
    content: bytes | None = await tx.fetchval("select content from files where id = $1", file_id)
    return content


def _row(errand: Errand) -> tuple[object, ...]:
    return tuple(
        orjson.dumps(errand.fields).decode() if name == "fields" else getattr(errand, name) for name in Errand.__slots__
    )


def _errand(row: asyncpg.Record) -> Errand:
    fields = {name: row[name] for name in Errand.__slots__}
    return Errand(
        **{
            **fields,
            "kind": ErrandKind(row["kind"]),
            "task": JiraTask(row["task"]),
            "request_kind": None if row["request_kind"] is None else JiraRequestKind(row["request_kind"]),
            "state": ErrandState(row["state"]),
            "fields": orjson.loads(row["fields"]),
        }
    )
