import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from results import Row, at_least_times
from run import Run
from stage import WrongAnswers, run_script
from studio import APPLICATION_KEY, WEBHOOK_SECRET
from system import System

from okgames.database import Database
from okgames.events import RewardGranted, RewardReason, derive_id
from okgames.outbox import append
from okgames.testing import wait_until
from okgames.webhooks import sign

_REWARDS: Final = 12_000
_AT_ONCE: Final = 1_000
_CONCURRENCY: Final = 64


async def measure(run: Run) -> None:
    """Measure how many webhooks a second one notifier process delivers, beside a loop that only posts them."""
    stage = run.stage
    url = await stage.database("notifier")
    game = await stage.serve("game_server.py")
    notifier = await stage.okgames("run", "notifier", database_url=url, game=game)
    log = Database(url, "event_log")
    await log.open()
    stage.exits.push_async_callback(log.close)
    rounds = _Rounds(run, notifier, log, f"http://{game}/okgames")

    series = await run.interleave(
        f"webhooks, {_CONCURRENCY} at once",
        "/s",
        {
            "rewards read and made deliveries, endpoint paused": rounds.take_on,
            "a bare aiohttp loop, same signed bodies": rounds.post_bare,
            "delivered, every attempt recorded": rounds.deliver,
        },
    )
    taken_on, bare, delivered = series.values()
    run.found(
        Row(
            "webhooks delivered by one notifier process to a local server, every attempt recorded",
            [delivered, bare, taken_on],
            [at_least_times(delivered, 0.40, bare)],
            f"{run.count(_REWARDS):,} rewards of as many players, {_CONCURRENCY} attempts at once. While the endpoint"
            " was paused, the notifier read them and made deliveries of them; the time counts from resuming it until"
            " every delivery was marked as delivered. With the reading it would be"
            f" {1 / (1 / delivered.median + 1 / taken_on.median):,.0f}/s. The bare loop posts what was signed before"
            " and keeps nothing.",
        )
    )
    await stage.end(notifier, "webhooks")


class _Rounds:
    """Three things to do with the same rewards, one after the other."""

    def __init__(self, run: Run, notifier: System, log: Database, url: str) -> None:
        self._run = run
        self._notifier = notifier
        self._log = log
        self._url = url
        self._endpoint = f"/v1/endpoints/{derive_id('endpoint', APPLICATION_KEY, url)}"
        self._count = run.count(_REWARDS)
        self._told = 0
        self._bodies: Path = run.stage.folder / "bodies"

    async def take_on(self) -> float:
        await self._notifier.call("POST", f"{self._endpoint}/pause")
        rewards = [_reward(self._told + number) for number in range(self._count)]
        self._told += self._count
        began = time.perf_counter()
        for start in range(0, self._count, _AT_ONCE):
            async with self._log.transaction() as tx:
                await append(tx, *rewards[start : start + _AT_ONCE])
        await wait_until(self._all_taken_on, 120, "the notifier does not read")
        return self._count / (time.perf_counter() - began)

    async def post_bare(self) -> float:
        self._bodies.write_text("\n".join([json.dumps(each) for each in await self._signed()]))
        found = await run_script("bare_client.py", self._url, str(self._bodies), "--concurrency", str(_CONCURRENCY))
        return self._count / found["seconds"]

    async def deliver(self) -> float:
        began = time.perf_counter()
        await self._notifier.call("POST", f"{self._endpoint}/resume")
        await wait_until(self._all_delivered, 120, "the notifier does not deliver")
        took = time.perf_counter() - began
        attempts = await self._notifier.database.fetchval("select count(*) from notifier.attempts")
        if attempts != self._told:
            raise WrongAnswers(f"{self._told} webhooks were delivered in {attempts} attempts")
        return self._count / took

    async def _all_taken_on(self) -> bool:
        return await self._pending() == self._count

    async def _all_delivered(self) -> bool:
        return await self._pending() == 0

    async def _pending(self) -> int:
        await asyncio.sleep(0.05)
        return await self._notifier.database.fetchval(
            "select count(*) from notifier.deliveries where state = 'pending'"
        )

    async def _signed(self) -> list[tuple[dict[str, str], str]]:
        rows = await self._notifier.database.fetch(
            """
            select deliveries.id, body from notifier.deliveries join notifier.webhooks using (event_id)
            where state = 'pending' order by position
            """
        )
        now = datetime.now(UTC)
        return [
            (
                {
                    "Content-Type": "application/json",
                    "webhook-id": str(row["id"]),
                    "webhook-timestamp": str(int(now.timestamp())),
                    "webhook-signature": sign(WEBHOOK_SECRET, str(row["id"]), now, row["body"].encode()),
                },
                row["body"],
            )
            for row in rows
        ]


def _reward(number: int) -> RewardGranted:
    return RewardGranted(
        id=derive_id("bench", number),
        occurred_at=datetime.now(UTC),
        application_key=APPLICATION_KEY,
        uid=str(500_000_000_000 + number),
        reward_id=derive_id("bench reward", number),
        product="gold_100",
        item="gold",
        quantity=100,
        reason=RewardReason.PURCHASE,
        transaction_id=f"{number}_1772435730123",
    )
