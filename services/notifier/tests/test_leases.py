import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta

import pytest
from notifier_world import NOW, Game, Notifier, reward, studio_of

from notifier.domain.delivery import Answer, Delivered, EndpointGone, Outcome
from notifier.domain.endpoint import Endpoint
from notifier.domain.lane import Attempt, Lane, Release
from notifier.handlers import on_entitlements
from notifier.jobs import courier
from notifier.store.deliveries import load_deliveries
from notifier.store.endpoints import save_endpoints
from notifier.store.lanes import claim_lanes, free_lanes_of_the_dead
from okgames.clock import SystemClock
from okgames.database import Database, Tx
from okgames.outbox import append
from okgames.retry import Exhausted, RetryAt
from okgames.testing import wait_until

LATER = NOW + timedelta(days=999)
ANSWERS: dict[type[Outcome], Answer] = {
    Delivered: Answer(200, 1),
    RetryAt: Answer(500, 1),
    Exhausted: Answer(500, 1),
    EndpointGone: Answer(410, 1),
}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "notifier")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def endpoint(database: Database) -> Endpoint:
    """An endpoint that has two deliveries to one player before it."""
    endpoint = Game().endpoint(url="http://127.0.0.1:9/")
    async with database.transaction() as tx:
        await save_endpoints(tx, [endpoint])
        await on_entitlements(SystemClock(), studio_of(endpoint), tx, [reward("1", 1), reward("1", 2)])
    return endpoint


async def claim(database: Database, endpoint: Endpoint, lease: timedelta) -> list[Lane]:
    async with database.transaction() as tx:
        return await claim_lanes(tx, {endpoint.id: 5}, LATER, lease, tx.get_server_pid())


async def record(database: Database, endpoint: Endpoint, lane: Lane, *attempts: Attempt) -> None:
    async with database.transaction() as tx:
        events, _ = await courier._save(
            tx, {endpoint.id: endpoint}, {lane.key: lane.leased_until}, attempts, [Release(lane, NOW)]
        )
        await append(tx, *events)


def first_attempt(lane: Lane, outcome: Outcome) -> Attempt:
    return Attempt(lane, lane.deliveries[0], lane.leased_until, ANSWERS[type(outcome)], outcome)


async def states_and_attempts(database: Database) -> list[tuple[str, int]]:
    async with database.connection() as connection:
        rows = await connection.fetch("select id from deliveries order by position")
        deliveries = await load_deliveries(connection, [row["id"] for row in rows])
    return [(delivery.state, len(delivery.attempts)) for delivery in deliveries]


async def test_a_leased_lane_is_nobody_elses_until_the_lease_runs_out(database: Database, endpoint: Endpoint) -> None:
    (lane,) = await claim(database, endpoint, timedelta(seconds=0.2))

    assert 2 == len(lane.deliveries)
    assert [] == await claim(database, endpoint, timedelta(minutes=1))
    taken_over: list[Lane] = []
    while not taken_over:
        taken_over = await claim(database, endpoint, timedelta(minutes=1))
    assert lane.deliveries == taken_over[0].deliveries
    assert lane.leased_until < taken_over[0].leased_until


async def test_a_start_frees_what_a_dead_process_has_leased_and_nothing_else(
    database: Database, endpoint: Endpoint
) -> None:
    process = await database.connect()
    async with process.transaction():
        assert await claim_lanes(process, {endpoint.id: 5}, LATER, timedelta(minutes=1), process.get_server_pid())
    async with database.connection() as connection:
        await free_lanes_of_the_dead(connection)
    assert [] == await claim(database, endpoint, timedelta(minutes=1))
    process.terminate()

    async def is_free() -> bool:
        async with database.connection() as connection:
            await free_lanes_of_the_dead(connection)
        return bool(await claim(database, endpoint, timedelta(minutes=1)))

    await wait_until(is_free)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Delivered(), [("delivered", 1), ("pending", 0)]),
        (RetryAt(LATER), [("pending", 1), ("pending", 0)]),
        (Exhausted(), [("pending", 1), ("pending", 0)]),
        (EndpointGone(), [("pending", 1), ("pending", 0)]),
    ],
)
async def test_who_has_lost_the_lease_can_only_tell_that_the_game_accepted(
    database: Database, endpoint: Endpoint, outcome: Outcome, expected: list[tuple[str, int]]
) -> None:
    (lost,) = await claim(database, endpoint, timedelta())
    (held,) = await claim(database, endpoint, timedelta(minutes=1))
    await record(database, endpoint, lost, first_attempt(lost, outcome))

    assert expected == await states_and_attempts(database)
    async with database.connection() as connection:
        assert held.leased_until == await connection.fetchval("select leased_until from lanes")
    await record(database, endpoint, held, first_attempt(held, Delivered()))
    assert [("delivered", 2), ("pending", 0)] == await states_and_attempts(database)
    async with database.connection() as connection:
        assert ["WebhookDelivered"] == [
            row["type"]
            for row in await connection.fetch("select type from event_log.events where type <> 'EndpointPaused'")
        ]


async def test_a_lane_is_kept_for_what_comes_while_it_is_being_emptied(database: Database, endpoint: Endpoint) -> None:
    (lane,) = await claim(database, endpoint, timedelta(minutes=1))
    attempts = [Attempt(lane, delivery, NOW, ANSWERS[Delivered], Delivered()) for delivery in lane.deliveries]
    async with asyncio.TaskGroup() as group, database.transaction() as tx:
        await on_entitlements(SystemClock(), studio_of(endpoint), tx, [reward("1", 3)])
        group.create_task(record(database, endpoint, lane, *attempts))
        await wait_until(lambda: somebody_waits(database))
    (again,) = await claim(database, endpoint, timedelta(minutes=1))

    assert 1 == len(again.deliveries)


async def somebody_waits(database: Database) -> bool:
    async with database.connection() as connection:
        return bool(await connection.fetchval("select exists (select from pg_locks where not granted)"))


async def test_what_could_not_be_recorded_is_recorded_when_the_database_is_back(game: Game, at_work: Notifier) -> None:
    connection = await at_work.database.connect()
    await at_work.tell(*(reward(str(uid), number) for number in range(20) for uid in range(10)))
    for seen in (10, 60, 110):
        await wait_until(lambda seen=seen: len(game.seen) >= seen)
        await connection.execute(
            """
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()
            """
        )
    await wait_until(lambda: len(game.seen) >= 200)
    await wait_until(lambda: is_empty(connection, "lanes"))
    await connection.close()

    for uid in range(10):
        assert [str(number) for number in range(20)] == game.rewards_of(str(uid))
    assert ["WebhookDelivered"] * 200 == await at_work.events()
    assert 200 == await at_work.attempts_made()


async def is_empty(connection: Tx, table: str) -> bool:
    return not await connection.fetchval(f"select exists (select from {table})")


async def test_a_plan_that_was_made_while_nothing_was_pending_reads_only_what_is_asked_for_after_a_storm(
    database: Database,
) -> None:
    endpoint = Game().endpoint(url="http://127.0.0.1:9/")
    connection = await database.connect()
    await save_endpoints(connection, [endpoint])

    async def rows_read() -> int:
        read: int = await connection.fetchval("select sum(idx_tup_fetch)::int from pg_stat_xact_user_tables")
        return read

    async def deliver_five() -> int:
        """Return how many rows were read on the way."""
        async with connection.transaction():
            before = await rows_read()
            lanes = await claim_lanes(connection, {endpoint.id: 5}, LATER, timedelta(minutes=1), 1)
            assert 5 == len(lanes)
            leases = {lane.key: lane.leased_until for lane in lanes}
            attempts = [first_attempt(lane, Delivered()) for lane in lanes]
            releases = [Release(lane, NOW) for lane in lanes]
            await courier._save(connection, {endpoint.id: endpoint}, leases, attempts, releases)
            return await rows_read() - before

    async def one_by_one(rounds: range) -> int:
        usual = 0
        for each in rounds:
            await arrive(connection, endpoint, range(5 * each, 5 * each + 5))
            usual = await deliver_five()
        return usual

    await one_by_one(range(50))
    await connection.execute("vacuum analyze")
    # After five times Postgres keeps its plan.
    usual = await one_by_one(range(50, 56))
    await arrive(connection, endpoint, range(1000, 3000))
    after_a_storm = await deliver_five()
    connection.terminate()

    assert after_a_storm <= 2 * usual


async def arrive(connection: Tx, endpoint: Endpoint, players: Iterable[int]) -> None:
    async with connection.transaction():
        rewards = [reward(str(player), 1) for player in players]
        await on_entitlements(SystemClock(), studio_of(endpoint), connection, rewards)
