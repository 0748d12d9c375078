import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from simulator.pace import Pace
from simulator.platform import Platform

_LOOKS_EVERY: Final = 1.0
"""So many real seconds something may be late that falls due while nobody moves the clock."""


class ClockGoesBack(Exception):
    """The clock is past that time already."""


class ClockIsTheSystems(Exception):
    """Nobody moves the real time: set OKGAMES_CLOCK=movable."""


class Stepper:
    """Do what falls due in the order of its time; one move of the clock waits for the other."""

    def __init__(self, platform: Platform, pace: Pace) -> None:
        self._platform = platform
        self._pace = pace
        self._moving = asyncio.Lock()

    async def advance(self, time: timedelta) -> int:
        """Move the clock by a duration; return how many things fell due."""
        return await self._move(lambda now: now + time)

    async def move_to(self, time: datetime) -> int:
        """Move the clock to a time; return how many things fell due."""

        def target(now: datetime) -> datetime:
            if time < now:
                raise ClockGoesBack
            return time

        return await self._move(target)

    async def move_to_next(self) -> int:
        """Move the clock to what falls due first; return how many things fell due, none if nothing ever will."""
        return await self._move(lambda now: max(now, self._platform.agenda.next_at or now))

    async def follow(self) -> None:
        """Do what falls due as time passes by itself; runs until cancelled."""
        while True:
            async with self._moving:
                await self._catch_up()
            await asyncio.sleep(_LOOKS_EVERY)

    async def _move(self, target: Callable[[datetime], datetime]) -> int:
        if not self._pace.is_movable:
            raise ClockIsTheSystems
        async with self._moving:
            until = target(await self._pace.now())
            fired = 0
            while (at := self._platform.agenda.next_at) is not None and at <= until:
                await self._pace.leap_to(at)
                # Taken only now: were the clock out of reach, it would still be due.
                if due := self._platform.agenda.take(at):
                    await self._platform.perform(due.task, due.at)
                    fired += 1
            await self._pace.leap_to(until)
            return fired

    async def _catch_up(self) -> None:
        now = await self._pace.now()
        async with asyncio.TaskGroup() as group:
            while (due := self._platform.agenda.take(now)) is not None:
                group.create_task(self._platform.perform(due.task, due.at))
