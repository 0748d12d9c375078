import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

from ledger import APP, Ledger, event_of, events_of
from subscription_lives import DAY, HOUR, START, cancellation, payment, trial

from okgames.events import Topic
from okgames.testing import wait_until
from subscription_ledger.domain.coverage import coverages
from subscription_ledger.domain.entry import Payment, entry_of
from subscription_ledger.domain.rewards import SLOTS_AT_ONCE
from subscription_ledger.domain.subscription import Fact, Terms, fold
from subscription_ledger.jobs import grant_rewards, lapse
from subscription_ledger.store import players, rewards

STOP = Terms(2 * HOUR, runs_to_end=False)
FOREVER = START + 5000 * DAY


def life(chance: random.Random, uid: str) -> list[Payment]:
    at, facts = timedelta(), []
    for number in range(chance.randint(3, 8)):
        move = chance.choice([trial, payment, payment, payment, cancellation])
        facts.append(move(number, at))
        at += chance.choice([DAY, 3 * DAY, 7 * DAY, 7 * DAY + HOUR, 9 * DAY])
    return events_of(facts, uid)


async def test_handlers_and_jobs_side_by_side_give_no_version_twice_and_no_reward_twice_or_never(
    ledger: Ledger,
) -> None:
    chance = random.Random(7)
    lives = {str(uid): life(chance, str(uid)) for uid in range(60)}
    members = [[event for uid in range(first, 60, 4) for event in lives[str(uid)]] for first in range(4)]
    for events in members:
        # Mostly in order, as OK sends them, and now and then not.
        events.sort(key=lambda event: event.occurred_at + chance.choice([0, 0, 0, 5]) * DAY)
    done = asyncio.Event()

    async def handle(events: list[Payment]) -> None:
        while events:
            batch = [events.pop(0) for _ in range(min(5, len(events)))]
            ledger.clock.time = max(ledger.clock.time, *(event.occurred_at for event in batch))
            await ledger.learn(*batch)

    async def run(job: object) -> None:
        while not done.is_set():
            await job(ledger.database, ledger.clock.time)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for job in (lapse, lapse, grant_rewards, grant_rewards):
            group.create_task(run(job))
        async with asyncio.TaskGroup() as handlers:
            for events in members:
                handlers.create_task(handle(events))
        done.set()
    await ledger.run_jobs(FOREVER)

    await must_have_told_in_order(ledger)
    for uid, events in lives.items():
        facts = [fact for event in events if (fact := entry_of(event, START).fact) is not None]
        await must_be_settled(ledger, uid, facts)


async def must_have_told_in_order(ledger: Ledger) -> None:
    told = await ledger.rows(
        """
        select key, id, type, (data::json ->> 'version')::int as version from event_log.events
        where topic = $1 order by position
        """,
        Topic.ENTITLEMENTS,
    )
    assert len(told) == len({row["id"] for row in told})
    versions = defaultdict(list)
    for row in told:
        if row["version"] is not None:
            versions[row["key"]].append(row["version"])
    for found in versions.values():
        assert list(range(1, len(found) + 1)) == found
    rewarded = await ledger.value("select count(*) from slots")
    assert rewarded == sum(row["type"] == "RewardGranted" for row in told)
    assert rewarded == await ledger.value("select sum(granted) from grants")


async def must_be_settled(ledger: Ledger, uid: str, facts: Sequence[Fact]) -> None:
    async with ledger.database.connection() as connection:
        player = await players.find_player(connection, (APP, uid))
    assert player is not None
    assert fold(facts, STOP) == player.standings["apples"].subscription
    assert player.lapses_due_at is None
    granted = {row["fact_id"]: row["granted"] for row in await ledger.rows("select * from grants where uid = $1", uid)}
    for fact_id, covered in coverages(facts, STOP).items():
        days = sum(covered.starts_at + number * DAY < covered.ends_at for number in range(30))
        assert days <= granted[fact_id]


async def test_a_job_leaves_out_what_another_copy_works_on(ledger: Ledger) -> None:
    await ledger.learn(*(event_of(trial(1, 0 * DAY), uid) for uid in ("1", "2")))
    ledger.clock.time = START + 4 * DAY
    async with ledger.database.transaction() as tx:
        [grant] = await rewards.claim_due_grants(tx, ledger.clock.time, 1)
        [player] = await players.claim_lapsing_players(tx, ledger.clock.time, 1)
        await ledger.run_jobs()
        assert 3 == await ledger.value("select granted from grants where uid <> $1", grant.uid)
        assert 2 == await ledger.value("select version from players where uid <> $1", player.uid)
        assert 1 == await ledger.value("select granted from grants where uid = $1", grant.uid)

    await ledger.run_jobs()
    assert [3, 3] == [row["granted"] for row in await ledger.rows("select granted from grants")]


async def test_a_cancellation_waits_for_a_job_that_grants_and_counts_what_it_gave(ledger: Ledger) -> None:
    await ledger.learn(*events_of([payment(1, 0 * DAY)], "1"))
    ledger.clock.time = START + 2 * DAY
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tx = await stack.enter_async_context(ledger.database.transaction())
        [grant] = await rewards.claim_due_grants(tx, ledger.clock.time, 10)
        cancelling = group.create_task(ledger.learn(*events_of([cancellation(2, 1 * DAY + HOUR)], "1")))
        await wait_until(lambda: is_waiting(ledger))
        taken, due = grant.take_due(ledger.clock.time, SLOTS_AT_ONCE)
        await rewards.save_granted(tx, [taken])
        await rewards.save_slots(tx, due, ledger.clock.time)
        assert not cancelling.done()

    [row] = await ledger.rows("select granted, next_at from grants")
    assert (3, None) == tuple(row)
    await ledger.run_jobs(FOREVER)
    assert 3 == await ledger.value("select count(*) from slots")


async def is_waiting(ledger: Ledger) -> bool:
    return bool(
        await ledger.value(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
    )


async def test_more_rewards_than_are_given_in_one_transaction_are_given_in_several(ledger: Ledger) -> None:
    ledger.clock.time = START + 30 * DAY
    await ledger.learn(*events_of([payment(1, 0 * DAY, 30 * DAY)], "1"))
    assert SLOTS_AT_ONCE == await ledger.value("select count(*) from slots")

    while await grant_rewards(ledger.database, ledger.clock.time):
        pass
    assert 30 == await ledger.value("select count(*) from slots")
    assert 1 + (30 - 1) // SLOTS_AT_ONCE == await ledger.value("select count(distinct xmin::text) from slots")


async def test_jobs_with_nothing_due_change_nothing(ledger: Ledger) -> None:
    await ledger.learn(*events_of([trial(1, 0 * DAY)], "1"))
    before = await ledger.value("select count(*) from event_log.events")

    assert not await lapse(ledger.database, ledger.clock.time)
    assert not await grant_rewards(ledger.database, ledger.clock.time)
    assert before == await ledger.value("select count(*) from event_log.events")
