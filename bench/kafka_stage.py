import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from stage import Stage, WrongAnswers, run_script

from okgames.events import Event, Topic
from okgames.kafka import KafkaAddress
from okgames.kafka_brokers import Brokers, kafka_brokers
from okgames.testing import wait_until
from okgames.topics import apply, load_plans

_READ_SECONDS = 60


@dataclass(frozen=True)
class Message:
    """Hold what one event is on Kafka."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]

    @classmethod
    def of(cls, event: Event) -> "Message":
        """Return an event as far as a reader of ours looks at it."""
        headers = [("ce_id", str(event.id).encode()), ("ce_type", event.type.encode())]
        return cls(event.key.encode(), event.model_dump_json().encode(), headers)


@dataclass
class KafkaStage:
    """Three brokers, and those that look at them from outside."""

    stage: Stage
    brokers: Brokers
    admin: AIOKafkaAdminClient

    async def address(self, space: str) -> KafkaAddress:
        """Make the topics as okgames ships them, under names of their own."""
        address = KafkaAddress(tuple(self.brokers.servers), space)
        await apply(address, load_plans())
        return address

    async def ends(self, topic: str) -> dict[TopicPartition, int]:
        async with self.reading(topic) as consumer:
            return await consumer.end_offsets(list(consumer.assignment()))

    async def read(self, topic: str, since: Mapping[TopicPartition, int], count: int) -> list[Message]:
        """Return the messages of a topic since some offsets, of which there must be so many."""
        found: list[Message] = []
        async with self.reading(topic) as consumer:
            for partition, offset in since.items():
                consumer.seek(partition, offset)
            async with asyncio.timeout(_READ_SECONDS):
                while len(found) < count:
                    for records in (await consumer.getmany(timeout_ms=1000)).values():
                        found += [Message(each.key, each.value, list(each.headers)) for each in records]
        if len(found) != count:
            raise WrongAnswers(f"{topic} has {len(found)} events instead of {count}")
        return found

    @asynccontextmanager
    async def reading(self, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
        """Give a bare consumer of all partitions, without a group; it stands at the oldest message."""
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=self.brokers.servers, auto_offset_reset="earliest")
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def produce(self, path: Path, topic: str, way: str) -> float:
        """Let a bare producer, in a process of its own, send messages kept in a file; return the seconds it took."""
        found = await run_script("bare_producer.py", ",".join(self.brokers.servers), topic, str(path), "--way", way)
        return found["seconds"]

    async def wait_for_members(self, address: KafkaAddress, group: str, topic: Topic, count: int) -> None:
        """Return when a group has so many members and each has its partitions."""

        async def is_settled() -> bool:
            await asyncio.sleep(0.1)
            try:
                (answer,) = await self.admin.describe_consumer_groups([address.group(group, topic)])
            except KafkaError:
                # The first group of a new cluster waits until the brokers have agreed who keeps positions.
                return False
            ((_, _, state, _, _, members, *_),) = answer.groups
            return state == "Stable" and len(members) == count

        await wait_until(is_settled, 60, f"{group} has not {count} members")

    async def unread(self, address: KafkaAddress, group: str, topic: Topic, ends: Mapping[TopicPartition, int]) -> int:
        """Return how far a group's positions are from given ends."""
        committed = await self.admin.list_consumer_group_offsets(address.group(group, topic))
        return sum(
            end - (committed[partition].offset if partition in committed else 0) for partition, end in ends.items()
        )


def keep(path: Path, messages: list[Message]) -> None:
    """Write messages to a file for the bare producer."""
    lines = [
        orjson.dumps([each.key.decode(), each.value.decode(), [(name, value.decode()) for name, value in each.headers]])
        for each in messages
    ]
    path.write_bytes(b"\n".join(lines))


@asynccontextmanager
async def kafka_stage(stage: Stage) -> AsyncIterator[KafkaStage]:
    """Start three brokers; afterwards none is left."""
    running = kafka_brokers()
    brokers = await asyncio.to_thread(running.__enter__)
    try:
        admin = AIOKafkaAdminClient(bootstrap_servers=brokers.servers)
        await admin.start()
        try:
            yield KafkaStage(stage, brokers, admin)
        finally:
            await admin.close()
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
