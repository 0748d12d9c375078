from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from world import World, world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def studio(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A running system, with OK and the game's server, for all tests of a file; each test has players of its own."""
    async with world(Path(tmp_path_factory.mktemp("studio"))) as one:
        yield one
