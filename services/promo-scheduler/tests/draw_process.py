"""Bring one promotion from the end of its window to a draw that is concluded, as a process that can be killed."""

import asyncio
import sys
from functools import partial

from promo_world import APP, StoppedClock, app, config, msk

from okgames.database import Database
from okgames.testing import wait_until
from promo_scheduler.jobs import Drawing, Naming, Ticking

NOW = msk(4, 0, 20)
CONFIG = config(app(APP, draw="automatic"))


async def main(database_url: str, ok_api: str) -> None:
    database = Database(database_url, "promo_scheduler")
    await database.open()
    clock = StoppedClock(NOW)
    drawing = Drawing(database, clock, CONFIG, ok_api)
    naming = Naming(database, clock, CONFIG, ok_api)
    jobs = [Ticking(database, CONFIG).tick, drawing.look, naming.look]
    await wait_until(partial(is_concluded, database, jobs), timeout=30)
    await database.close()


async def is_concluded(database: Database, jobs: list) -> bool:
    for job in jobs:
        await job(NOW)
    async with database.connection() as connection:
        state = await connection.fetchval("select state from promotions")
    return state in ("drawn", "unresolved")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
