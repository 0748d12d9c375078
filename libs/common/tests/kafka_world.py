"""Topics and groups of a test's own on brokers that others may be using too."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from okgames.consumer import keep_going
from okgames.database import Database
from okgames.events import Topic
from okgames.forwarder import forward
from okgames.kafka import KafkaAddress
from okgames.postgres_log import PostgresLog
from okgames.topics import apply, load_plans


def fresh_address(servers: Sequence[str]) -> KafkaAddress:
    return KafkaAddress(tuple(servers), f"test-{uuid.uuid4().hex[:12]}")


async def make_topics(address: KafkaAddress, *topics: Topic, partitions: int = 4) -> None:
    plans = {name: plan.model_copy(update={"partitions": partitions}) for name, plan in load_plans().items()}
    await apply(address, {name: plans[name] for name in topics})


@asynccontextmanager
async def forwarding(database: Database, address: KafkaAddress, *topics: Topic) -> AsyncIterator[None]:
    """Run a forwarder for as long as the context lasts."""
    log = PostgresLog(database)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(keep_going(f"forwarder {topic}", partial(forward, log, address, topic)))
            for topic in topics
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
