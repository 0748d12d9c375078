"""What must hold in a cluster of three brokers and two copies of each service when any of them dies, under load."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from copies import Copy
from kafka_world import fresh_address
from load import Load, load
from world import World, cluster

from okgames.kafka_brokers import Brokers, count_brokers
from okgames.testing import DatabaseTemplates, wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1800)]

SESSION = 10.0
"""Seconds after which the group gives up a member that is silent."""


@pytest.fixture(scope="module")
def database_url(database_templates: DatabaseTemplates) -> Iterator[str]:
    with database_templates.empty() as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def studio(brokers: Brokers, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = Path(tmp_path_factory.mktemp("cluster"))
    async with cluster(directory, database_url=database_url, kafka=fresh_address(brokers.servers)) as one:
        yield one


async def test_while_all_brokers_are_down_callbacks_are_answered_and_everything_catches_up_afterwards(
    studio: World, brokers: Brokers, soak: bool
) -> None:
    async with load(studio) as players:
        for number in brokers.numbers:
            brokers.kill(number)
        before = len(players.concluded)
        await asyncio.sleep(60 if soak else 5)
        # What they have taken from the table is nowhere but in their memory.
        await asyncio.gather(*(kill_and_start(studio, copy) for copy in studio.copies["forwarder"]))
        # Nor is there anybody to say goodbye to.
        await restart(studio, [studio.copies[each][0] for each in ("forwarder", "notifier", "subscription-ledger")])
        await players.goes_on()
        answered = players.concluded[before:]
        for number in brokers.numbers:
            brokers.start(number)
        await asyncio.to_thread(brokers.wait_until_ready)

    assert {"completed"} == {each["status"] for each in answered}
    assert [] == players.failed_attempts


async def kill_and_start(studio: World, copy: Copy, after: float = 0.0) -> None:
    await copy.kill()
    await asyncio.sleep(after)
    await copy.start(studio.http)


async def restart(studio: World, copies: Sequence[Copy]) -> None:
    """Ask copies to end, which they must do in order, and start them again."""
    assert {0} == set(await asyncio.gather(*(copy.stop() for copy in copies)))
    await asyncio.gather(*(copy.start(studio.http) for copy in copies))


async def test_a_copy_of_each_service_may_be_killed_again_and_again(studio: World, soak: bool) -> None:
    async def kill(service: str, players: Load) -> None:
        for turn in range(20 if soak else 2):
            await kill_and_start(studio, studio.copies[service][turn % 2], after=players.chance.random())
            await players.goes_on()

    async with load(studio) as players:
        await asyncio.gather(*(kill(service, players) for service in ("subscription-ledger", "notifier", "forwarder")))


async def test_gateways_may_be_killed_again_and_again(studio: World, soak: bool) -> None:
    async with load(studio) as players:
        for turn in range(20 if soak else 2):
            copy = studio.copies["callback-gateway"][turn % 2]
            await copy.kill()
            await players.goes_on()
            await copy.start(studio.http)


async def test_consumers_that_are_frozen_past_their_session_and_woken_again_do_no_harm(
    studio: World, soak: bool
) -> None:
    async with load(studio) as players:
        for turn in range(4 if soak else 1):
            copies = [studio.copies[service][turn % 2] for service in ("subscription-ledger", "notifier")]
            for copy in copies:
                copy.freeze()
            await asyncio.sleep(SESSION + 3)
            for copy in copies:
                copy.thaw()
            await players.goes_on()


async def test_forwarders_that_are_killed_between_kafkas_acknowledgement_and_their_mark_lose_nothing(
    studio: World, database_url: str, soak: bool
) -> None:
    async with load(studio) as players:
        for _ in range(10 if soak else 1):
            marking = await asyncpg.connect(database_url)
            async with marking.transaction():
                await marking.execute("select from event_log.cursors where reader_group = 'forwarder' for update")
                await wait_until(lambda: waits_for_a_lock(database_url), timeout=30)
                for copy in studio.copies["forwarder"]:
                    await copy.kill()
            await marking.close()
            await players.goes_on()
            for copy in studio.copies["forwarder"]:
                await copy.start(studio.http)


async def waits_for_a_lock(database_url: str) -> bool:
    connection = await asyncpg.connect(database_url)
    try:
        return bool(
            await connection.fetchval(
                """
                select count(*) from pg_stat_activity
                where datname = current_database() and wait_event_type = 'Lock' and query like '%event_log.cursors%'
                """
            )
        )
    finally:
        await connection.close()


async def test_a_broker_may_be_killed_and_come_back(studio: World, brokers: Brokers, soak: bool) -> None:
    async with load(studio) as players:
        for number in brokers.numbers if soak else [0]:
            brokers.kill(number)
            await wait_until(lambda: is_one_given_up(brokers), timeout=30)
            await players.reaches_the_game()
            brokers.start(number)
            await asyncio.to_thread(brokers.wait_until_ready)

    assert [] == players.failed_attempts


async def is_one_given_up(brokers: Brokers) -> bool:
    return await count_brokers(brokers.servers) == len(brokers.numbers) - 1


async def test_a_rolling_restart_fails_no_callback(studio: World) -> None:
    async with load(studio) as players:
        for copy in studio.all_copies:
            await restart(studio, [copy])
            await players.goes_on()

    assert [] == players.failed_attempts


async def test_copies_come_and_go(studio: World, soak: bool) -> None:
    async with load(studio) as players:
        for _ in range(5 if soak else 1):
            more = [studio.another(service) for service in studio.copies]
            await asyncio.gather(*(copy.start(studio.http) for copy in more))
            await players.goes_on(100)
            assert [0] * len(more) == await asyncio.gather(*(copy.stop() for copy in more))
            await players.goes_on(100)

    assert [] == players.failed_attempts


async def test_connections_to_the_database_may_be_cut(studio: World, database_url: str, soak: bool) -> None:
    async with load(studio) as players:
        for _ in range(20 if soak else 4):
            knife = await asyncpg.connect(database_url)
            await knife.execute(
                """
                select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()
                """
            )
            await knife.close()
            await players.goes_on()
