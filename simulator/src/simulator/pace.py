import asyncio
from datetime import datetime, timedelta
from typing import Final

from okgames.clock import Clock, MovableClock
from okgames.database import Database, is_unavailable
from okgames.events import Topic
from okgames.outbox import lags

_PATIENCE: Final = 1.0
_LOOK_SECONDS: Final = 0.002


class Pace:
    """
    Let time pass: a movable clock is moved, with the system's clock there is only waiting.

    OK does not stand still because our database does: while a movable clock is out of reach, its time goes on from
    where it was last seen, as real time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: tuple[datetime, float] | None = None
        self._left_behind = 0

    @property
    def is_movable(self) -> bool:
        return isinstance(self._clock, MovableClock)

    async def now(self) -> datetime:
        loop = asyncio.get_running_loop()
        try:
            self._seen = (await self._clock.now(), loop.time())
        except Exception as error:
            if not is_unavailable(error) or self._seen is None:
                raise
        time, seen_at = self._seen
        return time + timedelta(seconds=loop.time() - seen_at)

    async def wait_until(self, time: datetime) -> None:
        """Return when it is that time."""
        if isinstance(self._clock, MovableClock):
            try:
                await self._clock.move_to(time)
                return
            except Exception as error:
                if not is_unavailable(error):
                    raise
        await asyncio.sleep(max(0, (time - await self.now()).total_seconds()))

    async def leap_to(self, time: datetime) -> None:
        """
        Move a movable clock, once the readers of the log have handled the callbacks so far.

        Otherwise days could go by between a renewal and its handling, and access would lapse that was paid for.
        """
        if isinstance(self._clock, MovableClock):
            await self._readers_catch_up(self._clock.database)
            await self._clock.move_to(time)

    async def _readers_catch_up(self, database: Database) -> None:
        loop = asyncio.get_running_loop()
        fewest, patient_until = await _unread(database), loop.time() + _PATIENCE
        unread = fewest
        while unread and unread != self._left_behind:
            if loop.time() > patient_until:
                # Nobody reads just now: once is enough to have waited for that.
                self._left_behind = unread
                return
            await asyncio.sleep(_LOOK_SECONDS)
            unread = await _unread(database)
            if unread < fewest:
                fewest, patient_until = unread, loop.time() + _PATIENCE


async def _unread(database: Database) -> int:
    counts = await lags(database, at_most=1_000)
    return sum(count for (_, topic), count in counts.items() if topic == Topic.PAYMENTS)
