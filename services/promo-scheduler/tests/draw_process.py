"""Bring one promotion from the end of its window to a draw that is concluded, as a process that can be killed."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from okgames.catalogue import Config
from okgames.database import Database
from promo_scheduler.jobs import Drawing, Naming, Ticking

NOW = datetime(2026, 3, 3, 21, 20, tzinfo=UTC)
"""Twenty past midnight in Moscow, on the day after the promotion."""

CONFIG = Config.model_validate(
    {
        "apps": [
            {
                "name": "Backgammon",
                "application_id": "1234567890",
                "application_key": "CBTESTKEYABABABABA",
                "secret_keys": ["0123456789ABCDEF01234567"],
                "products": [{"code": "gold_100", "name": "A bag of gold", "price": 50}],
                "promotions": {"draw": "automatic"},
            }
        ]
    }
)


class StoppedClock:
    async def now(self) -> datetime:
        return NOW


async def main(database_url: str, ok_api: str) -> None:
    database = Database(database_url, "promo_scheduler")
    await database.open()
    clock = StoppedClock()
    drawing = Drawing(database, clock, CONFIG, ok_api)
    naming = Naming(database, clock, CONFIG, ok_api)
    jobs = [Ticking(database, CONFIG).tick, drawing.look, naming.look]
    async with asyncio.timeout(30):
        while not await is_concluded(database, jobs):
            pass
    await database.close()


async def is_concluded(database: Database, jobs: Sequence[Callable[[datetime], Awaitable[bool]]]) -> bool:
    for job in jobs:
        await job(NOW)
    async with database.connection() as connection:
        state = await connection.fetchval("select state from promotions")
    return state in ("drawn", "unresolved")


def draw() -> None:
    asyncio.run(main(*sys.argv[1:]))
