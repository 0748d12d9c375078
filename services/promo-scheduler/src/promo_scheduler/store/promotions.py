from collections.abc import Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

import asyncpg

from okgames.database import Tx
from okgames.events import PromotionStep
from promo_scheduler.domain.promotion import Change, Promotion, State, Step, StepState, Takings
from promo_scheduler.domain.timing import next_at
from promo_scheduler.store.evidence import save_evidence


class DayTaken(Exception):
    """The application has a promotion on this day already."""


async def claim_due_promotions(tx: Tx, now: datetime, limit: int) -> list[Promotion]:
    """Lock and return promotions of which the time will make something by now; others' are passed over."""
    rows = await tx.fetch(
        "select * from promotions where next_at <= $1 order by next_at limit $2 for update skip locked",
        now,
        limit,
    )
    return await _with_steps(tx, rows)


async def lock_promotions(tx: Tx, ids: Sequence[UUID]) -> dict[UUID, Promotion]:
    """Lock and return promotions by their ids; those that are not there are left out."""
    rows = await tx.fetch("select * from promotions where id = any ($1::uuid[]) order by id for update", list(ids))
    return {promotion.id: promotion for promotion in await _with_steps(tx, rows)}


async def find_promotions(
    tx: Tx, application_key: str | None, state: State | None, after: tuple[date, UUID] | None, limit: int
) -> list[Promotion]:
    """Return promotions by day, the earliest first, from the one that follows `after`."""
    rows = await tx.fetch(
        """
        select *
        from promotions
        where ($1::text is null or application_key = $1)
            and ($2::text is null or state = $2)
            and ($3::date is null or (day, id) > ($3, $4::uuid))
        order by day, id
        limit $5
        """,
        application_key,
        state,
        *(after or (None, None)),
        limit,
    )
    return await _with_steps(tx, rows)


async def find_promotion(tx: Tx, promotion_id: UUID) -> Promotion | None:
    found = await _with_steps(tx, await tx.fetch("select * from promotions where id = $1", promotion_id))
    return found[0] if found else None


async def find_days(tx: Tx, application_key: str) -> list[tuple[date, State]]:
    """Return the days of an application's promotions, those called off too."""
    rows = await tx.fetch("select day, state from promotions where application_key = $1", application_key)
    return [(row["day"], State(row["state"])) for row in rows]


async def _with_steps(tx: Tx, rows: Sequence[asyncpg.Record]) -> list[Promotion]:
    if not rows:
        return []
    steps: dict[UUID, dict[PromotionStep, Step]] = {row["id"]: {} for row in rows}
    for row in await tx.fetch(
        """
        select promotion_id, step, not_before, due_at, state, done_at, reminded
        from steps
        where promotion_id = any ($1::uuid[])
        order by due_at, not_before, step
        """,
        list(steps),
    ):
        steps[row["promotion_id"]][PromotionStep(row["step"])] = Step(
            row["not_before"], row["due_at"], StepState(row["state"]), row["done_at"], row["reminded"]
        )
    return [_promotion(row, steps[row["id"]]) for row in rows]


def _promotion(row: asyncpg.Record, steps: Mapping[PromotionStep, Step]) -> Promotion:
    fields = {**row, "state": State(row["state"]), "prizes_oks": tuple(row["prizes_oks"]), "steps": steps}
    del fields["next_at"]
    takings = Takings(fields.pop("payers"), fields.pop("payments"), fields.pop("amount_oks"))
    return Promotion(**fields, takings=takings)


async def add_promotion(tx: Tx, change: Change) -> None:
    """Keep a promotion that was planned just now; raise DayTaken."""
    promotion = change.promotion
    try:
        await tx.execute(
            """
            insert into promotions (
                id, application_key, game, name, day, opens_at, closes_at, prizes_oks, is_automatic, margin, planned_at,
                planned_by, state, next_at
            )
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
            """,
            promotion.id,
            promotion.application_key,
            promotion.game,
            promotion.name,
            promotion.day,
            promotion.opens_at,
            promotion.closes_at,
            promotion.prizes_oks,
            promotion.is_automatic,
            promotion.margin,
            promotion.planned_at,
            promotion.planned_by,
            promotion.state,
            next_at(promotion),
        )
    except asyncpg.UniqueViolationError as error:
        raise DayTaken(promotion.day) from error
    await tx.execute(
        """
        insert into steps (promotion_id, step, not_before, due_at, state, done_at, reminded)
        select $1, *
        from unnest($2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::timestamptz[], $7::int[])
        """,
        promotion.id,
        *zip(*(_step_row(name, step) for name, step in promotion.steps.items()), strict=True),
    )


async def save_changes(tx: Tx, before: Mapping[UUID, Promotion], changes: Sequence[Change]) -> None:
    """Keep what became of promotions that are locked; of their steps, those that differ from before."""
    if not changes:
        return
    promotions = {change.promotion.id: change.promotion for change in changes}
    await tx.execute(
        """
        update promotions
        set state = changed.state, reason = changed.reason, fund_oks = changed.fund_oks, draws_at = changed.draws_at,
            next_at = changed.next_at
        from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[])
            as changed (id, state, reason, fund_oks, draws_at, next_at)
        where promotions.id = changed.id
        """,
        *zip(*(_promotion_row(each) for each in promotions.values()), strict=True),
    )
    steps = [
        (each.id, *_step_row(name, step))
        for each in promotions.values()
        for name, step in each.steps.items()
        if step != before[each.id].steps[name]
    ]
    if steps:
        await tx.execute(
            """
            update steps
            set state = changed.state, done_at = changed.done_at, reminded = changed.reminded
            from unnest(
                $1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::timestamptz[], $7::int[]
            ) as changed (promotion_id, step, not_before, due_at, state, done_at, reminded)
            where steps.promotion_id = changed.promotion_id and steps.step = changed.step
            """,
            *zip(*steps, strict=True),
        )
    await save_evidence(tx, [evidence for change in changes for evidence in change.evidence])


def _promotion_row(promotion: Promotion) -> tuple[object, ...]:
    return (
        promotion.id,
        promotion.state,
        promotion.reason,
        promotion.fund_oks,
        promotion.draws_at,
        next_at(promotion),
    )


def _step_row(name: PromotionStep, step: Step) -> tuple[object, ...]:
    return name, step.not_before, step.due_at, step.state, step.done_at, step.reminded
