from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from okgames.database import Database

_ONE_AT_A_TIME: Final = 5_210_602
"""Names the advisory lock of the copy of the desk that talks to JIRA."""

_PATIENCE_SECONDS: Final = 5


@asynccontextmanager
async def alone(database: Database) -> AsyncIterator[bool]:
    """
    Tell whether this job of this copy may talk to JIRA now; no other may for as long as the context lasts.

    Those who wait get their turn in order, so that a long reading does not hold up a request.
    """
    connection = await database.connect()
    try:
        await connection.execute(f"set lock_timeout = '{_PATIENCE_SECONDS}s'")
        try:
            await connection.execute("select pg_advisory_lock($1)", _ONE_AT_A_TIME)
        except asyncpg.LockNotAvailableError:
            yield False
        else:
            yield True
    finally:
        connection.terminate()
