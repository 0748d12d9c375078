from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from promo_world import APP, DAY, PLANNED, Scheduler, app, config, msk, payment

from okgames.catalogue import Config
from okgames.database import Database, Tx
from promo_scheduler.domain import actions
from promo_scheduler.jobs import Ticking
from promo_scheduler.store.promotions import add_promotion

STATEMENTS_AT_MOST = 12
"""For one transaction of a tick, begin and commit included, however many promotions it takes."""


class Counting(Database):
    """Count the statements that are sent."""

    statements = 0

    @asynccontextmanager
    async def connection(self, *, timeout: float = 5.0) -> AsyncIterator[Tx]:
        def count(_record: object) -> None:
            self.statements += 1

        async with super().connection(timeout=timeout) as connection:
            connection.add_query_logger(count)
            try:
                yield connection
            finally:
                connection.remove_query_logger(count)


@pytest.fixture
async def counting(database_url: str) -> AsyncIterator[Counting]:
    database = Counting(database_url, "promo_scheduler")
    await database.open()
    yield database
    await database.close()


async def multiply(database: Database, count: int) -> Config:
    """Plan an approved promotion for each of `count` applications on the same day: one by hand, the others copied."""
    of = config(app())
    change = actions.plan(of.apps[0], DAY, "Anna", PLANNED, 0)
    async with database.transaction() as tx:
        await add_promotion(tx, change)
        await tx.execute("update promotions set state = 'approved', fund_oks = 1000, is_automatic = true")
        await tx.execute(
            """
            insert into promotions (
                id, application_key, game, name, day, opens_at, closes_at, prizes_oks, is_automatic, margin, planned_at,
                planned_by, state, fund_oks, next_at
            )
            select md5(n::text)::uuid, n::text, game, name, day, opens_at, closes_at, prizes_oks, is_automatic, margin,
                planned_at, planned_by, state, fund_oks, next_at
            from promotions cross join generate_series(2, $1) as n
            """,
            count,
        )
        await tx.execute(
            """
            insert into steps (promotion_id, step, not_before, due_at, state, done_at, reminded)
            select md5(n::text)::uuid, step, not_before, due_at, state, done_at, reminded
            from steps cross join generate_series(2, $1) as n
            """,
            count,
        )
    return of


async def tick(counting: Counting, of: Config, at: object) -> tuple[int, int]:
    """Run the job until nothing is due; return how many transactions and how many statements that took."""
    counting.statements, transactions = 0, 1
    while await Ticking(counting, of).tick(at):
        transactions += 1
    return transactions, counting.statements


@pytest.mark.timeout(600)
async def test_thousands_of_promotions_on_a_day_cost_a_bounded_number_of_statements(
    counting: Counting, soak: bool
) -> None:
    count = 10_000 if soak else 2_000
    of = await multiply(counting, count)
    for at in (msk(3), msk(3, 12, 0, 1), msk(4)):
        transactions, statements = await tick(counting, of, at)
        assert transactions <= count // 500 + 1
        assert statements <= transactions * STATEMENTS_AT_MOST, at

    async with counting.connection() as connection:
        told = await connection.fetchval("select count(*) from event_log.events where type = 'PromotionClosed'")
        states = await connection.fetch("select distinct state from promotions")
    assert count == told
    assert ["closed"] == [row["state"] for row in states]


async def test_a_tick_with_nothing_due_costs_the_same_with_one_promotion_and_with_many(counting: Counting) -> None:
    of = await multiply(counting, 2_000)
    await tick(counting, of, PLANNED)

    assert (1, True) == ((found := await tick(counting, of, PLANNED))[0], found[1] <= STATEMENTS_AT_MOST)


async def test_payments_of_many_games_are_counted_with_a_bounded_number_of_statements(
    counting: Counting, scheduler: Scheduler
) -> None:
    await multiply(counting, 1_000)
    scheduler.database, counting.statements = counting, 0
    events = [payment("1", n, msk(3, 1), application_key=str(n)) for n in range(2, 1_001)]
    await scheduler.learn(*events, payment("1", 1, msk(3, 1), application_key=APP))

    assert counting.statements <= STATEMENTS_AT_MOST
    async with counting.connection() as connection:
        assert 1_000 == await connection.fetchval("select sum(payers) from promotions")
