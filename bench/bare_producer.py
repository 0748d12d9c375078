"""
A bare aiokafka producer in a process of its own, with the forwarder's settings: it sends messages and keeps nothing.

The messages are in memory, and each one's partition is known, before the clock starts.
"""

import argparse
import asyncio
import gc
import json
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path

import orjson
import uvloop
from aiokafka import AIOKafkaProducer

_BATCH_BYTES = 512 * 1024

Message = tuple[bytes, bytes, list[tuple[str, bytes]]]


def messages_in(path: Path) -> Iterator[Message]:
    for line in path.read_bytes().split(b"\n"):
        key, value, headers = orjson.loads(line)
        yield key.encode(), value.encode(), [(name, text.encode()) for name, text in headers]


async def send(producer: AIOKafkaProducer, topic: str, messages: Sequence[tuple[int, Message]]) -> None:
    """Give it one message after the other; it makes batches by itself."""
    sent: list[Awaitable[object]] = []
    for partition, (key, value, headers) in messages:
        sent.append(await producer.send(topic, value, key, partition, headers=headers))
    await asyncio.gather(*sent)


async def send_batch(producer: AIOKafkaProducer, topic: str, messages: Sequence[tuple[int, Message]]) -> None:
    """Give it full batches of each partition."""
    sent: list[Awaitable[object]] = []
    batches = defaultdict(producer.create_batch)
    for partition, (key, value, headers) in messages:
        if batches[partition].append(key=key, value=value, timestamp=None, headers=headers) is None:
            sent.append(await producer.send_batch(batches.pop(partition), topic, partition=partition))
            batches[partition].append(key=key, value=value, timestamp=None, headers=headers)
    for partition, batch in batches.items():
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sent)


async def produce(options: argparse.Namespace) -> dict[str, float]:
    producer = AIOKafkaProducer(
        bootstrap_servers=options.servers.split(","),
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=_BATCH_BYTES,
        request_timeout_ms=10_000,
    )
    await producer.start()
    try:
        numbers = sorted(await producer.partitions_for(options.topic))
        messages = [(numbers[zlib.crc32(each[0]) % len(numbers)], each) for each in messages_in(options.messages)]
        gc.collect()
        gc.freeze()
        began = time.perf_counter()
        await {"send": send, "send_batch": send_batch}[options.way](producer, options.topic, messages)
        return {"seconds": time.perf_counter() - began}
    finally:
        await producer.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers", help="host:port, with commas")
    parser.add_argument("topic")
    parser.add_argument("messages", type=Path, help="a file with a message in each line")
    parser.add_argument("--way", choices=["send", "send_batch"], required=True)
    json.dump(uvloop.run(produce(parser.parse_args())), sys.stdout)


if __name__ == "__main__":
    main()
