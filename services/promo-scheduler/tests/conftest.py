from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import pytest
from promo_world import Ok, Scheduler, answering_calls, config, scheduling

from okgames.database import Database


@pytest.fixture(scope="session")
def service_migrations() -> list[tuple[str, Path]]:
    return [("promo_scheduler", Path(str(files("promo_scheduler") / "migrations")))]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "promo_scheduler")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def ok() -> AsyncIterator[Ok]:
    ok = Ok()
    async with answering_calls(ok):
        yield ok


@pytest.fixture
async def scheduler(database: Database, ok: Ok) -> AsyncIterator[Scheduler]:
    """A scheduler for two games: one draws when a person says so, the other by itself."""
    async with scheduling(database, config(), ok) as one:
        yield one
