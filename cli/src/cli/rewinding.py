import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from cli.failures import Failed, WrongInput
from cli.installation import installation, plain_errors, silence_kafka_client
from cli.processes import BUILDS
from cli.tables import moscow
from okgames.clock import SystemClock
from okgames.events import Topic
from okgames.log import EventLog, GroupIsRead
from okgames.service import Handler, Service


@dataclass(frozen=True)
class Span:
    """Count a topic's events from a time on that a service wants, and those of them that it has handled."""

    topic: Topic
    events: int
    handled: int


def replay(group: str, topic: str | None, since: datetime, *, dry_run: bool) -> list[Span]:
    """
    Have a service read a topic, or all of its topics, again from a time on, and return what that is.

    Raise WrongInput for a service or topic that there is not and a time before what inboxes remember for certain, and
    Failed while the service is running.
    """
    silence_kafka_client()
    with plain_errors(), installation() as found:
        if group not in BUILDS:
            raise WrongInput(f"no such service: {group}; there are {', '.join(BUILDS)}")
        service = BUILDS[group](found.settings, found.config, found.clock)
        handlers = _chosen(service, topic)
        # An inbox remembers for twice as long as events are kept. One that is there for longer, because some other
        # group has not read it, may have been handled and forgotten.
        earliest = asyncio.run(SystemClock().now()) - found.config.event_retention
        if since < earliest:
            raise WrongInput(f"--since: inboxes may have forgotten what was handled before {moscow(earliest)}")
        return asyncio.run(_replay(service, handlers, since, None if dry_run else found.log))


def _chosen(service: Service, topic: str | None) -> Mapping[Topic, Handler]:
    if not service.handlers:
        raise WrongInput(f"{service.name} reads no topic")
    if topic is None:
        return service.handlers
    if topic not in service.handlers:
        raise WrongInput(f"{service.name} does not read {topic}; it reads {', '.join(service.handlers)}")
    return {Topic(topic): service.handlers[Topic(topic)]}


async def _replay(
    service: Service, handlers: Mapping[Topic, Handler], since: datetime, log: EventLog | None
) -> list[Span]:
    spans = [await _span(service, topic, handler, since) for topic, handler in handlers.items()]
    if log is not None:
        for topic in handlers:
            try:
                await log.rewind(service.name, topic, since)
            except GroupIsRead as error:
                raise Failed(f"{service.name} is running: stop okgames up, or each okgames run of it") from error
    return spans


async def _span(service: Service, topic: Topic, handler: Handler, since: datetime) -> Span:
    connection = await service.database.connect()
    try:
        # Each id once, because the log may carry one twice.
        row = await connection.fetchrow(
            """
            select count(distinct e.id) as events, count(distinct inbox.event_id) as handled
            from event_log.events as e
            left join inbox on inbox.event_id = e.id
            where e.topic = $1 and e.type = any ($2) and e.recorded_at >= $3
            """,
            topic,
            [kind.__name__ for kind in handler.types],
            since,
        )
    except asyncpg.UndefinedTableError as error:
        raise Failed("the database is not up to date: okgames migrate") from error
    finally:
        connection.terminate()
    assert row is not None
    return Span(topic, row["events"], row["handled"])
