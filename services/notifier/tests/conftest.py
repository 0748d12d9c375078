from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from notifier_world import Game, Notifier, notifying, playing

import notifier
from okgames.testing import Migrations


@pytest.fixture(scope="session")
def service_migrations() -> Migrations:
    return [("notifier", Path(notifier.__file__).parent / "migrations")]


@pytest.fixture
async def game() -> AsyncIterator[Game]:
    async with playing(Game()) as one:
        yield one


@pytest.fixture
async def at_work(database_url: str, game: Game) -> AsyncIterator[Notifier]:
    """A notifier for one endpoint that wants everything."""
    async with notifying(database_url, game.endpoint()) as one:
        yield one
