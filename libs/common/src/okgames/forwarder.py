import asyncio
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from okgames.kafka import KafkaAddress
from okgames.log import EventLog, LogUnavailable, Record
from okgames.telemetry import EVENTS_FORWARDED

GROUP: Final = "forwarder"

_BATCH_EVENTS: Final = 5000
"""A round trip to Kafka for each 500 would take more time than all else."""
_BATCH_BYTES: Final = 512 * 1024
_REQUEST: Final = 10.0
_STOP: Final = 5.0
_PATIENCE: Final = 10.0

logger = structlog.get_logger()


async def forward(log: EventLog, address: KafkaAddress, topic: str) -> None:
    """
    Carry one topic's events from the outbox table to Kafka until cancelled.

    The forwarder is one more group that reads the table: it moves on when all replicas in sync have acknowledged a
    batch. Killed in between, it sends the batch again; events keep their ids, and the inbox knows them. A key is in
    one partition of the table, which one forwarder holds at a time, so its events reach Kafka in order. While Kafka
    is away it waits. Raise LogUnavailable.
    """
    async with _producer(address) as producer, log.read(GROUP, topic, max_records=_BATCH_EVENTS) as batches:
        async for batch in batches:
            if batch.records:
                publishing = asyncio.create_task(_publish(producer, address.topic(topic), topic, batch.records))
                await _patiently(publishing, topic)
                await batch.done()
                EVENTS_FORWARDED.labels(topic).inc(len(batch.records))


async def _patiently(publishing: "asyncio.Task[None]", topic: str) -> None:
    """Wait as long as it takes, and say so: an idempotent producer gives up only where trying again is useless."""
    try:
        while not publishing.done():
            await asyncio.wait([publishing], timeout=_PATIENCE)
            if not publishing.done():
                logger.warning("kafka_unavailable", topic=topic, waited_seconds=_PATIENCE)
        publishing.result()
    finally:
        publishing.cancel()


async def _publish(producer: AIOKafkaProducer, kafka_topic: str, source: str, records: Sequence[Record]) -> None:
    try:
        partitions = sorted(await producer.partitions_for(kafka_topic))
        lanes: defaultdict[int, list[Record]] = defaultdict(list)
        for record in records:
            lanes[partitions[zlib.crc32(record.key.encode()) % len(partitions)]].append(record)
        await asyncio.gather(
            *(_send(producer, kafka_topic, partition, source, lane) for partition, lane in lanes.items())
        )
    except KafkaError as error:
        raise LogUnavailable(repr(error)) from error


async def _send(
    producer: AIOKafkaProducer, kafka_topic: str, partition: int, source: str, records: Sequence[Record]
) -> None:
    sent = [
        await producer.send_batch(batch, kafka_topic, partition=partition)
        for batch in _batches(producer, source, records)
    ]
    await asyncio.gather(*sent)


def _batches(producer: AIOKafkaProducer, source: str, records: Sequence[Record]) -> Iterator[BatchBuilder]:
    batch = producer.create_batch()
    for record in records:
        event = _message(source, record)
        if batch.append(timestamp=None, **event) is None:
            yield batch
            batch = producer.create_batch()
            batch.append(timestamp=None, **event)
    batch.close()
    yield batch


def _message(source: str, record: Record) -> dict[str, Any]:
    """Return a record as a CloudEvent in Kafka's binary mode."""
    return {
        "key": record.key.encode(),
        "value": record.data.encode() if isinstance(record.data, str) else record.data,
        "headers": [
            ("ce_specversion", b"1.0"),
            ("ce_id", str(record.id).encode()),
            ("ce_type", record.type.encode()),
            ("ce_source", source.encode()),
            ("ce_time", orjson.loads(record.data)["occurred_at"].encode()),
            ("content-type", b"application/json"),
        ],
    }


@asynccontextmanager
async def _producer(address: KafkaAddress) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=address.servers,
        client_id="okgames forwarder",
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=_BATCH_BYTES,
        request_timeout_ms=int(_REQUEST * 1000),
    )
    try:
        try:
            async with asyncio.timeout(4 * _REQUEST):
                await producer.start()
        except (KafkaError, TimeoutError, OSError) as error:
            raise LogUnavailable(repr(error)) from error
        yield producer
    finally:
        try:
            # What is not acknowledged is sent again by whoever reads the table next.
            async with asyncio.timeout(_STOP):
                await producer.stop()
        except TimeoutError:
            logger.warning("producer_not_stopped")
