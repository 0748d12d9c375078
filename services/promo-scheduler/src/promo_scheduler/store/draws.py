from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from okgames.database import Tx
from okgames.events import Winner
from okgames.ok_answer import Answer, UserInfo
from promo_scheduler.domain.draw import Drawn
from promo_scheduler.domain.promotion import Change
from promo_scheduler.domain.report import WinnerReport

# Any number, as long as every copy of the service takes the same one.
_PRESENCE: Final = 0x6F6B6472


@dataclass(frozen=True, slots=True)
class Attempt:
    """Name a draw whose one call is about to be made."""

    promotion_id: UUID
    application_key: str
    opens_at: datetime
    closes_at: datetime
    prizes_oks: tuple[int, ...]
    attempted_at: datetime


@dataclass(frozen=True, slots=True)
class DrawRecord:
    """Hold what is known of a draw; `answer` is None where none came back."""

    begun_at: datetime
    begun_by: str
    attempted_at: datetime | None
    answered_at: datetime | None
    answer: Answer | None


async def is_any_to_attempt(tx: Tx) -> bool:
    return bool(await tx.fetchval("select exists (select from draws where attempted_at is null)"))


async def enter_presence(tx: Tx) -> int:
    """Take a number, and a lock on it that others can get when this connection has ended, and not before."""
    number: int = await tx.fetchval("select nextval('presences')::int")
    await tx.execute("select pg_advisory_lock($1, $2)", _PRESENCE, number)
    return number


async def save_begun_draws(tx: Tx, changes: Sequence[Change], now: datetime) -> None:
    """Keep the intention to draw."""
    begun = [(change.promotion.id, change.draw_by) for change in changes if change.draw_by is not None]
    if begun:
        await tx.execute(
            """
            insert into draws (promotion_id, begun_at, begun_by)
            select promotion_id, $3, begun_by from unnest($1::uuid[], $2::text[]) as begun (promotion_id, begun_by)
            """,
            *zip(*begun, strict=True),
            now,
        )


async def attempt_draws(tx: Tx, presence: int, now: datetime, limit: int) -> list[Attempt]:
    """Mark draws as attempted, which can be done to each once only, and return them."""
    rows = await tx.fetch(
        """
        update draws
        set attempted_at = $1, attempted_by = $2
        from promotions
        where promotions.id = draws.promotion_id
            and draws.attempted_at is null
            and draws.promotion_id in (
                select promotion_id from draws
                where attempted_at is null
                order by begun_at
                limit $3
                for update skip locked
            )
        returning draws.promotion_id, application_key, opens_at, closes_at, prizes_oks, draws.attempted_at
        """,
        now,
        presence,
        limit,
    )
    return [Attempt(**{**row, "prizes_oks": tuple(row["prizes_oks"])}) for row in rows]


async def save_answer(tx: Tx, promotion_id: UUID, answer: Answer, now: datetime) -> None:
    """Keep what came back as it came."""
    await tx.execute(
        """
        update draws
        set answered_at = $2, status = $3, invocation_error = $4, content_type = $5, body = $6
        where promotion_id = $1 and answered_at is null
        """,
        promotion_id,
        now,
        answer.status,
        answer.invocation_error,
        answer.content_type,
        answer.body,
    )


async def take_back_draw(tx: Tx, promotion_id: UUID) -> None:
    """Forget an attempt whose call surely never reached OK."""
    await tx.execute("delete from draws where promotion_id = $1 and answered_at is null", promotion_id)


async def find_abandoned_draws(tx: Tx, limit: int) -> list[tuple[UUID, datetime]]:
    """
    Return draws that were attempted, have no answer, and can get none any more: whoever attempted them is gone.

    The promotions are locked.
    """
    rows = await tx.fetch(
        """
        select draws.promotion_id, draws.attempted_at
        from promotions join draws on draws.promotion_id = promotions.id
        where promotions.state = 'drawing'
            and draws.attempted_at is not null
            and draws.answered_at is null
            and pg_try_advisory_xact_lock($1, draws.attempted_by)
        order by draws.promotion_id
        limit $2
        for update of promotions skip locked
        """,
        _PRESENCE,
        limit,
    )
    return [(row["promotion_id"], row["attempted_at"]) for row in rows]


async def find_answered_draws(tx: Tx, limit: int) -> list[tuple[UUID, datetime, Answer]]:
    """Return draws whose answer is kept and not read yet, with when they were attempted; the promotions are locked."""
    rows = await tx.fetch(
        """
        select promotion_id, attempted_at, draws.status, invocation_error, content_type, body
        from promotions join draws on draws.promotion_id = promotions.id
        where promotions.state = 'drawing' and draws.answered_at is not null
        order by promotion_id
        limit $1
        for update of promotions skip locked
        """,
        limit,
    )
    return [(row[0], row[1], Answer(*row[2:])) for row in rows]


async def find_draw(tx: Tx, promotion_id: UUID) -> DrawRecord | None:
    row = await tx.fetchrow(
        """
        select begun_at, begun_by, attempted_at, answered_at, status, invocation_error, content_type, body
        from draws
        where promotion_id = $1
        """,
        promotion_id,
    )
    if row is None:
        return None
    answer = Answer(*row[4:]) if row["answered_at"] is not None else None
    return DrawRecord(row["begun_at"], row["begun_by"], row["attempted_at"], row["answered_at"], answer)


async def save_drawn(tx: Tx, drawn: Mapping[UUID, Sequence[Drawn]], now: datetime) -> None:
    """Keep who won, and whether they are among our payers."""
    rows = [(id_, each.place, each.uid, each.prize_oks) for id_, winners in drawn.items() for each in winners]
    if rows:
        await tx.execute(
            """
            insert into winners (promotion_id, place, uid, prize_oks, drawn_at, is_payer)
            select
                drawn.*, $5,
                exists (select from payers where promotion_id = drawn.promotion_id and uid = drawn.uid)
            from unnest($1::uuid[], $2::int[], $3::text[], $4::int[]) as drawn (promotion_id, place, uid, prize_oks)
            """,
            *zip(*rows, strict=True),
            now,
        )


async def find_winners(tx: Tx, promotion_id: UUID) -> list[WinnerReport]:
    rows = await tx.fetch(
        """
        select place, uid, prize_oks, name, profile_url, is_payer from winners where promotion_id = $1 order by place
        """,
        promotion_id,
    )
    return [WinnerReport(*row) for row in rows]


async def find_nameless(tx: Tx, limit: int) -> dict[UUID, tuple[str, datetime, list[str]]]:
    """Return promotions whose winners have no names yet, with the application, when they were drawn, and the uids."""
    rows = await tx.fetch(
        """
        select id, application_key, min(drawn_at) as drawn_at, array_agg(uid order by place) as uids
        from winners join promotions on promotions.id = promotion_id
        where named_at is null
        group by id
        order by drawn_at
        limit $1
        """,
        limit,
    )
    return {row["id"]: (row["application_key"], row["drawn_at"], row["uids"]) for row in rows}


async def save_names(tx: Tx, promotion_id: UUID, users: Sequence[UserInfo], now: datetime) -> list[Winner]:
    """Keep names and links; return the winners in the order of the prizes, none where they have names already."""
    rows = await tx.fetch(
        """
        with named as (
            update winners
            set name = named.name, profile_url = named.profile_url, named_at = $5,
                is_payer = exists (select from payers where promotion_id = $1 and uid = winners.uid)
            from unnest($2::text[], $3::text[], $4::text[]) as named (uid, name, profile_url)
            where promotion_id = $1 and winners.uid = named.uid and named_at is null
            returning place, winners.uid, prize_oks, winners.name, winners.profile_url, is_payer
        )
        select uid, prize_oks, name, profile_url, is_payer from named order by place
        """,
        promotion_id,
        *zip(*((user.uid, user.name, user.profile_url) for user in users), strict=True),
        now,
    )
    return [Winner(**row) for row in rows]
