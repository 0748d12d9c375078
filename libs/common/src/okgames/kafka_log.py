import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from okgames.database import Database, is_unavailable
from okgames.forwarder import GROUP as FORWARDER
from okgames.kafka import KafkaAddress
from okgames.log import Batch, GroupIsRead, LogUnavailable, Record
from okgames.outbox import positions
from okgames.telemetry import EVENTS_PASSED_OVER

_POLL: Final = 0.5
"""Seconds between two looks at how far the group is."""
_FINISH: Final = 5.0
"""Seconds that a batch under way gets before its partitions go to another member."""
_REQUEST: Final = 10.0
_START: Final = 40.0
"""Seconds for joining a group, which waits until the other members have finished what they have under way."""
_LAG: Final = 2.0
_SESSION: Final = 10.0
_HEARTBEAT: Final = 1.0
"""Also how soon a member notices that another one wants to join."""
_REBALANCE: Final = 15.0
_CLOCKS_DIFFER: Final = timedelta(minutes=1)
"""How far a broker's clock may be from the others. What is read again for nothing, the inbox knows."""
_WARNING: Final = 10.0
"""Seconds between two warnings of the same kind."""
_READ: Final = 60.0
"""Seconds after which a reader that gets nothing, not even an empty answer, begins anew."""

logger = structlog.get_logger()


class KafkaLog:
    """
    Read from Kafka what the forwarder has brought there from the outbox table.

    `member` names this copy of a service, should the name outlive a restart (a StatefulSet's): it then keeps its
    partitions while it is away for less than ten seconds. Without a name it leaves its groups when it stops.
    """

    def __init__(self, address: KafkaAddress, database: Database, *, member: str | None = None) -> None:
        self._address = address
        self._database = database
        self._member = member
        self._readers: set[_Reader] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        """Consumers that take their time to stop; the event loop itself would forget them."""

    @asynccontextmanager
    async def read(self, group: str, topic: str, *, max_records: int = 1000) -> AsyncIterator[AsyncIterator[Batch]]:
        try:
            connection = await self._database.connect()
        except Exception as error:
            if is_unavailable(error):
                raise LogUnavailable(str(error)) from error
            raise
        name = self._address.topic(topic)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._address.servers,
            group_id=self._address.group(group, topic),
            group_instance_id=self._member,
            client_id=f"okgames {group}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=int(_REQUEST * 1000),
            session_timeout_ms=int(_SESSION * 1000),
            heartbeat_interval_ms=int(_HEARTBEAT * 1000),
            rebalance_timeout_ms=int(_REBALANCE * 1000),
            # Batches of 1000 events of less than a kilobyte each, some of them in advance.
            max_partition_fetch_bytes=1024 * 1024,
            fetch_max_wait_ms=int(_POLL * 1000),
        )
        reader = _Reader(consumer, connection, group, topic, name, max_records)
        try:
            consumer.subscribe([name], listener=reader)
            await _within(_START, consumer.start())
            self._readers.add(reader)
            yield reader.batches()
        finally:
            self._readers.discard(reader)
            connection.terminate()
            await self._close(reader)

    async def _close(self, reader: "_Reader") -> None:
        """Leave the group, with what is not done; go on without a Kafka that does not answer."""
        reader.term += 1
        reader.finished.set()
        stopping = asyncio.create_task(reader.consumer.stop())
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)
        await asyncio.wait([stopping], timeout=_FINISH)
        if not stopping.done():
            # Cancelled, it would leave its tasks behind. It ends when its requests have timed out.
            logger.warning("group_not_left", group=reader.group, topic=reader.topic)

    async def lags(self, _database: Database) -> dict[tuple[str, str], int]:
        """Count what the groups of this process's readers have not read yet."""
        found = {}
        for reader in list(self._readers):
            found[reader.group, reader.topic] = await _within(_LAG, reader.lag())
        return found

    async def rewind(self, group: str, topic: str, since: datetime) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._address.servers,
            group_id=self._address.group(group, topic),
            client_id=f"okgames {group}",
            enable_auto_commit=False,
            request_timeout_ms=int(_REQUEST * 1000),
        )
        # One who reads partitions of its own choice is no member; any will do to learn how many there are.
        consumer.assign([TopicPartition(self._address.topic(topic), 0)])
        try:
            await _within(_START, consumer.start())
            await _within(_START, _rewind(consumer, self._address.topic(topic), since - _CLOCKS_DIFFER))
        except CommitFailedError as error:
            # So the brokers answer an outsider while the group has members.
            raise GroupIsRead from error
        finally:
            await consumer.stop()

    async def prune(self, _database: Database, _keep: timedelta) -> bool:
        """Leave everything as it is: Kafka forgets by itself, and the table is the forwarder's to prune."""
        return False


@dataclass
class _Mark:
    """
    Remember where the table's partitions ended at a time of the event loop's clock.

    `ends` says where Kafka's did when it had everything up to there; None before.
    """

    time: float
    heads: dict[int, int]
    ends: dict[TopicPartition, int] | None = None


# Not a subclass: aiokafka has no types, and a class with a base of no type has none either.
@ConsumerRebalanceListener.register
@dataclass(eq=False)
class _Reader:
    consumer: AIOKafkaConsumer
    connection: "asyncpg.Connection[asyncpg.Record]"
    group: str
    topic: str
    kafka_topic: str
    max_records: int
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear while a batch is under way."""
    term: int = 0
    """Grows each time when partitions are taken away: what was read in an earlier term is no longer ours to commit."""
    commit: "asyncio.Task[None] | None" = None
    mark: _Mark | None = None
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    """How far the group is at least, in each partition."""
    next_look: float = 0.0
    next_warning: float = 0.0

    async def batches(self) -> AsyncIterator[Batch]:
        loop = asyncio.get_running_loop()
        self.finished.set()
        while True:
            found = await self._fetch()
            term = self.term
            ends = {partition: records[-1].offset + 1 for partition, records in found.items()}
            records = [record for each in found.values() for record in map(_record, each) if record is not None]
            if ends:
                self.finished.clear()
            complete_until = None
            if loop.time() >= self.next_look:
                complete_until = await self._look()
                self.next_look = loop.time() + _POLL
            if not ends and complete_until is None:
                continue
            yield Batch(records, partial(self._move_to, term, ends), complete_until)
            if not self.finished.is_set():
                # A batch of nothing but what is no event of ours is done by itself.
                if records:
                    raise RuntimeError("a batch must be done before the next is asked for")
                await self._move_to(term, ends)

    async def _fetch(self) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        wait = max(0.0, self.next_look - asyncio.get_running_loop().time())
        found: Mapping[TopicPartition, Sequence[ConsumerRecord]] = await _within(
            _READ, self.consumer.getmany(timeout_ms=max(1, int(wait * 1000)), max_records=self.max_records)
        )
        return found

    async def _move_to(self, term: int, ends: Mapping[TopicPartition, int]) -> None:
        try:
            # A member that the group has given up must not speak for it: whoever has the partitions reads these
            # records again, and the inbox knows them.
            if ends and term == self.term and self._is_member():
                self.commit = asyncio.create_task(self.consumer.commit(dict(ends)))
                await _within(_REQUEST + _SESSION, _outcome(self.commit))
                self.committed |= ends
        except (CommitFailedError, IllegalStateError) as error:
            logger.warning("position_not_kept", group=self.group, topic=self.topic, error=repr(error))
        finally:
            if self.commit is not None:
                self.commit.cancel()
                self.commit = None
            self.finished.set()

    async def on_partitions_revoked(self, _revoked: set[TopicPartition]) -> None:
        """Let the batch under way be finished, or else give it up."""
        if self._is_member():
            try:
                async with asyncio.timeout(_FINISH):
                    await self.finished.wait()
            except TimeoutError:
                logger.warning("batch_given_up", group=self.group, topic=self.topic)
        self.term += 1
        if self.commit is not None:
            # Under way for too long; tried again, it would speak for the group's next generation.
            self.commit.cancel()
            await asyncio.wait([self.commit])

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        logger.info("partitions_taken", group=self.group, topic=self.topic, count=len(assigned))

    def _is_member(self) -> bool:
        # aiokafka has no other way to tell. Without a generation, a commit is taken for that of an outsider, and
        # accepted if the group is empty.
        return bool(self.consumer._coordinator.generation > 0)  # noqa: SLF001 - see above

    async def _look(self) -> float | None:
        """Return until when the group is complete, as far as that can be said without waiting."""
        try:
            if self.mark is None:
                time = asyncio.get_running_loop().time()
                self.mark = _Mark(time, {each: head for each, (_, head) in (await self._table()).items()})
            if self.mark.ends is None:
                table = await self._table()
                if any(table[each][0] < head for each, head in self.mark.heads.items()):
                    return None
                self.mark.ends = await self._ends()
            if await self._behind(self.mark.ends):
                return None
        except KafkaError as error:
            # A broker that is away says nothing about the others, from which we may be reading.
            if asyncio.get_running_loop().time() >= self.next_warning:
                self.next_warning = asyncio.get_running_loop().time() + _WARNING
                logger.warning("kafka_unavailable", group=self.group, topic=self.topic, error=repr(error))
            return None
        except Exception as error:
            if is_unavailable(error):
                raise LogUnavailable(str(error)) from error
            raise
        complete_until, self.mark = self.mark.time, None
        return complete_until

    async def _table(self) -> dict[int, tuple[int, int]]:
        return await positions(self.connection, FORWARDER, self.topic)

    async def _ends(self) -> dict[TopicPartition, int]:
        numbers = self.consumer.partitions_for_topic(self.kafka_topic) or ()
        ends: dict[TopicPartition, int] = await self.consumer.end_offsets(
            [TopicPartition(self.kafka_topic, number) for number in numbers]
        )
        return ends

    async def _behind(self, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return the partitions in which the group has not committed up to `ends`, with where it is."""
        unknown = [each for each, end in ends.items() if self.committed.get(each, 0) < end]
        found = await asyncio.gather(*(self.consumer.committed(each) for each in unknown))
        self.committed |= {each: offset or 0 for each, offset in zip(unknown, found, strict=True)}
        behind = {each: self.committed[each] for each in unknown if self.committed[each] < ends[each]}
        if self.finished.is_set():
            await self._pass_over_what_is_gone(behind)
        return behind

    async def _pass_over_what_is_gone(self, behind: Mapping[TopicPartition, int]) -> None:
        """Commit where Kafka has deleted what the group has not read, so that nobody waits for it."""
        held = [each for each in behind if each in self.consumer.assignment()]
        if not held:
            return
        beginnings = await self.consumer.beginning_offsets(held)
        gone = {each: beginnings[each] for each in held if behind[each] < beginnings[each]}
        if gone:
            await self._move_to(self.term, gone)

    async def lag(self) -> int:
        ends = await self._ends()
        committed = await asyncio.gather(*(self.consumer.committed(each) for each in ends))
        return sum(max(0, end - (offset or 0)) for end, offset in zip(ends.values(), committed, strict=True))


async def _rewind(consumer: AIOKafkaConsumer, kafka_topic: str, since: datetime) -> None:
    partitions = [TopicPartition(kafka_topic, number) for number in consumer.partitions_for_topic(kafka_topic) or ()]
    consumer.assign(partitions)
    committed = dict(zip(partitions, await asyncio.gather(*map(consumer.committed, partitions)), strict=True))
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, int(since.timestamp() * 1000)))
    firsts = {each: place.offset for each, place in found.items() if place is not None}
    # A group that never committed begins with the oldest event anyway.
    places = {each: min(offset, firsts.get(each, offset)) for each, offset in committed.items() if offset is not None}
    if places:
        await consumer.commit(places)


async def _within(seconds: float, awaitable: Any) -> Any:
    """Await something of aiokafka's for a bounded time; raise LogUnavailable where Kafka cannot be used just now."""
    try:
        async with asyncio.timeout(seconds):
            return await awaitable
    except (CommitFailedError, IllegalStateError):
        raise
    except (KafkaError, TimeoutError, OSError) as error:
        raise LogUnavailable(repr(error)) from error


async def _outcome(task: "asyncio.Task[None]") -> None:
    """Await a task that others may cancel; raise CommitFailedError if they did."""
    await asyncio.wait([task])
    if task.cancelled():
        raise CommitFailedError("the partitions were taken away")
    task.result()


def _record(found: ConsumerRecord) -> Record | None:
    headers = dict(found.headers)
    try:
        return Record(UUID(headers["ce_id"].decode()), headers["ce_type"].decode(), found.key.decode(), found.value)
    except (KeyError, ValueError, AttributeError):
        EVENTS_PASSED_OVER.labels("no CloudEvent").inc()
        return None
