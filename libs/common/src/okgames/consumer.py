import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final
from uuid import UUID

import structlog
from pydantic import ValidationError

from okgames.clock import Clock
from okgames.database import Database, Tx, is_unavailable
from okgames.events import EVENT_TYPES, Event, application_of
from okgames.log import EventLog, LogUnavailable, Record
from okgames.outbox import partition_of
from okgames.service import Handler, Poisoned
from okgames.tasks import side_by_side
from okgames.telemetry import EVENTS_HANDLED, EVENTS_PARKED, EVENTS_PASSED_OVER, STEPS_FAILED

_TRIES: Final = 3
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_PARTS: Final = 4
"""Transactions of a batch at a time, at most: while the database works for one, the handler thinks about another."""
_WORTH_A_PART: Final = 200

logger = structlog.get_logger()


async def keep_going(name: str, step: Callable[[], Awaitable[None]]) -> None:
    """
    Run a step again and again until cancelled; after a failure, log it and wait 0.1 s to 5 s.

    One broken job or an absent database must not end the process that answers callbacks.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            await step()
            pause = _FIRST_PAUSE
        except Exception as error:
            STEPS_FAILED.labels(name).inc()
            if is_unavailable(error) or isinstance(error, LogUnavailable):
                logger.warning("step_failed", step=name, error=repr(error), again_in_seconds=pause)
            else:
                logger.exception("step_failed", step=name, again_in_seconds=pause)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # The step was being cancelled and its cleaning up failed: cancelled it is all the same.
                raise asyncio.CancelledError from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


class Consumer:
    """
    Bring one topic's events to a service's handler, each one once.

    The inbox rows, what the handler writes, and the events it appends are one transaction, all or nothing. A small
    batch is one; a large one is split, each key's events staying together. A transaction that fails is tried event by
    event; an event that fails on its own is parked in `dead_letters`.
    """

    def __init__(
        self, log: EventLog, database: Database, clock: Clock, group: str, topic: str, handler: Handler
    ) -> None:
        self._log = log
        self._database = database
        self._clock = clock
        self._group = group
        self.topic = topic
        self._handle_events = handler.handle
        self._types = {kind.__name__ for kind in handler.types}
        self._find_concerned = handler.find_concerned
        self._read_until = float("-inf")
        self._progress = asyncio.Event()

    async def run(self, after_batch: Callable[[], None]) -> None:
        """Read until cancelled; call `after_batch` after each batch that was handled."""
        async with self._log.read(self._group, self.topic) as batches:
            async for batch in batches:
                if batch.records:
                    if wanted := await self._wanted(batch.records):
                        await self._handle(wanted)
                        after_batch()
                    await batch.done()
                if batch.complete_until is not None:
                    self._read_until = batch.complete_until
                    self._progress.set()

    async def has_read_until(self, time: float) -> None:
        """Wait until the group has handled what had been committed by `time`, of the event loop's clock."""
        while self._read_until < time:
            self._progress.clear()
            await self._progress.wait()

    async def _wanted(self, records: Sequence[Record]) -> Sequence[Record]:
        for record in records:
            if record.type not in EVENT_TYPES:
                EVENTS_PASSED_OVER.labels(record.type).inc()
        wanted = [record for record in records if record.type in self._types]
        if not wanted or self._find_concerned is None:
            return wanted
        applications = {application_of(record.key) for record in wanted}
        async with self._database.connection() as connection:
            concerned = set(await self._find_concerned(connection, applications))
        return [record for record in wanted if application_of(record.key) in concerned]

    async def _handle(self, records: Sequence[Record]) -> None:
        count = min(1 + len(records) // _WORTH_A_PART, _PARTS)
        if count == 1:
            await self._handle_part(records)
            return
        parts: list[list[Record]] = [[] for _ in range(count)]
        for record in records:
            # By partition, because appending locks those of the keys.
            parts[partition_of(record.key) % count].append(record)
        await side_by_side(self._handle_part(part) for part in parts if part)

    async def _handle_part(self, records: Sequence[Record]) -> None:
        try:
            await self._apply(records)
        except Exception as error:
            if is_unavailable(error):
                raise
            logger.warning("batch_failed", group=self._group, topic=self.topic, error=repr(error))
            for record in records:
                await self._handle_alone(record)

    async def _handle_alone(self, record: Record) -> None:
        for tries_left in reversed(range(_TRIES)):
            try:
                await self._apply([record])
            except Exception as error:
                if is_unavailable(error):
                    raise
                if tries_left == 0 or isinstance(error, Poisoned | ValidationError):
                    await self._park(record, error)
                    return
                await asyncio.sleep(_FIRST_PAUSE)
            else:
                return

    async def _apply(self, records: Sequence[Record]) -> None:
        # Decoded before the transaction, so that the database enters one part into the inbox while another is decoded.
        # By id, because the log may carry one id twice within a batch.
        events = {record.id: event for record, event in zip(records, decode(records), strict=True)}
        async with self._database.transaction() as tx:
            if unseen := await _unseen(tx, list(events)):
                await self._handle_events(tx, [events[event_id] for event_id in unseen])
        EVENTS_HANDLED.labels(self._group, self.topic).inc(len(records))

    async def _park(self, record: Record, error: Exception) -> None:
        async with self._database.transaction() as tx:
            if not await _unseen(tx, [record.id]):
                return
            await tx.execute(
                """
                insert into dead_letters (id, topic, type, key, data, error, parked_at)
                values ($1, $2, $3, $4, $5, $6, $7)
                """,
                record.id,
                self.topic,
                record.type,
                record.key,
                _text(record.data),
                f"{type(error).__name__}: {error}",
                await self._clock.now(),
            )
        EVENTS_PARKED.labels(self._group, self.topic).inc()
        logger.error("event_parked", group=self._group, topic=self.topic, event_id=str(record.id), error=repr(error))


def decode(records: Sequence[Record]) -> list[Event]:
    """Return the events that records hold; raise ValidationError, or KeyError for a type that is not known."""
    return [EVENT_TYPES[record.type].model_validate_json(record.data) for record in records]


async def _unseen(tx: Tx, ids: Collection[UUID]) -> Collection[UUID]:
    """
    Enter ids into the inbox and return those that were not there, in their order.

    Should another member be handling the same ones, this waits for its commit or rollback.
    """
    entered = await tx.fetchval(
        """
        with entered as (
            insert into inbox (event_id)
            select unnest($1::uuid[])
            on conflict do nothing
            returning event_id
        )
        select case when count(*) < cardinality($1::uuid[]) then coalesce(array_agg(event_id), '{}') end
        from entered
        """,
        ids,
    )
    if entered is None:
        return ids
    new = set(entered)
    return [each for each in ids if each in new]


def _text(data: str | bytes) -> str:
    return data if isinstance(data, str) else data.decode()
