from collections.abc import AsyncIterator

import pytest
from simulator_world import Simulator, movable_clock, simulating

from okgames.clock import MovableClock


@pytest.fixture
async def clock(database_url: str) -> AsyncIterator[MovableClock]:
    """A clock that starts on 2 March 2026 at 10:00 in Moscow."""
    async with movable_clock(database_url) as one:
        yield one


@pytest.fixture
async def ok(clock: MovableClock) -> AsyncIterator[Simulator]:
    """The simulator on a movable clock, and the game that it calls."""
    async with simulating(clock) as one:
        yield one
