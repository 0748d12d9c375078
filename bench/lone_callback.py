import statistics
import time

import asyncpg
from results import Row, at_most_times
from run import Run
from system import System

_SECONDS = 2
_INSERT = "insert into bench_rows (id, body) values ($1, $2)"
_BODY = "x" * 400


async def measure(run: Run, gateway: System) -> None:
    """Measure how long a lone callback waits, beside the least that one can do to keep a row."""
    connection = gateway.database
    await connection.execute("create table bench_rows (id bigint primary key, body text not null)")
    rows = _Rows(connection, run.seconds(_SECONDS))

    async def callback() -> float:
        return (await run.closed(gateway.address, _SECONDS, connections=1)).p50 * 1000

    series = await run.interleave(
        "one callback at a time, p50",
        "ms",
        {
            "a callback, from request to answer": callback,
            "BEGIN, INSERT of a row, COMMIT": rows.in_transactions,
            "INSERT of a row, committed by itself": rows.alone,
            "a constant over HTTP": lambda: _constant(run),
        },
    )
    ours, transaction, alone, constant = series.values()
    run.found(
        Row(
            "one callback at a time on one connection, nothing else going on: p50",
            [ours, transaction, alone, constant],
            [at_most_times(ours, 1.5, transaction)],
            "The bare INSERT goes through asyncpg, with 400 bytes. Beside one that is committed by itself, which saves"
            f" two round trips, a callback takes {ours.median / alone.median:.2f} x. What HTTP alone takes, which a"
            " bare INSERT does not need, is the constant's time.",
        )
    )


async def _constant(run: Run) -> float:
    return (await run.closed((await run.peers()).constant, _SECONDS, connections=1)).p50 * 1000


class _Rows:
    """Insert rows one by one and return the median time in milliseconds."""

    def __init__(self, connection: asyncpg.Connection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._next = 0

    async def in_transactions(self) -> float:
        took: list[float] = []
        stop = time.perf_counter() + self._seconds
        while (began := time.perf_counter()) < stop:
            async with self._connection.transaction():
                await self._insert()
            took.append(time.perf_counter() - began)
        return statistics.median(took) * 1000

    async def alone(self) -> float:
        took: list[float] = []
        stop = time.perf_counter() + self._seconds
        while (began := time.perf_counter()) < stop:
            await self._insert()
            took.append(time.perf_counter() - began)
        return statistics.median(took) * 1000

    async def _insert(self) -> None:
        self._next += 1
        await self._connection.execute(_INSERT, self._next, _BODY)
