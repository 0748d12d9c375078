import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from results import Row, at_least_times
from run import Run
from studio import APPLICATION_KEY
from written_rows import WrittenRows

from okgames.clock import SystemClock
from okgames.config import load_config
from okgames.consumer import Consumer
from okgames.database import Database
from okgames.events import PaymentReceived, SubscriptionPaid, Topic, derive_id
from okgames.log import Batch, EventLog
from okgames.outbox import append
from okgames.postgres_log import PostgresLog
from okgames.runtime import relieve_collector
from okgames.service import Service
from okgames.settings import Settings
from subscription_ledger.service import service

_BATCH: Final = 1000
_EVENTS: Final = 20_000
_EVENTS_ALONE: Final = 1_500
_WEEK: Final = timedelta(days=7)

Payment = PaymentReceived | SubscriptionPaid


@dataclass(frozen=True)
class _BatchesOf:
    """The log, handed out in batches of another size."""

    log: EventLog
    size: int

    def read(
        self, group: str, topic: str, *, max_records: int = _BATCH
    ) -> AbstractAsyncContextManager[AsyncIterator[Batch]]:
        return self.log.read(group, topic, max_records=min(max_records, self.size))


@dataclass
class Ledger:
    """The ledger's own reader and handler, without the process around them."""

    service: Service
    log: EventLog
    players: int = 0

    async def new_payments(self, count: int) -> None:
        """
        Append payments of players who have not been there before.

        Half of them are purchases; a quarter are first payments of a subscription with a daily reward, a quarter
        renewals of one with a reward for each payment, whose first payment the ledger has handled already.
        """
        first, self.players = self.players, self.players + count
        now = datetime.now(UTC)
        renewing = range(first + 3, first + count, 4)
        await self._append([_subscription("vip", uid, now - _WEEK) for uid in renewing])
        await self.apply(_BATCH)
        await self._append([payment(uid, now) for uid in range(first, first + count)])

    async def apply(self, batch: int) -> float:
        """Read what is in the log, in batches, and return the seconds it took."""
        topic, clock = Topic.PAYMENTS, SystemClock()
        handler = self.service.handlers[topic]
        log = _BatchesOf(self.log, batch)
        consumer = Consumer(log, self.service.database, clock, self.service.name, topic, handler)
        # As a process of ours does at its start; the rows to copy lie about here.
        relieve_collector()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(consumer.run(lambda: None))
            await consumer.has_read_until(asyncio.get_running_loop().time())
            took = time.perf_counter() - began
            reading.cancel()
        return took

    async def _append(self, payments: Sequence[Payment]) -> None:
        for start in range(0, len(payments), _BATCH):
            async with self.service.database.transaction() as tx:
                await append(tx, *payments[start : start + _BATCH])


def payment(uid: int, now: datetime) -> Payment:
    match uid % 4:
        case 0 | 1:
            return PaymentReceived(
                id=derive_id("purchase", uid),
                occurred_at=now,
                application_key=APPLICATION_KEY,
                uid=str(uid),
                product="gold_100",
                transaction_id=str(uid),
                amount_oks=50,
            )
        case 2:
            return _subscription("apples", uid, now)
        case _:
            return _subscription("vip", uid, now)


def _subscription(product: str, uid: int, at: datetime) -> SubscriptionPaid:
    return SubscriptionPaid(
        id=derive_id(product, uid, at.isoformat()),
        occurred_at=at,
        application_key=APPLICATION_KEY,
        uid=str(uid),
        product=product,
        transaction_id=f"{uid} {at:%d}",
        amount_oks=50,
        ends_at=at + _WEEK,
    )


async def measure(run: Run) -> None:
    """Measure how many events a second the ledger applies, beside COPY of what it writes and beside batches of one."""
    url = await run.stage.database("ledger")
    settings = Settings(database_url=url, config=run.stage.configuration(None))
    ledger = Ledger(
        service(settings, load_config(settings.config), SystemClock()), PostgresLog(Database(url, "event_log"))
    )
    await ledger.service.database.open()
    run.stage.exits.push_async_callback(ledger.service.database.close)
    rows = await WrittenRows.prepare(await run.stage.connect(url))
    await _measure(run, ledger, rows)


async def _measure(run: Run, ledger: Ledger, rows: WrittenRows) -> None:
    events = run.count(_EVENTS)
    copied: list[int] = []

    async def rate(count: int, batch: int) -> float:
        await ledger.new_payments(count)
        await rows.mark()
        return count / await ledger.apply(batch)

    async def copy(parts: int) -> float:
        copied.append(await rows.load())
        return events / await rows.copy(parts)

    series = await run.interleave(
        "ledger",
        "events/s",
        {
            f"applied in batches of {_BATCH}": partial(rate, events, _BATCH),
            "COPY of the same rows, in one transaction": partial(copy, 1),
            f"COPY of the same rows, a transaction for {_BATCH} events": partial(copy, events // _BATCH),
            "one transaction per event": partial(rate, run.count(_EVENTS_ALONE), 1),
        },
    )
    ours, at_once, in_parts, alone = series.values()
    run.found(
        Row(
            "events applied by the ledger in batches: inbox, entries, subscriptions, rewards, new events in one"
            " transaction",
            [ours, at_once, in_parts, alone],
            [at_least_times(ours, 0.25, at_once), at_least_times(ours, 15, alone)],
            "Read from the log by the ledger's own reader: half purchases, a quarter first payments of a subscription"
            " with a daily reward, a quarter renewals of one with a reward for each payment. The same rows are those"
            f" that this left in eight tables, {copied[-1] / events:.1f} for each event, copied into tables with the"
            f" same indexes. Beside COPY in as many transactions it is {ours.median / in_parts.median:.2f} x.",
        )
    )
