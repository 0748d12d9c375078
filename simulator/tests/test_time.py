import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from simulator_world import APPLICATION_KEY, START, Simulator, failing, simulating

from okgames.clock import MovableClock, SystemClock
from okgames.database import Database
from okgames.events import PaymentReceived, derive_id
from okgames.outbox import append
from okgames.testing import wait_until
from simulator.domain.attempts import Policy


async def test_with_the_system_clock_renewals_follow_real_time() -> None:
    async with simulating(SystemClock()) as ok:
        await ok.player("subscribe", "brief")
        await wait_until(lambda: len(ok.game.calls) >= 3)

    first, *_, last = (datetime.fromisoformat(time) for _, time in ok.game.story())
    assert timedelta(seconds=2) <= last - first


async def test_with_the_system_clock_ok_waits_between_its_attempts() -> None:
    pause = timedelta(seconds=0.2)
    async with simulating(SystemClock(), policy=Policy(interval=pause)) as ok:
        ok.game.answers = [failing(500), failing(500)]
        concluded = await ok.player("purchase", "gold_100")
        ended_at = datetime.now(UTC)

    assert "completed" == concluded["status"]
    assert ended_at - datetime.fromisoformat(concluded["at"]) >= 2 * pause


async def test_the_system_clock_cannot_be_moved() -> None:
    async with simulating(SystemClock()) as ok:
        problem = await ok.post("clock", {"advance": "1d"}, status=409)

    assert "The clock is the system's" == problem["title"]


async def test_what_falls_due_while_nobody_moves_the_clock_is_done_all_the_same(
    ok: Simulator, clock: MovableClock
) -> None:
    await ok.player("subscribe", "vip")
    await clock.move_to(START + timedelta(days=8))

    await wait_until(lambda: len(ok.game.calls) == 2)


async def test_the_clock_waits_for_the_readers_of_payments(
    ok: Simulator, clock: MovableClock, database: Database
) -> None:
    await append_payment(database, 1)
    await read_up_to(database, 0)
    advancing = asyncio.ensure_future(ok.advance("1d"))
    await asyncio.wait([advancing], timeout=0.3)
    assert not advancing.done()
    assert await clock.now() < START + timedelta(hours=1)

    await read_up_to(database, 1)

    await asyncio.wait_for(advancing, 0.5)


async def test_the_clock_waits_once_for_a_reader_that_stands_still(ok: Simulator, database: Database) -> None:
    await append_payment(database, 1)
    await read_up_to(database, 0)
    await ok.advance("1d")

    await asyncio.wait_for(ok.advance("1d"), 0.5)


async def test_ok_goes_on_while_the_clock_is_out_of_reach(clock: MovableClock) -> None:
    policy = Policy(interval=timedelta(seconds=0.1))
    async with simulating(clock, policy=policy) as ok:
        await ok.player("subscribe", "vip")
        await clock.database.close()
        ok.game.answers = [failing(500)]
        concluded = await ok.player("purchase", "gold_100")
        problem = await ok.post("clock", {"advance": "7d"}, status=503)
        await clock.database.open()
        moved = await ok.advance("7d")

    assert ("completed", 2) == (concluded["status"], len(concluded["attempts"]))
    assert concluded["at"].startswith("2026-03-02T07:00:0")
    assert "Service unavailable" == problem["title"]
    assert 1 == moved["fired"]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "event_log")
    await database.open()
    yield database
    await database.close()


async def append_payment(database: Database, number: int) -> None:
    async with database.transaction() as tx:
        await append(
            tx,
            PaymentReceived(
                id=derive_id("test", number),
                occurred_at=START,
                application_key=APPLICATION_KEY,
                uid="1001",
                product="gold_100",
                transaction_id=str(number),
                amount_oks=50,
            ),
        )


async def read_up_to(database: Database, position: int) -> None:
    async with database.connection() as connection:
        await connection.execute(
            """
            insert into event_log.cursors (reader_group, topic, partition, position)
            select 'ledger', topic, partition, least(position, $1::bigint) from event_log.events
            on conflict (topic, partition, reader_group) do update set position = excluded.position
            """,
            position,
        )
