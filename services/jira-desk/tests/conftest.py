from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import pytest
from desk_world import Desk, config, desk_at_work


@pytest.fixture(scope="session")
def service_migrations() -> list[tuple[str, Path]]:
    return [("jira_desk", Path(str(files("jira_desk") / "migrations")))]


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    """A desk that deals with all tasks by JIRA's REST API."""
    async with desk_at_work(database_url, config()) as one:
        yield one


@pytest.fixture
async def by_hand(database_url: str) -> AsyncIterator[Desk]:
    """A desk all of whose tasks people deal with."""
    async with desk_at_work(database_url, config("manual")) as one:
        yield one
