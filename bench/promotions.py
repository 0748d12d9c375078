import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import asyncpg
from results import Row, at_most_times
from run import Run
from studio import APPLICATION_KEY

from okgames.clock import SystemClock
from okgames.config import load_config
from okgames.service import Service
from okgames.settings import Settings
from promo_scheduler.service import service

_SIZES: Final = (100, 1_000, 10_000)

# Each opened at the turn of an hour long ago: a tick has to open it, to tell the game, and to note all that was missed.
_PLAN: Final = """
    with planned as (
        insert into promo_scheduler.promotions (
            id, application_key, game, name, day, opens_at, closes_at, prizes_oks, is_automatic, margin, planned_at,
            planned_by, state, next_at
        )
        select
            md5(n::text)::uuid, $1 || n, 'Backgammon', 'Backgammon', $3::timestamptz::date, $3, $3 + interval '1 day',
            '{1000}', false, interval '15 minutes', $3, 'Anna', 'announced', $3
        from generate_series(1, $2::int) as n
        returning id
    )
    insert into promo_scheduler.steps (promotion_id, step, not_before, due_at, state, reminded)
    select id, step, $3, $3 + interval '2 days', 'open', 0
    from planned cross join unnest($4::text[]) as step
"""
_AGAIN: Final = """
    update promo_scheduler.promotions set state = 'announced', next_at = opens_at;
    truncate event_log.events
"""
_STEPS: Final = (
    "request",
    "approval",
    "prize_fund",
    "conditions_post",
    "rehearsal",
    "notification",
    "screenshot",
    "placement",
    "draw",
    "winner_post",
)


@dataclass(frozen=True)
class _Planned:
    """A scheduler with so many promotions that open at the same time, one of each application."""

    count: int
    opens_at: datetime
    service: Service
    connection: asyncpg.Connection

    @classmethod
    async def plan(cls, run: Run, count: int) -> "_Planned":
        run.progress.doing(f"planning {count:,} promotions")
        url = await run.stage.database(f"promotions_{count}")
        settings = Settings(database_url=url, config=run.stage.configuration(None))
        scheduler = service(settings, load_config(settings.config), SystemClock())
        await scheduler.database.open()
        run.stage.exits.push_async_callback(scheduler.database.close)
        connection = await run.stage.connect(url)
        opens_at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
        await connection.execute(_PLAN, APPLICATION_KEY, count, opens_at, list(_STEPS))
        await connection.execute("vacuum analyze")
        return cls(count, opens_at, scheduler, connection)

    async def open_all(self, rounds: int) -> float:
        """Open all promotions, again and again; return the median microseconds for each of them."""
        [tick] = [job for job in self.service.jobs if job.name == "tick"]
        took = []
        for _ in range(rounds):
            await self.connection.execute(_AGAIN)
            began = time.perf_counter()
            while await tick.run(self.opens_at):
                pass
            took.append(time.perf_counter() - began)
        opened = await self.connection.fetchval("select count(*) from promo_scheduler.promotions where state = 'open'")
        assert opened == self.count, "not all promotions were opened"
        return statistics.median(took) * 1_000_000 / self.count


async def measure(run: Run) -> None:
    """Measure what a promotion costs the scheduler when many fall due at the same time."""
    all_sizes = [await _Planned.plan(run, size) for size in _SIZES]
    costs = await run.interleave(
        "opening promotions that fall due together",
        "µs",
        {
            f"each of {each.count:,}": partial(each.open_all, max(1, run.count(300 // each.count + 2)))
            for each in all_sizes
        },
    )
    few, *_, many = costs.values()
    run.found(
        Row(
            "what it costs to open a promotion, with ten thousand applications that have one on the same day",
            list(costs.values()),
            [at_most_times(many, 1.25, few)],
            "Flat means that each of ten thousand costs at most a quarter more than each of a hundred. A tick takes 500"
            " at a time, with the same statements for one as for all of them; events included.",
        )
    )
