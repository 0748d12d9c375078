import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from okgames.clock import Clock, MovableClock


async def at_once() -> None:
    """Wait for nothing."""


class Pace:
    """
    Let time pass: a movable clock is moved, with the system's clock there is only waiting.

    `settled` returns when the game's systems have done what earlier calls gave them to do. It is awaited before
    days pass, because in a simulation they pass faster than any real system needs for one event.
    """

    def __init__(self, clock: Clock, settled: Callable[[], Awaitable[None]] = at_once) -> None:
        self._clock = clock
        self._settled = settled

    @property
    def is_movable(self) -> bool:
        return isinstance(self._clock, MovableClock)

    async def now(self) -> datetime:
        return await self._clock.now()

    async def wait_until(self, time: datetime) -> None:
        """Return when it is that time."""
        if isinstance(self._clock, MovableClock):
            await self._clock.move_to(time)
        else:
            await asyncio.sleep(max(0, (time - await self._clock.now()).total_seconds()))

    async def leap_to(self, time: datetime) -> None:
        """Let a longer time pass, after everything so far has settled."""
        await self._settled()
        await self.wait_until(time)
