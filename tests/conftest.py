from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from world import World, world


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[World]:
    """A running system of its own, with OK and the game's server."""
    async with world(tmp_path) as one:
        yield one
