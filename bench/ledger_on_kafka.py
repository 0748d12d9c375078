import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from kafka_stage import KafkaStage
from ledger_batches import Ledger
from results import Row, at_least_times
from run import Run

from okgames.clock import SystemClock
from okgames.config import load_config
from okgames.database import Database
from okgames.forwarder import GROUP
from okgames.kafka_log import KafkaLog
from okgames.log import Batch, EventLog
from okgames.outbox import lags
from okgames.postgres_log import PostgresLog
from okgames.settings import Settings
from okgames.testing import wait_until
from subscription_ledger.service import service

_BATCH: Final = 1000
_EVENTS: Final = 20_000


@dataclass
class _TimedLog:
    """A log that is read when it has everything; it takes down when a reader had joined and was last done."""

    log: EventLog
    has_everything: Callable[[], Awaitable[bool] | bool]
    joined: float = 0.0
    last_done: float = 0.0

    @asynccontextmanager
    async def read(self, group: str, topic: str, *, max_records: int = _BATCH) -> AsyncIterator[AsyncIterator[Batch]]:
        await wait_until(self.has_everything, 120, "the forwarder does not carry")
        async with self.log.read(group, topic, max_records=max_records) as batches:
            self.joined = time.perf_counter()
            yield self._timed(batches)

    async def _timed(self, batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
        async for batch in batches:
            yield Batch(batch.records, partial(self._done, batch.done), batch.complete_until)

    async def _done(self, done: Callable[[], Awaitable[None]]) -> None:
        await done()
        self.last_done = time.perf_counter()


@dataclass(frozen=True)
class _Ledger:
    """The ledger over a log of either kind."""

    ledger: Ledger
    log: _TimedLog

    @classmethod
    async def over(
        cls, run: Run, url: str, log: EventLog, has_everything: Callable[[], Awaitable[bool] | bool]
    ) -> "_Ledger":
        settings = Settings(database_url=url, config=run.stage.configuration(None))
        timed = _TimedLog(log, has_everything)
        ledger = Ledger(service(settings, load_config(settings.config), SystemClock()), timed)
        await ledger.service.database.open()
        run.stage.exits.push_async_callback(ledger.service.database.close)
        return cls(ledger, timed)

    async def rate(self, count: int) -> float:
        await self.ledger.new_payments(count)
        await self.ledger.apply(_BATCH)
        return count / (self.log.last_done - self.log.joined)


async def measure(run: Run, kafka: KafkaStage) -> None:
    """Measure how many events a second the ledger applies from Kafka, beside the same from the Postgres log."""
    stage, count = run.stage, run.count(_EVENTS)
    table_url, kafka_url = await stage.database("ledger_on_postgres"), await stage.database("ledger_on_kafka")
    address = await kafka.address("ledger")
    forwarder = await stage.okgames("run", "forwarder", database_url=kafka_url, kafka=address)
    outbox = Database(kafka_url, "event_log")
    await outbox.open()
    stage.exits.push_async_callback(outbox.close)
    must_freeze = False

    async def has_everything() -> bool:
        forwarder.program.thaw()
        unread = await lags(outbox, only_group=GROUP)
        is_carried = bool(unread) and not any(unread.values())
        if is_carried and must_freeze:
            forwarder.program.freeze()
        return is_carried

    on_postgres = await _Ledger.over(run, table_url, PostgresLog(Database(table_url, "event_log")), lambda: True)
    on_kafka = await _Ledger.over(run, kafka_url, KafkaLog(address, Database(kafka_url, "event_log")), has_everything)

    async def with_the_forwarder_idle() -> float:
        nonlocal must_freeze
        must_freeze = True
        try:
            return await on_kafka.rate(count)
        finally:
            must_freeze = False
            forwarder.program.thaw()

    series = await run.interleave(
        "ledger",
        "events/s",
        {
            "from the Postgres log": partial(on_postgres.rate, count),
            "from Kafka": with_the_forwarder_idle,
            "from Kafka, while a forwarder on the same cores carries what it writes": partial(on_kafka.rate, count),
        },
    )
    table, alone, carried = series.values()
    run.found(
        Row(
            "events applied by the ledger from Kafka",
            [alone, table, carried],
            [at_least_times(alone, 0.7, table)],
            f"The ledger's own reader and handler, in batches of {_BATCH}, events and players as in the row above; all"
            " events were there before it began. The time counts from when the reader had joined its group until the"
            " last batch was done. Only the log differs: each has a database of its own, and what the ledger writes"
            " goes to Postgres in both.",
        )
    )
    await stage.end(forwarder, "ledger on Kafka")
