import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from cli.findings import Finding, warning, well, wrong
from cli.processes import BUILDS
from cli.tables import moscow
from notifier.domain.endpoint import PauseReason
from notifier.store.endpoints import load_endpoints
from okgames.catalogue import Config
from okgames.clock import Clock, MovableClock, SystemClock
from okgames.database import Database, Tx
from okgames.forwarder import GROUP
from okgames.migrations import pending
from okgames.service import Service
from okgames.settings import Settings

_OLDEST_VERSION: Final = 14
_CLOCKS_DIFFER: Final = timedelta(seconds=5)
_READERS_LAG: Final = timedelta(minutes=5)
_DELIVERIES_WAIT: Final = timedelta(hours=1)


def examine_database(settings: Settings, config: Config | None) -> Iterator[Finding]:
    """
    Look at the server, and, where the configuration can be read and all migrations were applied, at what waits.

    Raise what asyncpg and psycopg do where the database is out of reach.
    """
    url = settings.resolved_database_url
    yield from asyncio.run(_server(url))
    if config is None:
        return
    clock = MovableClock(Database(url, "okgames")) if settings.clock == "movable" else SystemClock()
    services = [build(settings, config, clock) for build in BUILDS.values()]
    steps = pending(url, [(service.database.schema, service.migrations) for service in services])
    if steps:
        yield wrong("migrations", f"{len(steps)} were not applied: {', '.join(steps)}", "okgames migrate")
        return
    yield well("migrations", "all were applied")
    yield from asyncio.run(_tables(services, clock, reads_kafka=settings.event_log != "postgres"))


async def _server(url: str) -> list[Finding]:
    async with _reading(Database(url, "okgames")) as connection:
        version = int(await connection.fetchval("show server_version_num")) // 10_000
        before = await SystemClock().now()
        there: datetime = await connection.fetchval("select clock_timestamp()")
        apart = clocks_apart(before, there, await SystemClock().now())
    return [
        well("database", f"Postgres {version} answers")
        if version >= _OLDEST_VERSION
        else wrong("database", f"is Postgres {version}", f"okgames wants {_OLDEST_VERSION} or newer"),
        well("clocks", "the database's agrees with ours")
        if apart <= _CLOCKS_DIFFER
        else wrong("clocks", f"the database's is {apart.total_seconds():.0f} s from ours", "set both by NTP"),
    ]


def clocks_apart(before: datetime, there: datetime, after: datetime) -> timedelta:
    """Return by how much a clock that was read between two looks at ours differs at least."""
    return max(before - there, there - after, timedelta())


async def _tables(services: Sequence[Service], clock: Clock, *, reads_kafka: bool) -> list[Finding]:
    if isinstance(clock, MovableClock):
        await clock.database.open()
    try:
        now = await clock.now()
    finally:
        if isinstance(clock, MovableClock):
            await clock.database.close()
    by_name = {service.name: service.database for service in services}
    async with _reading(by_name["callback-gateway"]) as connection:
        found = [await _answers(connection), await _readers(connection, reads_kafka=reads_kafka)]
    async with _reading(by_name["notifier"]) as connection:
        found += [*await _endpoints(connection), await _deliveries(connection, now)]
    parked = {service.name: count for service in services if (count := await _dead_letters(service))}
    findings = [
        wrong("dead letters", f"{count} of {name}", "okgames dead-letters list") for name, count in parked.items()
    ]
    return [*found, *(findings or [well("dead letters", "there are none")])]


async def _answers(connection: Tx) -> Finding:
    count = await connection.fetchval("select count(*) from callbacks where ack_uncertain")
    if count:
        return warning("answers", f"OK may not have heard {count}", "see docs/runbook.md, ack_uncertain")
    return well("answers", "OK heard all of them")


async def _readers(connection: Tx, *, reads_kafka: bool) -> Finding:
    """Look how old the oldest event is that a group has not read; on Kafka only the forwarder reads the table."""
    oldest: timedelta | None
    row = await connection.fetchrow(
        """
        select c.reader_group, c.topic, clock_timestamp() - unread.recorded_at as age
        from event_log.cursors as c
        cross join lateral (
            select recorded_at
            from event_log.events as e
            where e.topic = c.topic and e.partition = c.partition and e.position > c.position
            order by position
            limit 1
        ) as unread
        where (c.reader_group = $1) = $2
        order by unread.recorded_at
        limit 1
        """,
        GROUP,
        reads_kafka,
    )
    if row is None or row["age"] < _READERS_LAG:
        return well("readers", "nothing waits for long")
    oldest = timedelta(seconds=int(row["age"].total_seconds()))
    found = f"{row['reader_group']} has not read {row['topic']} for {oldest}"
    return wrong("readers", found, "see docs/runbook.md, Lag")


async def _endpoints(connection: Tx) -> list[Finding]:
    findings = []
    for each in await load_endpoints(connection):
        if each.paused_at is not None:
            found = f"{each.url} is paused since {moscow(each.paused_at)}: {each.paused_reason}; {each.pending} wait"
            judge = warning if each.paused_reason == PauseReason.OPERATOR else wrong
            findings.append(judge("endpoints", found, f"okgames endpoints ping {each.id}, then resume"))
    return findings or [well("endpoints", "none is paused")]


async def _deliveries(connection: Tx, now: datetime) -> Finding:
    oldest: datetime | None = await connection.fetchval(
        "select min(created_at) from deliveries where state = 'pending'"
    )
    if oldest is None or now - oldest < _DELIVERIES_WAIT:
        return well("deliveries", "none waits for long")
    found = f"one waits since {moscow(oldest)}"
    return warning("deliveries", found, "okgames deliveries list --state pending")


async def _dead_letters(service: Service) -> int:
    async with _reading(service.database) as connection:
        return int(await connection.fetchval("select count(*) from dead_letters"))


@asynccontextmanager
async def _reading(database: Database) -> AsyncIterator[Tx]:
    """Open a connection that can change nothing."""
    connection = await database.connect(default_transaction_read_only="on")
    try:
        yield connection
    finally:
        connection.terminate()
