from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio
from kafka_world import fresh_address
from world import World, cluster, world

from okgames.testing import DatabaseTemplates


@pytest.fixture(scope="module", params=["one process on Postgres", "a cluster on Kafka"])
def set_up(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, database_templates: DatabaseTemplates
) -> Iterator[AbstractAsyncContextManager[World]]:
    """The two ways to run the same system; no test knows in which it is."""
    directory = Path(tmp_path_factory.mktemp("studio"))
    if request.param == "one process on Postgres":
        yield world(directory)
        return
    kafka = fresh_address(request.getfixturevalue("kafka_servers"))
    with database_templates.empty() as url:
        yield cluster(directory, database_url=url, kafka=kafka)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def studio(set_up: AbstractAsyncContextManager[World]) -> AsyncIterator[World]:
    """A running system, with OK and the game's server, for all tests of a file; each test has players of its own."""
    async with set_up as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The system in one process on Postgres, for tests that end all of it at once."""
    async with world(Path(tmp_path_factory.mktemp("studio"))) as one:
        yield one
