import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import orjson
from kafka_stage import KafkaStage
from results import Goal, Row
from run import Run
from studio import number_of
from system import System

from okgames.events import Topic
from okgames.kafka import KafkaAddress
from okgames.testing import wait_until

_RATE: Final = 500
_SECONDS: Final = 6
_GOAL_MS: Final = 100


async def measure(run: Run, kafka: KafkaStage, gateway: System, address: KafkaAddress) -> None:
    """Measure how long an event takes from OK's callback to whoever reads Kafka."""
    medians: list[float] = []

    async def p99() -> float:
        async with _arrivals(kafka, address.topic(Topic.PAYMENTS)) as arrived:
            load = await run.stage.load(gateway.address, seconds=run.seconds(_SECONDS), rate=_RATE)
            count = load.must_be_good().answers
            numbers = range(load.first, load.first + count)
            await wait_until(lambda: all(each in arrived for each in numbers), 60, "events are missing on Kafka")
        took = sorted(arrived[number] - (load.began + (number - load.first) / _RATE) for number in numbers)
        medians.append(took[len(took) // 2] * 1000)
        return took[int(len(took) * 0.99)] * 1000

    await run.stage.load(gateway.address, seconds=2, rate=_RATE)
    (tail,) = (await run.interleave(f"from callback to Kafka at {_RATE}/s", "ms", {"p99": p99})).values()
    run.found(
        Row(
            f"from callback to its event being readable on Kafka at {_RATE} callbacks/s: p99",
            [tail, tail.of("p50", medians)],
            [Goal(tail.median, _GOAL_MS, "ms", is_least=False)],
            "A gateway process, a forwarder process and a bare consumer. The time counts from when the callback was"
            " due, so the gateway's answer is in it. None was missing.",
        )
    )


@asynccontextmanager
async def _arrivals(kafka: KafkaStage, topic: str) -> AsyncIterator[dict[int, float]]:
    """Take down when the event of each purchase came, from now on, by the clock that all processes share."""
    arrived: dict[int, float] = {}

    async def read() -> None:
        async for record in consumer:
            arrived.setdefault(number_of(orjson.loads(record.value)["transaction_id"]), time.perf_counter())

    async with kafka.reading(topic) as consumer, asyncio.TaskGroup() as group:
        await consumer.seek_to_end()
        for partition in consumer.assignment():
            await consumer.position(partition)
        reading = group.create_task(read())
        yield arrived
        reading.cancel()
