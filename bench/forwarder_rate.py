import asyncio
import time
from functools import partial
from typing import Final

from kafka_stage import KafkaStage, keep
from results import Row, at_least_times
from run import Run
from stage import Stage
from studio import purchase

from okgames.database import Database
from okgames.events import Topic
from okgames.forwarder import GROUP
from okgames.kafka import KafkaAddress
from okgames.outbox import append, lags
from okgames.testing import wait_until

_EVENTS: Final = 60_000


async def measure(run: Run, kafka: KafkaStage) -> None:
    """Measure how fast one forwarder process brings a filled table to Kafka, beside producers that only send."""
    stage = run.stage
    url = await stage.database("forwarder")
    ours, others = await kafka.address("forwarder"), await kafka.address("bare")
    forwarder = await stage.okgames("run", "forwarder", database_url=url, kafka=ours)
    table = Database(url, "event_log")
    await table.open()
    stage.exits.push_async_callback(table.close)
    await wait_until(partial(lags, table, only_group=GROUP), 60, "the forwarder does not read")
    rounds = _Rounds(stage, kafka, table, ours, others, run.count(_EVENTS))

    series = await run.interleave(
        "forwarder",
        "events/s",
        {
            "from the table to Kafka, by one forwarder process": rounds.forward,
            "a bare aiokafka producer": partial(rounds.produce, "send"),
            "a bare aiokafka producer that is given batches ready made": partial(rounds.produce, "send_batch"),
        },
    )
    carried, bare, batches = series.values()
    run.found(
        Row(
            "events carried from the table to Kafka by one forwarder process, three brokers, acks=all, idempotent",
            [carried, bare, batches],
            [at_least_times(carried, 0.5, bare)],
            f"{run.count(_EVENTS):,} payments committed at once; the time counts from before their commit until the"
            " forwarder's cursors stood behind the last of them, each moved when two brokers at least had"
            " acknowledged. The bare producers send the very same messages, read back from Kafka, from memory to a"
            " topic of the same kind, with the same settings. Beside one whose batches were put together for it, by"
            f" partition, which aiokafka offers too, the forwarder reaches {carried.median / batches.median:.2f} x.",
        )
    )
    await stage.end(forwarder, "a filled table")


class _Rounds:
    """The same events by three ways."""

    def __init__(
        self, stage: Stage, kafka: KafkaStage, table: Database, ours: KafkaAddress, bare: KafkaAddress, count: int
    ) -> None:
        self._kafka = kafka
        self._table = table
        self._topic = ours.topic(Topic.PAYMENTS)
        self._bare_topic = bare.topic(Topic.PAYMENTS)
        self._count = count
        self._told = 0
        self._messages = stage.folder / "messages"

    async def forward(self) -> float:
        events = [purchase(self._told + number) for number in range(self._count)]
        self._told += self._count
        before = await self._kafka.ends(self._topic)
        async with self._table.transaction() as tx:
            await append(tx, *events)
            began = time.perf_counter()
        await wait_until(self._all_carried, 120, "the forwarder does not carry")
        took = time.perf_counter() - began
        keep(self._messages, await self._kafka.read(self._topic, before, self._count))
        return self._count / took

    async def produce(self, way: str) -> float:
        return self._count / await self._kafka.produce(self._messages, self._bare_topic, way)

    async def _all_carried(self) -> bool:
        await asyncio.sleep(0.05)
        return not any((await lags(self._table, only_group=GROUP)).values())
