import asyncio
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import asyncpg
from results import Goal, Row, at_most_times
from run import Run
from studio import APPLICATION_KEY

from okgames.clock import SystemClock
from okgames.config import load_config
from okgames.service import Service
from okgames.settings import Settings
from subscription_ledger.service import service

_SIZES: Final = (10_000, 100_000, 1_000_000)
_TICKS: Final = 150
_SECONDS: Final = 3
_IN_ONE_PROCESS_SECONDS: Final = 8

# Each began a day and an hour ago and has had its first reward; the second is due in all of them by now.
_BEGAN: Final = timedelta(days=1, hours=1)
_BEFORE_ANY_IS_DUE: Final = timedelta(hours=2)
_SUBSCRIBE: Final = """
    with life as (
        select (500000000000 + n)::text as uid, md5(n::text)::uuid as fact_id, began, began + interval '7 days' as until
        from generate_series(1, $2::int) as n
        cross join lateral (select $3::timestamptz + n * interval '1 millisecond' as began) as beginning
    ), player as (
        insert into subscription_ledger.players (application_key, uid, version, lapses_due_at)
        select $1, uid, 1, until + interval '2 hours' from life
    ), subscription as (
        insert into subscription_ledger.subscriptions (
            application_key, uid, product, phase, since, until, lapses_at, last_at, last_rank, last_id, tolerance,
            runs_to_end, told_at
        )
        select
            $1, uid, 'apples', 'active', began, until, until + interval '2 hours', began, 1, fact_id,
            interval '2 hours', false, began
        from life
    )
    insert into subscription_ledger.grants (
        fact_id, application_key, uid, product, item, quantity, transaction_id, starts_at, ends_at, every, granted,
        next_at
    )
    select
        fact_id, $1, uid, 'apples', 'apple', 3, uid, began, until, interval '1 day', 1, began + interval '1 day'
    from life
"""


@dataclass(frozen=True)
class _Subscribers:
    """A ledger with so many active subscriptions, each with a daily reward."""

    count: int
    url: str
    service: Service
    connection: asyncpg.Connection

    @classmethod
    async def subscribe(cls, run: Run, count: int) -> "_Subscribers":
        run.progress.doing(f"making {count:,} subscriptions")
        url = await run.stage.database(f"subscribers_{count}")
        settings = Settings(database_url=url, config=run.stage.configuration(None))
        ledger = service(settings, load_config(settings.config), SystemClock())
        await ledger.database.open()
        run.stage.exits.push_async_callback(ledger.database.close)
        connection = await run.stage.connect(url)
        await connection.execute(_SUBSCRIBE, APPLICATION_KEY, count, datetime.now(UTC) - _BEGAN)
        await connection.execute("vacuum analyze")
        return cls(count, url, ledger, connection)

    async def tick(self, ticks: int) -> float:
        """Run the jobs that look for what is due when nothing is, and return the median time in milliseconds."""
        jobs = [job for job in self.service.jobs if job.name in {"lapse", "grant_rewards"}]
        assert len(jobs) == 2, "the ledger's jobs have other names"
        now = datetime.now(UTC) - _BEFORE_ANY_IS_DUE
        took = []
        for _ in range(ticks):
            began = time.perf_counter()
            for job in jobs:
                assert not await job.run(now)
            took.append(time.perf_counter() - began)
        return statistics.median(took) * 1000

    async def rewards(self) -> int:
        return await self.connection.fetchval("select count(*) from subscription_ledger.slots")


async def measure(run: Run) -> None:
    """Measure what a million subscriptions with a daily reward cost, when rewards are due and when none is."""
    all_sizes = [await _Subscribers.subscribe(run, size) for size in _SIZES]
    ticks = await run.interleave(
        "a tick of the ledger's jobs, nothing due",
        "ms",
        {f"with {each.count:,} subscriptions": partial(each.tick, run.count(_TICKS)) for each in all_sizes},
    )
    few, *_, many = ticks.values()
    run.found(
        Row(
            "a tick of the ledger when no reward and no lapse is due, with a million active subscriptions",
            list(ticks.values()),
            [at_most_times(many, 1.25, few)],
            "Flat means that the median with a million is at most a quarter above that with ten thousand. A tick runs"
            " both jobs, a transaction each.",
        )
    )
    await _measure_rewards(run, all_sizes[-1])


async def _measure_rewards(run: Run, subscribers: _Subscribers) -> None:
    stage = run.stage
    ledger = await stage.okgames("run", "subscription-ledger", database_url=subscribers.url)

    async def rate() -> float:
        return await _rate(subscribers, run.seconds(_SECONDS))

    await rate()
    rewards = (await run.interleave("daily rewards while due", "/s", {"one ledger process": rate})).popitem()[1]
    await stage.end(ledger, "a million daily rewards due")
    together, left = await _in_one_process(run, subscribers)
    run.found(
        Row(
            "daily rewards granted per second by one ledger process while a million are due",
            [rewards, rewards.of("everything in one process, webhooks being delivered too", [together])],
            [Goal(rewards.median, 10_000, "/s")],
            "Each with its row, its event in the log and its grant moved on."
            f" {left:,} of a million were still due at the end.",
        )
    )


async def _in_one_process(run: Run, subscribers: _Subscribers) -> tuple[float, int]:
    stage = run.stage
    run.progress.doing("daily rewards while due, everything in one process")
    game = await stage.serve("game_server.py")
    system = await stage.okgames("up", database_url=subscribers.url, game=game)
    found = await _rate(subscribers, run.seconds(_IN_ONE_PROCESS_SECONDS))
    await stage.end(system, "a million daily rewards due")
    due = "select count(*) from subscription_ledger.grants where next_at <= now()"
    return found, await subscribers.connection.fetchval(due)


async def _rate(subscribers: _Subscribers, seconds: float) -> float:
    before, began = await subscribers.rewards(), time.perf_counter()
    await asyncio.sleep(seconds)
    return (await subscribers.rewards() - before) / (time.perf_counter() - began)
