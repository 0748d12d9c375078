import asyncio
import time
from dataclasses import dataclass
from typing import Final

from kafka_stage import KafkaStage
from results import Goal, Row, Series
from run import Run
from stage import WrongAnswers
from system import System

from okgames.testing import wait_until

_RATE: Final = 300
_SECONDS: Final = 60
_SLICE_SECONDS: Final = 2
_MOST_ROUNDS: Final = 3
_GOAL_SECONDS: Final = 30

# What each group has not handled: of the events in the table, those whose ids are not in its inbox.
_BEHIND: Final = """
    select
        (select count(*) from event_log.events where topic in ('okgames.payments.v1', 'okgames.deliveries.v1'))
        - (select count(*) from subscription_ledger.inbox)
        + (select count(*) from event_log.events where topic = 'okgames.entitlements.v1')
        - (select count(*) from notifier.inbox)
        + (select count(*) from notifier.deliveries where state = 'pending')
"""


@dataclass
class _Outages:
    """Kafka goes away and comes back under callbacks that go on."""

    run: Run
    kafka: KafkaStage
    gateway: System
    game: str

    async def seconds(self) -> tuple[float, float]:
        """Return how long catching up took, and how long the brokers took to be back."""
        await self._arrived()
        for number in self.kafka.brokers.numbers:
            self.kafka.brokers.kill(number)
        answered = await self._load(self.run.seconds(_SECONDS))
        started = time.perf_counter()
        for number in self.kafka.brokers.numbers:
            self.kafka.brokers.start(number)
        async with asyncio.TaskGroup() as group:
            coming = group.create_task(self._time_of_return())
            while not coming.done():
                answered += await self._load(_SLICE_SECONDS)
        await self.wait_until_done()
        took = time.perf_counter() - coming.result()
        if (arrived := await self._arrived()) != answered:
            raise WrongAnswers(f"{answered} callbacks were answered true, but {arrived} rewards came")
        return took, coming.result() - started

    async def _time_of_return(self) -> float:
        await asyncio.to_thread(self.kafka.brokers.wait_until_ready)
        return time.perf_counter()

    async def wait_until_done(self) -> None:
        await wait_until(self._is_done, 180, "the cluster does not catch up")

    async def _is_done(self) -> bool:
        await asyncio.sleep(0.1)
        return await self.gateway.database.fetchval(_BEHIND) == 0

    async def _load(self, seconds: float) -> int:
        load = await self.run.stage.load(self.gateway.address, seconds=seconds, rate=_RATE)
        return load.must_be_good().answers

    async def _arrived(self) -> int:
        async with self.run.stage.http.get(f"http://{self.game}/arrivals") as response:
            return len(await response.json(content_type=None))


async def measure(run: Run, kafka: KafkaStage, gateway: System, game: str) -> None:
    """Measure how long everything takes to catch up when no broker was there for a minute."""
    outages = _Outages(run, kafka, gateway, game)
    await outages.wait_until_done()
    took: list[float] = []
    back: list[float] = []
    rounds = min(run.rounds, _MOST_ROUNDS)
    for number in range(1, rounds + 1):
        run.progress.doing(f"without brokers for {run.seconds(_SECONDS):g} s, round {number} of {rounds}")
        seconds, start = await outages.seconds()
        took.append(seconds)
        back.append(start)
    series = Series("from the last broker's return until every reward was delivered", "s", took)
    run.progress.measured(f"catching up: {series}")
    run.found(
        Row(
            f"catching up after {run.seconds(_SECONDS):g} s without brokers at {_RATE} callbacks/s",
            [series, series.of("the brokers' own start", back)],
            [Goal(series.median, _GOAL_SECONDS, "s", is_least=False)],
            "All three brokers are killed with SIGKILL and started again on their data; callbacks go on until the last"
            " broker is back, and each one was answered true. The time counts until every group had handled every"
            " event and no webhook was pending. Afterwards the game's server had each reward.",
        )
    )
