import asyncio
from datetime import datetime
from typing import Final

import structlog

from okgames.database import Database
from okgames.outbox import append
from okgames.tasks import side_by_side
from subscription_ledger.domain.rewards import SLOTS_AT_ONCE
from subscription_ledger.store import players, rewards
from subscription_ledger.store.columns import PlayerKey

_PLAYERS_AT_ONCE: Final = 500
_GRANTS_AT_ONCE: Final = 250
_GRANT_BATCHES_AT_ONCE: Final = 3

logger = structlog.get_logger()


async def lapse(database: Database, now: datetime) -> bool:
    """Tell the game of what has come to its end; OK never does."""
    async with database.transaction() as tx:
        lapsing = await players.claim_lapsing_players(tx, now, _PLAYERS_AT_ONCE)
        for player in lapsing:
            player.pass_time(now)
        changes = [change for player in lapsing for change in player.changes]
        await players.save_players(tx, lapsing)
        await players.save_changes(tx, changes, now)
        await append(tx, *changes)
    if changes:
        logger.info("entitlements_lapsed", count=len(changes))
    return len(lapsing) == _PLAYERS_AT_ONCE


async def grant_rewards(database: Database, now: datetime) -> bool:
    """Grant the rewards that have fallen due, also those of the time in which nobody ran this."""
    # While the database writes the rewards of some grants, this process makes those of others.
    return any(await side_by_side(_grant_batch(database, now) for _ in range(_GRANT_BATCHES_AT_ONCE)))


async def _grant_batch(database: Database, now: datetime) -> bool:
    async with database.transaction() as tx:
        claimed = await rewards.claim_due_grants(tx, now, _GRANTS_AT_ONCE)
        taken = [grant.take_due(now, SLOTS_AT_ONCE) for grant in claimed]
        await rewards.save_granted(tx, [grant for grant, _ in taken])
        slots = [slot for _, due in taken for slot in due]
        await rewards.save_slots(tx, slots, now)
        await append(tx, *[slot.reward for slot in slots])
    if slots:
        logger.info("rewards_granted", count=len(slots))
    return len(claimed) == _GRANTS_AT_ONCE or any(len(due) == SLOTS_AT_ONCE for _, due in taken)


class Watch:
    """
    Wake the requests that wait for something new.

    However many wait, the database is asked once per look: after each batch that this process has handled, and
    now and then for what other copies of the service have done.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions: dict[asyncio.Future[None], tuple[str, str, int]] = {}
        self._news: set[asyncio.Future[None]] = set()

    async def version(self, key: PlayerKey, version: int, timeout: float) -> None:
        """Return when the player has come to this version, or after `timeout` seconds."""
        future = asyncio.get_running_loop().create_future()
        self._versions[future] = (*key, version)
        try:
            await asyncio.wait([future], timeout=timeout)
        finally:
            del self._versions[future]

    async def news(self, timeout: float) -> None:
        """Return when it is worth looking at the feed again, or after `timeout` seconds."""
        future = asyncio.get_running_loop().create_future()
        self._news.add(future)
        try:
            await asyncio.wait([future], timeout=timeout)
        finally:
            self._news.remove(future)

    async def look(self, _now: datetime) -> bool:
        for future in self._news:
            _wake(future)
        wanted = dict(self._versions)
        if wanted:
            async with self._database.connection() as connection:
                reached = set(await players.find_reached(connection, set(wanted.values())))
            for future, version in wanted.items():
                if version in reached:
                    _wake(future)
        return False


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
