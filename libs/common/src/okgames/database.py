import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Tx: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    # After a failover a connection may still lead to what is a replica now.
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
)


def is_unavailable(error: BaseException) -> bool:
    """Tell whether the database could not be used just now, so that trying again is worth it."""
    if isinstance(error, asyncpg.InterfaceError):
        # "connection is closed" is a bare InterfaceError; an argument that cannot be encoded is a ValueError too.
        return not isinstance(error, ValueError)
    return isinstance(error, _UNAVAILABLE)


class Database:
    """
    Give transactions on one service's schema.

    Tables of the schema need no prefix. Statements end after 30 s, idle transactions after 10 s, so that a
    frozen process never holds a lock for good.
    """

    def __init__(self, url: str, schema: str, *, max_connections: int = 10) -> None:
        self.url = url
        self.schema = schema
        self._max_connections = max_connections
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Make the pool; connections are opened as they are wanted."""
        self._pool = await asyncpg.create_pool(
            self.url,
            # None at the start: a gateway must be able to answer "try again" while there is no database.
            min_size=0,
            max_size=self._max_connections,
            max_inactive_connection_lifetime=0,
            timeout=5,
            command_timeout=30,
            # A transaction leaves nothing behind in its session, so a round trip after each would clear nothing.
            reset=_keep,
            server_settings=session_settings(self.schema),
        )

    async def close(self) -> None:
        """Close every connection; those in use are cut after 5 s."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                async with asyncio.timeout(5):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    @asynccontextmanager
    async def connection(self, *, timeout: float = 5.0) -> AsyncIterator[Tx]:
        """Lend a connection outside a transaction; wait at most `timeout` seconds for one."""
        if self._pool is None:
            raise asyncpg.InterfaceError(f"the database of {self.schema} is not open")
        async with self._pool.acquire(timeout=timeout) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self, *, timeout: float = 5.0) -> AsyncIterator[Tx]:
        """Run one transaction: committed on leaving, rolled back on an error."""
        async with self.connection(timeout=timeout) as connection, connection.transaction():
            yield connection

    async def connect(self, **settings: str) -> "asyncpg.Connection[asyncpg.Record]":
        """Open a connection outside the pool, for listening and for session locks; the caller closes it."""
        return await asyncpg.connect(self.url, timeout=5, server_settings=session_settings(self.schema) | settings)


async def _keep(_connection: Tx) -> None:
    """Give a connection back as it is."""


def session_settings(schema: str) -> dict[str, str]:
    return {
        "search_path": schema,
        "application_name": f"okgames {schema}",
        "idle_in_transaction_session_timeout": "10s",
        "timezone": "UTC",
        # Compiling a plan costs more than any of our statements runs.
        "jit": "off",
        # A connection keeps its plans, and makes most of them while tables are new and small. Later they would
        # still be read whole with each batch.
        "enable_seqscan": "off",
    }
