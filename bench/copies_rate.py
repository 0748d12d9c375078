import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import asyncpg
from aiokafka import TopicPartition
from kafka_stage import KafkaStage, Message, keep
from ledger_batches import payment
from processor import parent_of, spent
from results import Row, Series, at_least_times
from run import Run
from stage import WrongAnswers
from system import System

from okgames.events import Topic
from okgames.kafka import KafkaAddress
from okgames.testing import wait_until

_EVENTS: Final = 24_000
_EVENTS_FAR: Final = 12_000
_ONE_WAY_MS: Final = 10
_LONGEST_FREEZE: Final = 8
_LEDGER: Final = "subscription-ledger"
_COPIES: Final = {1: "one process", 2: "two processes", 4: "four processes"}


@dataclass
class _Topic:
    """A topic that is filled while the copies of the ledger are frozen, for them to empty."""

    run: Run
    kafka: KafkaStage
    address: KafkaAddress
    connection: asyncpg.Connection
    copies_url: str
    count: int
    written: int = 0
    cores: dict[tuple[int, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    async def rate(self, copies: int) -> float:
        """Start so many copies, fill the topic, let them empty it, and return the events per second."""
        topic = self.address.topic(Topic.PAYMENTS)
        self._keep_messages()
        systems = await self._start(copies)
        pids = [system.program.process.pid for system in systems]
        postmaster = parent_of(await self.connection.fetchval("select pg_backend_pid()"))
        await self._fill(systems, topic)
        ends = await self.kafka.ends(topic)
        before = spent(pids, postmaster)
        for system in systems:
            system.program.thaw()
        await wait_until(partial(self._is_empty, ends), 180, "the ledger does not read")
        after = spent(pids, postmaster)
        for part, cores in after.cores_since(before).items():
            self.cores[copies, part].append(cores)
        for system in systems:
            await self.run.stage.end(system, f"{_COPIES[copies]} on Kafka")
        handled = await self.connection.fetchval("select count(*) from subscription_ledger.inbox")
        if handled != self.written:
            raise WrongAnswers(f"{self.written} events were written, but the ledger has handled {handled}")
        return self.count / (after.at - before.at)

    def _keep_messages(self) -> None:
        now = datetime.now(UTC)
        events = [payment(self.written + number, now) for number in range(self.count)]
        self.written += self.count
        keep(self._messages, [Message.of(event) for event in events])

    async def _start(self, copies: int) -> Sequence[System]:
        stage = self.run.stage
        systems = [
            await stage.okgames("run", _LEDGER, database_url=self.copies_url, kafka=self.address) for _ in range(copies)
        ]
        await self.kafka.wait_for_members(self.address, _LEDGER, Topic.PAYMENTS, copies)
        return systems

    async def _fill(self, systems: Sequence[System], topic: str) -> None:
        frozen = time.perf_counter()
        for system in systems:
            system.program.freeze()
        await self.kafka.produce(self._messages, topic, "send_batch")
        if time.perf_counter() - frozen > _LONGEST_FREEZE:
            raise WrongAnswers("the topic was filled so slowly that the group may have given the copies up")

    async def _is_empty(self, ends: Mapping[TopicPartition, int]) -> bool:
        await asyncio.sleep(0.05)
        return await self.kafka.unread(self.address, _LEDGER, Topic.PAYMENTS, ends) == 0

    @property
    def _messages(self) -> Path:
        return self.run.stage.folder / "messages"


async def measure(run: Run, kafka: KafkaStage) -> None:
    """Measure one, two and four ledger processes, with Postgres on this machine and with Postgres far away."""
    url, far_url = await run.stage.database("copies"), await run.stage.database("far_copies")
    near = _Topic(run, kafka, await kafka.address("copies"), await run.stage.connect(url), url, run.count(_EVENTS))
    await _measure(
        near,
        "Postgres on the same cores",
        "Everything shares this machine's cores: two copies cannot have more of them than one leaves idle, and the"
        " cores at work say where the machine ends. The next row has the same copies where it does not end so soon.",
    )
    socket = f"{parse_qs(urlsplit(far_url).query)['host'][0]}/.s.PGSQL.5432"
    distant = await run.stage.serve("distant_postgres.py", socket, str(_ONE_WAY_MS))
    far = _Topic(
        run,
        kafka,
        await kafka.address("far_copies"),
        await run.stage.connect(far_url),
        f"postgresql://okgames@{distant}/far_copies",
        run.count(_EVENTS_FAR),
    )
    await _measure(
        far,
        f"Postgres {2 * _ONE_WAY_MS} ms away",
        f"The same, but whatever goes to Postgres or comes from it arrives {_ONE_WAY_MS} ms late, as if it were in"
        " another town: a copy waits for most of its time, and leaves the cores to others, as it does where each"
        " copy has a machine of its own.",
    )


async def _measure(topic: _Topic, where: str, note: str) -> None:
    run = topic.run
    series = await run.interleave(
        f"copies of the ledger, {where}",
        "events/s",
        {name: partial(topic.rate, copies) for copies, name in _COPIES.items()},
    )
    one, two, four = series.values()
    cores = [
        Series(f"{_COPIES[copies]}: kept busy by {part}", "cores", values)
        for (copies, part), values in topic.cores.items()
    ]
    for each in cores:
        run.progress.measured(f"{each.what}: {each}")
    run.found(
        Row(
            f"events applied by one, two and four ledger processes from a filled topic, {where}",
            [two, one, four, *cores],
            [at_least_times(two, 1.6, one)],
            f"{topic.count:,} events, half purchases, half payments of subscriptions, of as many players, written"
            " while the copies were frozen, each with its partitions; the time counts from when they were woken until"
            f" the group had committed the last offset. Four processes handle {four.median / one.median:.2f} x of"
            f" one. {note}",
        )
    )
