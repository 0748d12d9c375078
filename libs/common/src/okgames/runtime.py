import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
import uvloop
from aiohttp import web

from okgames import dead_letters
from okgames.access import guarded
from okgames.clock import Clock, MovableClock
from okgames.consumer import Consumer, keep_going
from okgames.database import Database
from okgames.events import Topic
from okgames.forwarder import GROUP, forward
from okgames.http import not_found, with_problems
from okgames.kafka import KafkaAddress
from okgames.log import EventLog, LogUnavailable
from okgames.management import http_server, management
from okgames.migrations import migrate
from okgames.outbox import lags, prune
from okgames.postgres_log import PostgresLog
from okgames.service import Job, Service
from okgames.settings import Settings
from okgames.shortcut import Shortcut
from okgames.topics import TopicsError, require_safe

_HOUSEKEEPING: Final = timedelta(minutes=1)
_TOPICS_TRIES: Final = 5
_FORWARDER_RESTS_SECONDS: Final = 0.01
"""Shorter than a service's reader does: to carry a batch costs little, and all who read from Kafka wait for it."""

logger = structlog.get_logger()


def run(
    *services: Service,
    log: EventLog,
    settings: Settings,
    clock: Clock,
    keep_events: timedelta,
    migrated: bool = False,
) -> None:
    """Run services until SIGTERM or SIGINT; see `serve`."""

    async def until_signalled() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with serve(
            *services, log=log, settings=settings, clock=clock, keep_events=keep_events, migrated=migrated
        ):
            await stop.wait()
            logger.info("stopping")

    uvloop.run(until_signalled())


@asynccontextmanager
async def serve(
    *services: Service,
    log: EventLog,
    settings: Settings,
    clock: Clock,
    keep_events: timedelta,
    migrated: bool = False,
) -> AsyncIterator[None]:
    """
    Run services for as long as the context lasts: their HTTP API, readers, jobs and tasks.

    The log is the only thing that tells one process from a cluster. With `migrated` False, the services' schemas
    are brought up to date first. On leaving, no request is taken any more, those under way are answered, and then
    readers, jobs and tasks are cancelled; what they had not committed is rolled back and comes again.
    """
    if not migrated:
        schemas = [(service.database.schema, service.migrations) for service in services]
        await asyncio.to_thread(migrate, services[0].database.url, schemas)
    async with AsyncExitStack() as stack:
        databases = [service.database for service in services]
        if isinstance(clock, MovableClock):
            databases.append(clock.database)
        for database in databases:
            await database.open()
            stack.push_async_callback(database.close)
        async with asyncio.TaskGroup() as group:
            loops = [_Loops(service, log, clock) for service in services]
            tasks = [group.create_task(coroutine) for each in loops for coroutine in each.coroutines()]
            tasks.append(group.create_task(_housekeeping(log, databases[0], services, keep_events)))
            if isinstance(clock, MovableClock):
                wakers = [each.wake for each in loops]
                tasks.append(group.create_task(keep_going("clock", partial(_watch_clock, clock, wakers))))
            async with (
                http_server(_api(services, settings), settings.http, _shortcuts(services)),
                http_server(management(databases, partial(log.lags, databases[0])), settings.management_http),
            ):
                logger.info("started", services=[service.name for service in services], http=str(settings.http))
                relieve_collector()
                yield
            for task in tasks:
                task.cancel()


def relieve_collector() -> None:
    """
    Keep the garbage collector from what exists by now, and call it seldom.

    What a start makes stays for good, and what a batch makes is freed without the collector, which would otherwise look
    at all of it again every few hundred objects.
    """
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


@asynccontextmanager
async def serve_forwarder(address: KafkaAddress, *, settings: Settings, keep_events: timedelta) -> AsyncIterator[None]:
    """Forward as a process of its own; see `forwarding`."""
    async with forwarding(address, settings=settings, keep_events=keep_events) as database:
        unread = partial(lags, database, only_group=GROUP)
        async with http_server(management([database], unread), settings.management_http):
            logger.info("started", services=[GROUP], kafka=str(address))
            yield


@asynccontextmanager
async def forwarding(address: KafkaAddress, *, settings: Settings, keep_events: timedelta) -> AsyncIterator[Database]:
    """
    Carry all events to Kafka for as long as the context lasts, and forget them in the table when that is done.

    Copies may run side by side: each partition of the table is carried by one of them. Raise TopicsError, within the
    context, if Kafka's topics are missing or could lose events.
    """
    database = Database(settings.resolved_database_url, "event_log")
    log = PostgresLog(database, shortest_rest=_FORWARDER_RESTS_SECONDS)

    async def carry() -> None:
        await _topics_are_safe(address)
        async with asyncio.TaskGroup() as group:
            for topic in Topic:
                step = partial(forward, log, address, topic)
                group.create_task(keep_going(f"forwarder carries {topic}", step))

    async def housekeeping() -> None:
        while await prune(database, keep_events, only_group=GROUP):
            pass
        await asyncio.sleep(_HOUSEKEEPING.total_seconds())

    async with AsyncExitStack() as stack:
        await database.open()
        stack.push_async_callback(database.close)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(carry()), group.create_task(keep_going("housekeeping", housekeeping))]
            yield database
            for task in tasks:
                task.cancel()


async def _topics_are_safe(address: KafkaAddress) -> None:
    """Return when Kafka has answered that they are; raise TopicsError if they still are not after a while."""
    tries_left = _TOPICS_TRIES
    while True:
        try:
            await require_safe(address)
            return
        except LogUnavailable as error:
            logger.warning("kafka_unavailable", error=str(error))
        except TopicsError:
            # They may just have been made, and not every broker knows them yet.
            tries_left -= 1
            if not tries_left:
                raise
        await asyncio.sleep(1)


@dataclass
class _Loops:
    """Everything of one service that goes on by itself."""

    service: Service
    log: EventLog
    clock: Clock
    consumers: list[Consumer] = field(default_factory=list)
    wakes: list[tuple[Job, asyncio.Event]] = field(default_factory=list)

    def coroutines(self) -> list[Coroutine[None, None, None]]:
        service = self.service
        self.consumers = [
            Consumer(self.log, service.database, self.clock, service.name, topic, handler)
            for topic, handler in service.handlers.items()
        ]
        readers = [
            keep_going(
                f"{service.name} reads {consumer.topic}", partial(consumer.run, partial(self._wake, consumer.topic))
            )
            for consumer in self.consumers
        ]
        jobs = [
            keep_going(f"{service.name} {job.name}", partial(self._run_job, job, self._new_wake(job)))
            for job in service.jobs
        ]
        tasks = [keep_going(f"{service.name} task", task) for task in service.tasks]
        return [*readers, *jobs, *tasks]

    def wake(self) -> None:
        """Wake all jobs."""
        for _, wake in self.wakes:
            wake.set()

    def _wake(self, topic: str) -> None:
        for job, wake in self.wakes:
            if topic in job.woken_by:
                wake.set()

    def _new_wake(self, job: Job) -> asyncio.Event:
        wake = asyncio.Event()
        self.wakes.append((job, wake))
        return wake

    async def _run_job(self, job: Job, wake: asyncio.Event) -> None:
        wake.clear()
        now = await self._time_for(job)
        while await job.run(now):
            pass
        try:
            async with asyncio.timeout(job.every.total_seconds()):
                await wake.wait()
        except TimeoutError:
            return

    async def _time_for(self, job: Job) -> datetime:
        now = await self.clock.now()
        asked_at = asyncio.get_running_loop().time()
        if job.after_reading:
            for consumer in self.consumers:
                await consumer.has_read_until(asked_at)
        return now


async def _watch_clock(clock: MovableClock, wakers: Sequence[Callable[[], None]]) -> None:
    connection = await clock.database.connect()
    try:
        moved = asyncio.Event()
        await connection.add_listener("clock", lambda *_: moved.set())
        connection.add_termination_listener(lambda *_: moved.set())
        while not connection.is_closed():
            for wake in wakers:
                wake()
            moved.clear()
            await moved.wait()
    finally:
        connection.terminate()


async def _housekeeping(log: EventLog, database: Database, services: Sequence[Service], keep_events: timedelta) -> None:
    async def step() -> None:
        while await log.prune(database, keep_events):
            pass
        for service in services:
            async with service.database.connection() as connection:
                # Twice as long as the events themselves, so that none can come back after it was forgotten here.
                await connection.execute("delete from inbox where handled_at < now() - $1::interval", 2 * keep_events)
        await asyncio.sleep(_HOUSEKEEPING.total_seconds())

    await keep_going("housekeeping", step)


def _api(services: Sequence[Service], settings: Settings) -> web.Application:
    app = web.Application()
    for route in [
        *(route for service in services for route in service.routes),
        *dead_letters.routes(services),
    ]:
        handler = route.handler
        if route.scope is not None:
            handler = with_problems(guarded(handler, route.scope, services[0].database, settings.admin_token))
        app.router.add_route(route.method, route.path, handler)
    app.router.add_route("*", "/{path:.*}", not_found)
    return app


def _shortcuts(services: Sequence[Service]) -> dict[str, Shortcut]:
    return {route.path: route.shortcut for service in services for route in service.routes if route.shortcut}
