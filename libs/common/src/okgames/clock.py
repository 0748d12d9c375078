from datetime import UTC, datetime, timedelta

from okgames.database import Database


class SystemClock:
    """Tell the real time."""

    async def now(self) -> datetime:
        """Return the time now, in UTC."""
        return datetime.now(UTC)


class MovableClock:
    """
    Tell a time that a simulation moves, the same for every process on the database.

    It ticks: now is the real time plus a shift that is kept in the database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    async def now(self) -> datetime:
        """Return the moved time, in UTC."""
        async with self.database.connection() as connection:
            shift = await connection.fetchval("select shift from okgames.clock")
        return datetime.now(UTC) + (shift or timedelta())

    async def start_at(self, time: datetime) -> None:
        """Set the clock if nobody has done so before."""
        async with self.database.connection() as connection:
            await connection.execute(
                """
                with started as (
                    insert into okgames.clock (shift) values ($1) on conflict do nothing returning shift
                )
                select pg_notify('clock', '') from started
                """,
                time - datetime.now(UTC),
            )

    async def move_to(self, time: datetime) -> None:
        """Move the clock forward; a time that has passed already changes nothing."""
        async with self.database.connection() as connection:
            await connection.execute(
                """
                with moved as (
                    insert into okgames.clock (shift) values ($1)
                    on conflict (only_row) do update set shift = greatest(clock.shift, excluded.shift)
                    returning shift
                )
                select pg_notify('clock', '') from moved
                """,
                time - datetime.now(UTC),
            )


Clock = SystemClock | MovableClock
