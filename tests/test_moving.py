"""How a studio that has outgrown one machine moves to a cluster."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from kafka_world import fresh_address
from load import load
from world import CONFIG, Move, company_of

from okgames.testing import DatabaseTemplates

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def database_url(database_templates: DatabaseTemplates) -> Iterator[str]:
    with database_templates.empty() as url:
        yield url


@pytest_asyncio.fixture
async def move(tmp_path: Path, database_url: str, kafka_servers: list[str]) -> AsyncIterator[Move]:
    async with (
        company_of(tmp_path, CONFIG, {"OKGAMES_DATABASE_URL": database_url}) as company,
        company.one_process_before_a_move(fresh_address(kafka_servers)) as one,
    ):
        yield one


async def test_what_one_process_has_not_finished_is_finished_by_the_cluster_and_nothing_happens_twice(
    move: Move, database_url: str
) -> None:
    studio = move.studio
    async with load(studio):
        pass
    delivered = dict(studio.game.times_received)
    handled = await inboxes(database_url)
    for number in range(20):
        await studio.player("purchase", str(7000 + number), "gold_100")
    await studio.kill()
    await move.start_cluster()
    async with load(studio):
        pass

    assert delivered == {each: studio.game.times_received[each] for each in delivered}
    assert handled.items() <= (await inboxes(database_url)).items()


async def test_a_studio_moves_while_callbacks_come_and_none_fails(move: Move) -> None:
    async with load(move.studio) as players:
        await move.start_cluster()
        await players.goes_on()
        assert 0 == await move.up.stop()
        await players.goes_on(100)

    assert [] == players.failed_attempts


async def inboxes(database_url: str) -> dict[tuple[str, str], datetime]:
    """Return when each service handled each event."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            """
            select 'subscription-ledger' as service, event_id::text, handled_at from subscription_ledger.inbox
            union all
            select 'notifier', event_id::text, handled_at from notifier.inbox
            """
        )
    finally:
        await connection.close()
    return {(row["service"], row["event_id"]): row["handled_at"] for row in rows}
