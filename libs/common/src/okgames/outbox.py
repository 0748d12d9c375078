import zlib
from collections.abc import Sequence
from typing import Final

from okgames.database import Tx
from okgames.events import Event

PARTITIONS: Final = 8
"""Partitions of a topic's table; what Kafka has is its own affair."""


def partition_of(key: str) -> int:
    """Return the partition of a key: the same in every process, which `hash()` is not."""
    return zlib.crc32(key.encode()) % PARTITIONS


async def append(tx: Tx, *events: Event) -> None:
    """
    Append events of one topic to the log, within the caller's transaction.

    Call it once per transaction and last: it takes a lock per partition, held until the commit, which makes the
    order of positions the order of commits. A second call in one transaction raises, because two transactions
    that each take locks twice can wait for each other.
    """
    if not events:
        return
    topic = _one_topic(events)
    await tx.execute(
        """
        select event_log.append($1, $2::int[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
        """,
        topic,
        [partition_of(event.key) for event in events],
        [event.id for event in events],
        [event.type for event in events],
        [event.key for event in events],
        [event.occurred_at for event in events],
        [event.model_dump_json() for event in events],
    )


def _one_topic(events: Sequence[Event]) -> str:
    topics = {event.topic for event in events}
    if len(topics) > 1:
        raise ValueError(f"one append writes one topic, not {sorted(topics)}")
    return topics.pop()
